"""Intervals and tests over images and over seeds, in float64; chance comes in as a generator.

Intervals of the bootstrap are percentile intervals at 95 %. Resampling goes by distinct rows: how often each kind of
image is drawn is multinomial, which is the law of drawing images with replacement and far quicker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

MIN_SEEDS = 4  # a side: with 4 and 4 the smallest two-sided p of a permutation test is 2/70
MAX_SPLITS = 200_000  # 10 and 10 seeds make 184,756
TAILS = (0.025, 0.975)
DRAWS_AT_ONCE = 10_000_000
SPLITS_AT_ONCE = 4_096


class Estimate(NamedTuple):
    """A mean with its 95 % interval and the two-sided p of its being 0."""

    value: float
    low: float
    high: float
    p: float


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share (JASA 1927), within [0, 1]; NaN twice for ``n`` = 0.

    Args:
        successes: how many of ``n``.
        n: trials.
        level: coverage, in (0, 1).

    Raises:
        ValueError: ``successes`` is not in [0, n], or ``level`` not in (0, 1).
    """
    if not 0 <= successes <= n or not 0 < level < 1:
        raise ValueError(f"expected successes in [0, n] and a level in (0, 1), got {successes} of {n} at {level}")
    if n == 0:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (successes + z * z / 2) / (n + z * z)
    half = z * sqrt(successes * (1 - successes / n) + z * z / 4) / (n + z * z)
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def exact_mcnemar(only_baseline: int, only_treatment: int) -> float:
    """Return the exact two-sided p that both sides are right equally often, in (0, 1] (McNemar 1947).

    Args:
        only_baseline: images that only the baseline answers correctly.
        only_treatment: images that only the treatment answers correctly.

    Raises:
        ValueError: a count is negative.
    """
    if min(only_baseline, only_treatment) < 0:
        raise ValueError(f"expected counts from 0, got {only_baseline} and {only_treatment}")
    fewer, discordant = min(only_baseline, only_treatment), only_baseline + only_treatment
    return min(1.0, 2 * float(binom.cdf(fewer, discordant, 0.5)))


def paired_bootstrap(differences: NDArray[np.floating], replicates: int, rng: np.random.Generator) -> Estimate:
    """Return the mean difference, its 95 % interval over images, and the two-sided p that it is 0.

    p is twice the smaller share of replicates on either side of 0, both counted with the data themselves (so at least
    2 / (replicates + 1)), at most 1.

    Args:
        differences: (n,) treatment minus baseline of each image, over seeds averaged, such as
            ``treatment.mean(axis=0) - baseline.mean(axis=0)`` of (seeds, n) correct answers.
        replicates: how often images are drawn again.
        rng: all chance.

    Raises:
        ValueError: there are no images or replicates, or a difference is NaN.
    """
    if differences.ndim != 1 or differences.size == 0 or np.isnan(differences).any() or replicates < 1:
        raise ValueError(f"expected differences (n,) without NaN and replicates, got {differences.shape}, {replicates}")
    values = differences.astype(np.float64)
    means = _resampled_means(values[:, None], replicates, rng)[:, 0]
    low, high = np.quantile(means, TAILS)
    return Estimate(float(values.mean()), float(low), float(high), _two_sided(means, np.abs(values).max()))


def hierarchical_bootstrap(
    values: NDArray[np.generic], replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of a group's mean over seeds and images, low and high.

    A replicate draws seeds, then images, the same for all seeds (Davison & Hinkley 1997, sec. 3.8, crossed and not
    nested: every seed sees every image). With S seeds, drawing them understates their variance by (S − 1) / S, and one
    seed adds none.

    Args:
        values: (seeds, n) a number an image, such as whether it is answered wrongly, or in which share of corruptions.
        replicates: how often everything is drawn again.
        rng: all chance.

    Raises:
        ValueError: there are no seeds, images or replicates, or a number is NaN.
    """
    means = _hierarchical_means([(1.0, values)], replicates, rng)
    low, high = np.quantile(means, TAILS)
    return float(low), float(high)


def hierarchical_change(
    baseline: NDArray[np.generic], treatment: NDArray[np.generic], replicates: int, rng: np.random.Generator
) -> Estimate:
    """Return the treatment's mean minus the baseline's over seeds and images, its 95 % interval and two-sided p.

    A replicate draws seeds on each side, then images, the same for both sides; p as that of ``paired_bootstrap``,
    arguments and errors as of ``hierarchical_bootstrap``: (seeds, n) and (other seeds, n) numbers of the same n images.
    """
    means = _hierarchical_means([(-1.0, baseline), (1.0, treatment)], replicates, rng)
    low, high = np.quantile(means, TAILS)
    value = treatment.astype(np.float64).mean() - baseline.astype(np.float64).mean()
    return Estimate(float(value), float(low), float(high), _two_sided(means, 1.0))


def class_recall_bootstrap(
    baseline: NDArray[np.bool_] | NDArray[np.float64],
    treatment: NDArray[np.bool_] | NDArray[np.float64],
    labels: NDArray[np.integer],
    classes: int,
    replicates: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the 95 % interval of each class's recall change: (classes, 2), low and high; NaN without images.

    A replicate draws seeds on each side, then the class's images, the same for all seeds of both sides. With S seeds a
    side, drawing seeds understates their variance by (S − 1) / S, and one seed adds none.

    Args:
        baseline: (seeds, n) whether each answer is correct, or the share of an image's corruptions where it is.
        treatment: (other seeds, n) likewise.
        labels: (n,) in [0, classes).
        classes: how many.
        replicates: how often everything is drawn again.
        rng: all chance.

    Raises:
        ValueError: the shapes disagree, a side is empty, a label is out of range, or there are no replicates.
    """
    sides = (baseline, treatment)
    if any(side.ndim != 2 or side.size == 0 or side.shape[1:] != labels.shape for side in sides) or replicates < 1:
        raise ValueError(
            f"expected (seeds, n) twice, labels (n,) and replicates, got {baseline.shape}, {treatment.shape}, "
            f"{labels.shape}, {replicates}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"expected labels in [0, {classes}), got {labels.min()} to {labels.max()}")
    seeds = [_seed_weights(len(side), replicates, rng) for side in sides]
    weights = np.hstack([-seeds[0], seeds[1]])
    correct = np.concatenate(sides).T
    intervals = np.full((classes, 2), np.nan)
    for label in np.unique(labels):
        recalls = _resampled_means(correct[labels == label], replicates, rng)
        intervals[label] = np.quantile((recalls * weights).sum(axis=1), TAILS)
    return intervals


def permutation_over_seeds(baseline: NDArray[np.number], treatment: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the exact two-sided p that the seeds of both sides have one law, a number for each column: (...).

    The share of all ways to split the seeds into groups of these sizes whose means lie at least as far apart as the
    observed ones (Pitman 1937). It cannot fall below 1 over the number of splits, or 2 over it for equal sides.

    Args:
        baseline: (seeds, ...) a number or one a class; counts of correct answers serve as well as recalls.
        treatment: (other seeds, ...) likewise.

    Raises:
        ValueError: a side is empty, the shapes disagree, or there are more than ``MAX_SPLITS`` splits.
    """
    values, shape = _stacked(treatment, baseline), treatment.shape[1:]
    observed = np.abs(next(_split_changes(values, len(treatment)))[0])
    # Equal means differ by rounding only where the values are not integers.
    least = observed - 1e-12 * len(values) * np.abs(values).sum(axis=0)
    changes = _split_changes(values, len(treatment))
    as_far = sum((np.count_nonzero(np.abs(block) >= least, axis=0) for block in changes), np.zeros(values.shape[1]))
    return np.reshape(as_far / comb(len(values), len(treatment)), shape)


def n_degraded_null(baseline: NDArray[np.integer], treatment: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the number of degraded classes under every split of all seeds into two sides, the observed split first.

    Its law were the treatment nothing but other seeds: (splits,), around half of the classes that are not tied.

    Args:
        baseline: (seeds, K) correct answers of each class.
        treatment: (other seeds, K) likewise.

    Raises:
        ValueError: a side has fewer than ``MIN_SEEDS`` seeds, the shapes disagree, the counts are no integers, or there
            are more than ``MAX_SPLITS`` splits.
    """
    if min(len(baseline), len(treatment)) < MIN_SEEDS:
        raise ValueError(f"expected {MIN_SEEDS} seeds a side or more, got {len(baseline)} and {len(treatment)}")
    if not all(np.issubdtype(side.dtype, np.integer) for side in (baseline, treatment)):
        raise ValueError("expected integers: count correct answers, recalls do not tie exactly")
    changes = _split_changes(_stacked(treatment, baseline), len(treatment))
    return np.concatenate([np.count_nonzero(block < 0, axis=1) for block in changes]).astype(np.int64)


def benjamini_hochberg(p: NDArray[np.floating], q: float = 0.05) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which hypotheses fall at a false discovery rate of ``q``, and the adjusted p of all: (m,) and (m,).

    Benjamini & Hochberg (JRSS B 1995); a hypothesis falls if its adjusted p is at most ``q``.

    Args:
        p: (m,) in [0, 1]; m may be 0.
        q: in (0, 1).

    Raises:
        ValueError: a p is NaN or not in [0, 1].
    """
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("expected a vector of p in [0, 1], got another shape, NaN or a number outside")
    order = np.argsort(p)
    scaled = p[order] * (p.size / np.arange(1, p.size + 1))
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return adjusted <= q, adjusted


def _hierarchical_means(
    sides: Sequence[tuple[float, NDArray[np.generic]]], replicates: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the sum over sides, each with its sign, of the mean over seeds and images drawn again: (replicates,)."""
    values = [side for _, side in sides]
    if any(side.ndim != 2 or 0 in side.shape or side.shape[1] != values[0].shape[1] for side in values):
        raise ValueError(f"expected (seeds, n) of the same images, got {[side.shape for side in values]}")
    if replicates < 1 or any(np.isnan(side.astype(np.float64)).any() for side in values):
        raise ValueError(f"expected numbers and replicates, got NaN or {replicates} replicates")
    weights = np.hstack([sign * _seed_weights(len(side), replicates, rng) for sign, side in sides])
    means: NDArray[np.float64] = (_resampled_means(np.concatenate(values).T, replicates, rng) * weights).sum(axis=1)
    return means


def _seed_weights(seeds: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the share each seed has in every sample of seeds with replacement: (replicates, seeds)."""
    shares: NDArray[np.float64] = rng.multinomial(seeds, np.full(seeds, 1 / seeds), replicates) / seeds
    return shares


def _two_sided(means: NDArray[np.float64], largest: float) -> float:
    """Return twice the smaller share of ``means`` on either side of 0, the data themselves counted with them."""
    # Rounding may put a mean of exactly 0 to either side of it.
    rounding = 1e-12 * largest
    rarer = min(np.count_nonzero(means <= rounding), np.count_nonzero(means >= -rounding))
    return min(1.0, 2 * (int(rarer) + 1) / (len(means) + 1))


def _resampled_means(rows: NDArray[np.generic], replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the means of ``replicates`` samples of n rows with replacement: (n, d) to (replicates, d)."""
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    shares = counts / len(rows)
    sizes = [
        len(block) for block in np.array_split(np.arange(replicates), 1 + replicates * len(kinds) // DRAWS_AT_ONCE)
    ]
    draws = (rng.multinomial(len(rows), shares, size) for size in sizes)
    return np.concatenate([block @ kinds.astype(np.float64) for block in draws]) / len(rows)


def _stacked(first: NDArray[np.number], second: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the seeds of both sides, ``first`` first, with all other axes made one: (seeds, columns)."""
    if min(first.ndim, second.ndim) < 1 or first.shape[1:] != second.shape[1:] or 0 in (len(first), len(second)):
        raise ValueError(f"expected (seeds, ...) twice, alike but for seeds, got {first.shape} and {second.shape}")
    return np.concatenate([first, second]).reshape(len(first) + len(second), -1).astype(np.float64)


def _split_changes(values: NDArray[np.float64], size: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks (splits, columns) of the first group's mean minus the other's, times a positive constant.

    The constant, the product of both sizes, makes it Σ_group · n − Σ_all · size: exact for integers.
    """
    n = len(values)
    if comb(n, size) > MAX_SPLITS:
        raise ValueError(
            f"expected at most {MAX_SPLITS} splits, got {comb(n, size)}: use fewer than {size} and {n - size} seeds"
        )
    members = np.array(list(combinations(range(n), size)))
    for block in np.array_split(members, 1 + len(members) // SPLITS_AT_ONCE):
        chosen = np.zeros((len(block), n))
        np.put_along_axis(chosen, block, 1.0, axis=1)
        yield n * (chosen @ values) - size * values.sum(axis=0)
