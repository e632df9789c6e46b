"""Metrics: pure functions from NumPy arrays to numbers, all in float64, fractions and never percent."""

from __future__ import annotations

# What each metric of a score row means, as `list metrics` prints it. Functions of the same or a longer name are in
# this folder's files; the numbers of a column are fractions unless a unit is named.
METRICS: dict[str, str] = {
    "error": "share of images whose first answer is wrong",
    "top5_error": "share of images whose label is none of the first five answers",
    "nll": "mean of −ln p(label), in nats",
    "brier": "mean of the squared distance between probabilities and label, over all classes, 0 to 2 (Brier 1950)",
    "confidence": "mean probability of the first answer",
    "ece": "expected calibration error, 15 bins of equal width (a, b] (Guo et al. 2017, eq. 3)",
    "rms_calibration": "root mean square calibration error, bins of 100 images, every bin; NaN below 100 images",
    "rms_calibration_published": "the same without the most confident bin, as the published code (Hendrycks 2021)",
    "aurra": "area under the response rate accuracy curve, larger is better (Hendrycks et al. 2021)",
    "soft_f1": "soft F1 of 1 − confidence as a detector of wrong answers, larger is better (Hendrycks et al. 2021)",
    "bin_confidence": "mean confidence in a bin of confidence, the subset",
    "bin_accuracy": "accuracy in a bin of confidence, the subset",
    "recall": "share of a class's images, the subset, that are answered correctly",
    "class_confidence": "mean probability of the label over a class's images, the subset (Lee et al. 2023, Table 3)",
    "correct_count": "correct answers of a class, the subset, an exact integer",
    "confusion_count": "images of one class answered with another, the subset 'cat>dog', an exact integer",
    "corruption_error": "a corruption's error, mean over its five severities, no baseline (uCE of AugMix, CIFAR)",
    "mean_corruption_error": "mean over corruptions of the mean over severities of error, no baseline (AugMix, CIFAR)",
    "error_change": "error of the treatment minus that of the baseline, averaged over seeds",
    "recall_change": "recall of a class, the subset, treatment minus baseline, seeds averaged first (Lee et al. 2023)",
    "n_degraded_classes": "classes whose seed-averaged recall fell, N_DC, exact (Lee et al. 2023, eq. 3)",
    "n_improved_classes": "classes whose seed-averaged recall rose, exact",
    "n_tied_classes": "classes whose seed-averaged recall is exactly what it was",
    "n_degraded_significant": "degraded classes significant at a false discovery rate of 5 % (Benjamini 1995)",
    "n_degraded_null_median": "median of N_DC over all splits of the seeds: the treatment as nothing but other seeds",
    "mean_recall_change_degraded": "mean recall change of the degraded classes, NaN for none (Lee et al. 2023, eq. 4)",
    "mean_recall_change_improved": "mean recall change of the improved classes, NaN for none",
}
