"""Corruption errors: raw and relative to a baseline. Errors are fractions, in tables of (corruptions, severities)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_corruption_error(errors: NDArray[np.floating]) -> float:
    """Return the mean over corruptions of the mean over severities, in [0, 1], with no baseline.

    The "mCE" of CIFAR-10-C in AugMix (Hendrycks et al., ICLR 2020): every corruption weighs the same.

    Args:
        errors: (corruptions, severities).

    Raises:
        ValueError: the table is empty, has another shape or holds anything but fractions.
    """
    return float(_table(errors).mean(axis=1).mean())


def corruption_error(errors: NDArray[np.floating], normaliser: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return CE of each corruption: Σₛ E(s, c) / Σₛ E_baseline(s, c), (corruptions,), 1 for the baseline itself.

    Hendrycks & Dietterich (ICLR 2019), sec. 4: the sums are divided, not the five ratios averaged.

    Args:
        errors: (corruptions, severities).
        normaliser: (corruptions,) the baseline's errors, each a mean over the same severities.

    Raises:
        ValueError: the shapes disagree, an error is no fraction or the baseline makes no errors.
    """
    mean = _table(errors).mean(axis=1)
    return np.asarray(mean / _positive(normaliser, mean.shape))


def mce(errors: NDArray[np.floating], normaliser: NDArray[np.floating]) -> float:
    """Return the mean of ``corruption_error``: mCE of Hendrycks & Dietterich (ICLR 2019), a fraction, may exceed 1.

    Args:
        errors: (corruptions, severities).
        normaliser: (corruptions,) the baseline's errors, each a mean over the same severities.

    Raises:
        ValueError: as ``corruption_error``.
    """
    return float(corruption_error(errors, normaliser).mean())


def relative_corruption_error(
    errors: NDArray[np.floating], clean_error: float, normaliser: NDArray[np.floating], normaliser_clean: float
) -> NDArray[np.float64]:
    """Return relative CE: what corruption adds to the clean error, over what it adds to the baseline's, (corruptions,).

    Hendrycks & Dietterich (ICLR 2019), sec. 4: Σₛ (E(s, c) − E_clean) / Σₛ (E_baseline(s, c) − E_baseline,clean).

    Args:
        errors: (corruptions, severities).
        clean_error: on the clean images.
        normaliser: (corruptions,) the baseline's errors, each a mean over the same severities.
        normaliser_clean: the baseline's error on the clean images.

    Raises:
        ValueError: as ``corruption_error``, or a corruption does not raise the baseline's error.
    """
    mean = _table(errors).mean(axis=1)
    return np.asarray((mean - clean_error) / _positive(normaliser - normaliser_clean, mean.shape))


def relative_mce(
    errors: NDArray[np.floating], clean_error: float, normaliser: NDArray[np.floating], normaliser_clean: float
) -> float:
    """Return the mean of ``relative_corruption_error``: relative mCE of Hendrycks & Dietterich (ICLR 2019).

    Args:
        errors: (corruptions, severities).
        clean_error: on the clean images.
        normaliser: (corruptions,) the baseline's errors, each a mean over the same severities.
        normaliser_clean: the baseline's error on the clean images.

    Raises:
        ValueError: as ``relative_corruption_error``.
    """
    return float(relative_corruption_error(errors, clean_error, normaliser, normaliser_clean).mean())


def _table(errors: NDArray[np.floating]) -> NDArray[np.float64]:
    if errors.ndim != 2 or errors.size == 0:
        raise ValueError(f"expected a table of (corruptions, severities), got shape {errors.shape}")
    if not (np.isfinite(errors).all() and errors.min() >= 0 and errors.max() <= 1):
        raise ValueError(f"expected errors in [0, 1], got {errors.min():.3g} to {errors.max():.3g}: are these percent?")
    return errors.astype(np.float64)


def _positive(baseline: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if baseline.shape != shape:
        raise ValueError(f"expected a baseline of shape {shape}, one mean a corruption, got {baseline.shape}")
    if not (baseline > 0).all():
        raise ValueError(f"expected a baseline that every corruption harms, got {baseline.min():.3g} to divide by")
    return baseline.astype(np.float64)
