"""Telling strange images from known ones by a score. The strange are the positives; a larger score is stranger."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve


def auroc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Return the chance that a positive scores above a negative, equal scores counting half, in [0, 1]; chance is 0.5.

    Args:
        positive: (n,) scores of the out-of-distribution images.
        negative: (m,) scores of the in-distribution images.

    Raises:
        ValueError: a side is empty or a score is not finite.
    """
    return float(roc_auc_score(*_joined(positive, negative)))


def aupr(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Return the average precision, in [0, 1]; chance is the positives' share, n / (n + m).

    The step-wise sum of precision over gains in recall, scikit-learn's definition and that of ImageNet-O (Hendrycks et
    al., CVPR 2021); it is not the trapezoid area under the curve.

    Args:
        positive: (n,) scores of the out-of-distribution images.
        negative: (m,) scores of the in-distribution images.

    Raises:
        ValueError: a side is empty or a score is not finite.
    """
    return float(average_precision_score(*_joined(positive, negative)))


def fpr_at_recall(positive: NDArray[np.floating], negative: NDArray[np.floating], recall: float = 0.95) -> float:
    """Return the share of negatives above the threshold whose recall is nearest to ``recall``, in [0, 1].

    Of the thresholds, one a distinct score, equally near ones yield to the lower threshold, and of those that recall
    every positive only the highest is considered (Hendrycks et al., Outlier Exposure, ICLR 2019, their code).

    Args:
        positive: (n,) scores of the out-of-distribution images.
        negative: (m,) scores of the in-distribution images.
        recall: in (0, 1].

    Raises:
        ValueError: a side is empty, a score is not finite or ``recall`` is out of range.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"expected a recall in (0, 1], got {recall}")
    false_positives, true_positives, _ = roc_curve(*_joined(positive, negative), drop_intermediate=False)
    # The curve starts at an infinite threshold, which no image reaches.
    upward = slice(np.searchsorted(true_positives, 1.0), 0, -1)
    nearest = np.abs(true_positives[upward] - recall).argmin()
    return float(false_positives[upward][nearest])


def _joined(
    positive: NDArray[np.floating], negative: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    scores = np.concatenate([positive, negative]).astype(np.float64)
    if positive.size == 0 or negative.size == 0:
        raise ValueError(f"expected scores on both sides, got {positive.size} positives and {negative.size} negatives")
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, got NaN or infinity")
    return np.arange(scores.size) < positive.size, scores
