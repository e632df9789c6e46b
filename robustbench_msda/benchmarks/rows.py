"""The scores every condition gets, whatever its benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from robustbench_msda.metrics import calibration, classification
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


def detail_scores(cell: Cell, predictions: Predictions, classes: Sequence[str]) -> Iterator[Score]:
    """Yield the confusions that happen, as counts, and the bins of the reliability diagram."""
    at = Score(cell.benchmark, "", np.nan, len(predictions), "", "", cell.condition, cell.level, cell.source)
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
