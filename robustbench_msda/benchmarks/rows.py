"""The scores every condition gets, whatever its benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from robustbench_msda.metrics import calibration, classification
from robustbench_msda.metrics.temperature import HIGHEST, LOWEST, cross_fitted, temperature
from robustbench_msda.records import Cell, Predictions, Score
from robustbench_msda.statistics import wilson_interval

RELIABILITY_BINS = 15


def condition_scores(cell: Cell, predictions: Predictions, classes: Sequence[str]) -> Iterator[Score]:
    """Yield the scores of one condition: errors, likelihood, calibration, and exact counts of each class."""
    at = Score(cell.benchmark, "", np.nan, len(predictions), "", "", cell.condition, cell.level, cell.source)
    yield from overall_scores(at, predictions)
    yield from class_scores(at, predictions, classes)


def overall_scores(at: Score, predictions: Predictions) -> Iterator[Score]:
    """Yield the scores of all images together."""
    correct, confidence = predictions.correct, predictions.confidence
    wrong = len(correct) - int(correct.sum())
    low, high = wilson_interval(wrong, len(correct))
    yield replace(at, metric="error", value=wrong / len(correct), low=low, high=high)
    values = {
        "top5_error": classification.top5_error(predictions.top5, predictions.label),
        "nll": classification.negative_log_likelihood(predictions.logsumexp, predictions.label_logit),
        "brier": classification.brier_score(predictions.sum_p2, predictions.label_probability),
        "ece": calibration.expected_calibration_error(confidence, correct),
        "ece_equal_mass": calibration.equal_mass_calibration_error(confidence, correct),
        "max_calibration": calibration.maximum_calibration_error(confidence, correct),
        "rms_calibration": calibration.rms_calibration_error(confidence, correct),
        "rms_calibration_published": calibration.rms_calibration_error_published(confidence, correct),
        "aurra": calibration.aurra(confidence, correct),
        "soft_f1": calibration.soft_f1(confidence, correct),
        "confidence": float(confidence.mean()),
    }
    for metric, value in values.items():
        if np.isfinite(value):
            yield replace(at, metric=metric, value=value)


def class_scores(at: Score, predictions: Predictions, classes: Sequence[str]) -> Iterator[Score]:
    """Yield for every class its correct answers (an exact count), recall with its interval, and confidence."""
    correct, total = classification.class_counts(predictions.label, predictions.correct, len(classes))
    confidence = classification.class_confidence(predictions.label, predictions.label_probability, len(classes))
    for k, name in enumerate(classes):
        if total[k] == 0:
            continue
        here = replace(at, subset=name, n=int(total[k]))
        low, high = wilson_interval(int(correct[k]), int(total[k]))
        yield replace(here, metric="correct_count", value=float(correct[k]))
        yield replace(here, metric="recall", value=correct[k] / total[k], low=low, high=high)
        yield replace(here, metric="class_confidence", value=float(confidence[k]))


def scaled_scores(at: Score, predictions: Predictions) -> Iterator[Score]:
    """Yield the temperature that fits all images, and scores with each half at the other half's.

    Nothing where logits are not stored, an image's label is masked or absent, or there is one image only.
    """
    logits, label = predictions.logits, predictions.label
    if logits is None or len(label) < 2 or not np.isfinite(predictions.label_logit).all():
        return
    fitted = temperature(logits, label)
    ends = f"at an end of the search in {LOWEST} to {HIGHEST}"
    told = "" if LOWEST + 0.01 < fitted < HIGHEST - 0.01 else ends
    yield replace(at, metric="temperature", value=fitted, flags=told)
    found = cross_fitted(logits, label)
    confidence, correct = np.exp(np.minimum(found.log_confidence, 0.0)), predictions.correct
    values = {
        "nll_scaled": -float(found.log_label.mean()),
        "brier_scaled": classification.brier_score(found.sum_p2, np.exp(np.minimum(found.log_label, 0.0))),
        "ece_scaled": calibration.expected_calibration_error(confidence, correct),
        "rms_calibration_scaled": calibration.rms_calibration_error(confidence, correct),
    }
    for metric, value in values.items():
        if np.isfinite(value):
            yield replace(at, metric=metric, value=value)


def confidence_scores(at: Score, predictions: Predictions, classes: Sequence[str]) -> Iterator[Score]:
    """Yield the mean probability of the first answer over the images of every class that has some."""
    total = np.bincount(predictions.label, minlength=len(classes))
    confidence = classification.class_confidence(predictions.label, predictions.confidence, len(classes))
    for name, n, value in zip(classes, total, confidence, strict=True):
        if n:
            yield replace(at, metric="class_top_confidence", subset=name, n=int(n), value=float(value))


def detail_scores(cell: Cell, predictions: Predictions, classes: Sequence[str]) -> Iterator[Score]:
    """Yield scores at a fitted temperature, confidence by class, confusions as counts, and reliability bins."""
    at = Score(cell.benchmark, "", np.nan, len(predictions), "", "", cell.condition, cell.level, cell.source)
    yield from scaled_scores(at, predictions)
    yield from confidence_scores(at, predictions, classes)
    counts = classification.confusion_counts(predictions.label, predictions.top5[:, 0], len(classes))
    for truth, answer in zip(*np.nonzero(counts), strict=True):
        if truth != answer:
            subset = f"{classes[truth]}>{classes[answer]}"
            yield replace(at, metric="confusion_count", subset=subset, value=float(counts[truth, answer]))
    bins = calibration.reliability_bins(predictions.confidence, predictions.correct, RELIABILITY_BINS)
    for k, n in enumerate(bins.n):
        if n:
            here = replace(at, subset=f"bin {k + 1}/{RELIABILITY_BINS}", n=int(n))
            yield replace(here, metric="bin_confidence", value=float(bins.confidence[k]))
            yield replace(here, metric="bin_accuracy", value=float(bins.accuracy[k]))
