"""What every metric demands of its arrays: the right shape, at least one image, probabilities in [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def flags(correct: NDArray[np.bool_], ndim: int = 1) -> NDArray[np.bool_]:
    """Return ``correct`` unchanged.

    Raises:
        ValueError: it is empty, has not ``ndim`` dimensions, or holds anything but booleans.
    """
    if correct.ndim != ndim or correct.size == 0:
        raise ValueError(f"expected a non-empty {ndim}-d array of booleans, got shape {correct.shape}")
    if correct.dtype != np.bool_:
        raise ValueError(f"expected booleans, got {correct.dtype}: compare predictions with labels first")
    return correct


def floats(values: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return ``values`` as float64.

    Raises:
        ValueError: it has another shape, is empty or holds NaN.
    """
    if values.shape != shape or values.size == 0:
        raise ValueError(f"expected a non-empty array of shape {shape}, got shape {values.shape}")
    if np.isnan(values).any():
        raise ValueError("expected numbers, got NaN: leave out images without a label first")
    return values.astype(np.float64)


def probabilities(values: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return ``values`` as float64.

    Raises:
        ValueError: it has another shape, is empty, holds NaN or leaves [0, 1].
    """
    checked = floats(values, shape)
    if checked.min() < 0 or checked.max() > 1:
        raise ValueError(
            f"expected probabilities in [0, 1], got {checked.min():.3g} to {checked.max():.3g}: are these logits?"
        )
    return checked


def class_indices(labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Return ``labels`` as int64, wide enough for any arithmetic on them.

    Raises:
        ValueError: it is empty, not one-dimensional, not integer or leaves [0, classes).
    """
    if labels.ndim != 1 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"expected a non-empty vector of integers, got {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"expected classes in [0, {classes}), got {labels.min()} to {labels.max()}: "
            "leave out images without a label first"
        )
    return labels.astype(np.int64)
