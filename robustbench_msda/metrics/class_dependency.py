"""Which classes an augmentation harms, and by how much.

The measures of Lee et al., "The Effects of Mixed Sample Data Augmentation Are Class Dependent" (2023), sec. 3.2. Signs
are decided on integers: rounding would make some equal recalls degraded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from robustbench_msda.metrics.shares import shares


@dataclass(frozen=True)
class ClassSet:
    """How the recall of a set of classes changed.

    Attributes:
        n: how many classes.
        mean: of their changes, as a fraction; NaN for none.
        std_population: of their changes, over classes and not over seeds, with n in the divisor; NaN for none.
        std_sample: the same with n − 1 in the divisor; NaN below two.
    """

    n: int
    mean: float
    std_population: float
    std_sample: float


@dataclass(frozen=True)
class ClassDependency:
    """What a treatment did to each class's recall.

    Attributes:
        recall_change: (K,) treatment minus baseline, recalls averaged over seeds first, in [−1, 1]; NaN for a class
            without images.
        sign: (K,) its exact sign: −1 degraded, 1 improved, 0 tied or without images.
        degraded: the classes that lost recall; its ``n`` is N_DC (eq. 3), its ``mean`` that of eq. 4.
        improved: the classes that gained.
        n_tied: the classes with images whose recall is exactly what it was.
    """

    recall_change: NDArray[np.float64]
    sign: NDArray[np.int64]
    degraded: ClassSet
    improved: ClassSet
    n_tied: int


def class_dependency(
    baseline: NDArray[np.integer], treatment: NDArray[np.integer], n: NDArray[np.integer]
) -> ClassDependency:
    """Return what the treatment did to each class (eqs. 1–4).

    Recalls are averaged over seeds before they are compared; comparing seed by seed and averaging N_DC gives a larger
    number. The sides may have different numbers of seeds.

    Args:
        baseline: (seeds, K) correct answers of each class.
        treatment: (other seeds, K) likewise.
        n: (K,) images of each class, the same for every seed.

    Raises:
        ValueError: the shapes disagree, a side has no seed, or a count is no integer or not in [0, n].
    """
    before, after, images = _counts(baseline, n), _counts(treatment, n), n.astype(np.int64)
    scaled = after.sum(axis=0) * len(before) - before.sum(axis=0) * len(after)
    evaluations = images * len(before) * len(after)
    change = shares(scaled, evaluations)
    sign = np.sign(scaled)
    tied = int(np.count_nonzero((sign == 0) & (images > 0)))
    return ClassDependency(change, sign, summarise(change[sign < 0]), summarise(change[sign > 0]), tied)


def summarise(changes: NDArray[np.float64]) -> ClassSet:
    """Return the number, mean and spread of some classes' changes: (n,), NaN where there are too few to say."""
    n, nan = changes.size, float("nan")
    return ClassSet(
        n=n,
        mean=float(changes.mean()) if n else nan,
        std_population=float(changes.std()) if n else nan,
        std_sample=float(changes.std(ddof=1)) if n > 1 else nan,
    )


def correlations(
    one: NDArray[np.floating], other: NDArray[np.floating]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return Pearson's r and Spearman's ρ over classes, each with its two-sided p: Figure 5 of Lee et al. (2023).

    NaN where there are fewer than three classes, or a side is the same for all of them.

    Args:
        one: (K,) such as the confidence change of each class.
        other: (K,) such as its recall change.

    Raises:
        ValueError: the shapes disagree or a number is not finite.
    """
    if one.ndim != 1 or one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError(f"expected two vectors of finite numbers of one length, got {one.shape} and {other.shape}")
    nan = float("nan")
    if one.size < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return (nan, nan), (nan, nan)
    linear, ranked = pearsonr(one, other), spearmanr(one, other)
    return (float(linear.statistic), float(linear.pvalue)), (float(ranked.statistic), float(ranked.pvalue))


def _counts(correct: NDArray[np.integer], n: NDArray[np.integer]) -> NDArray[np.int64]:
    if n.ndim != 1 or correct.ndim != 2 or correct.shape[1:] != n.shape or len(correct) == 0:
        raise ValueError(f"expected counts (seeds, K) and images (K,), got shapes {correct.shape} and {n.shape}")
    if not (np.issubdtype(correct.dtype, np.integer) and np.issubdtype(n.dtype, np.integer)):
        raise ValueError(f"expected integers, got {correct.dtype} and {n.dtype}: count correct answers, not recalls")
    if (correct < 0).any() or (correct > n).any():
        raise ValueError("expected at most as many correct answers as images of each class, and no negative ones")
    return correct.astype(np.int64)
