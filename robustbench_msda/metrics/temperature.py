"""Temperature scaling: the one number by which logits are divided so that confidence fits accuracy best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.metrics.checks import class_indices

LOWEST, HIGHEST = 0.2, 5.0
WIDTH = 1e-4


class Scaled(NamedTuple):
    """What scaled logits say of each image: (n,) natural logs, and the sum of squared probabilities."""

    log_confidence: NDArray[np.float64]
    log_label: NDArray[np.float64]
    sum_p2: NDArray[np.float64]


def temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature at which the mean cross-entropy is lowest, within [0.2, 5].

    ``tune_temp`` of hendrycks/natural-adv-examples 0777070, ``calibration_tools.py``: bisection on the sign of the
    derivative of the mean cross-entropy by T to a width of 1e-4, then the best of the lower end, the middle and the
    upper end. An answer near 0.2 or 5 means that the lowest lies beyond. As there, the three are compared in float32,
    where they mostly tie, and a tie goes to the lower end.

    Args:
        logits: (n, K); −inf masks a class.
        labels: (n,) in [0, K), none of them masked.

    Raises:
        ValueError: there are no images, the shapes disagree, a label is out of range or masked, or a logit is NaN.
    """
    shifted, own = _shifted(logits, labels)
    low, high = LOWEST, HIGHEST
    while high - low > WIDTH:
        middle = (low + high) / 2
        low, high = (low, middle) if _rises(shifted, own, middle) else (middle, high)
    return min((low, (low + high) / 2, high), key=lambda t: _cross_entropy(shifted, own, t))


def cross_fitted(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Scaled:
    """Return what the images say where each half is scaled by the temperature fitted to the other half.

    The halves are every other image, in the order given: no image helps to choose its own temperature, so the numbers
    are not optimistic as those of a temperature fitted on the images it is judged on.

    Args:
        logits: (n, K) with n ≥ 2; −inf masks a class.
        labels: (n,) in [0, K).

    Raises:
        ValueError: as ``temperature``, or there is only one image.
    """
    divisor = np.empty(len(logits))
    for half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        divisor[half] = temperature(logits[other], labels[other])
    return scaled(logits, labels, divisor)


def scaled(logits: NDArray[np.floating], labels: NDArray[np.integer], divisor: NDArray[np.floating]) -> Scaled:
    """Return what the images say at temperatures ``divisor``, (n,) and positive, of each image.

    Raises:
        ValueError: as ``temperature``, or a temperature is not positive.
    """
    shifted, own = _shifted(logits, labels)
    if divisor.shape != own.shape or not (divisor > 0).all():
        raise ValueError(f"expected a positive temperature an image, got shape {divisor.shape} for {own.shape}")
    cooled = shifted / divisor[:, None]
    total = np.log(np.exp(cooled).sum(axis=1))
    squares = np.exp(2 * (cooled - total[:, None])).sum(axis=1)
    return Scaled(-total, own / divisor - total, squares)


def _shifted(
    logits: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return logits in float64 less the largest of each image, and those of the labels."""
    if logits.ndim != 2 or logits.shape[0] != labels.size or np.isnan(logits).any():
        raise ValueError(f"expected logits (n, K) without NaN, and labels (n,), got {logits.shape}, {labels.shape}")
    indices = class_indices(labels, logits.shape[1])
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    own = values[np.arange(len(values)), indices]
    if not np.isfinite(own).all():
        raise ValueError("expected a finite logit of every label, got infinity: is a label masked?")
    return values, own


def _rises(shifted: NDArray[np.float64], own: NDArray[np.float64], t: float) -> bool:
    """Return whether the mean cross-entropy rises with T: T² dCE/dT is z of the label less the mean z under p."""
    weights = np.exp(shifted / t)
    # exp(−inf) is 0, and 0 · −inf is to be 0: a masked class adds nothing.
    expected = (weights * np.maximum(shifted, -1e300)).sum(axis=1) / weights.sum(axis=1)
    return bool((own - expected).mean() > 0)


def _cross_entropy(shifted: NDArray[np.float64], own: NDArray[np.float64], t: float) -> float:
    """Return the mean cross-entropy at T, rounded to float32."""
    return float(np.float32((np.log(np.exp(shifted / t).sum(axis=1)) - own / t).mean()))
