"""Degraded and improved classes: hand examples, exact ties, and a loop over Python fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, linregress, rankdata

from robustbench_msda.metrics.class_dependency import class_dependency, correlations, summarise

seeds = st.integers(0, 2**32 - 1)


def counts(seed: int, n: np.ndarray, runs: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n + 1, (runs, len(n)))


def test_example_by_hand() -> None:
    baseline = np.array([[5, 9, 3, 0, 7], [7, 9, 3, 0, 7]])
    treatment = np.array([[5, 10, 3, 0, 4], [5, 10, 3, 0, 5]])
    result = class_dependency(baseline, treatment, np.array([10, 10, 10, 0, 10]))
    np.testing.assert_allclose(result.recall_change, [-0.1, 0.1, 0.0, np.nan, -0.25])
    np.testing.assert_array_equal(result.sign, [-1, 1, 0, 0, -1])
    assert result.degraded.n == 2
    assert result.degraded.mean == pytest.approx(-0.175)
    assert result.degraded.std_population == pytest.approx(0.075)
    assert result.degraded.std_sample == pytest.approx(0.075 * 2**0.5)
    assert (result.improved.n, result.n_tied) == (1, 1)
    assert np.isnan(result.improved.std_sample)


def test_averaging_seeds_first_counts_fewer_than_single_seeds() -> None:
    baseline, treatment = np.array([[5, 5], [5, 5]]), np.array([[3, 8], [8, 3]])
    assert class_dependency(baseline, treatment, np.array([10, 10])).degraded.n == 0
    assert class_dependency(baseline[:1], treatment[:1], np.array([10, 10])).degraded.n == 1


def test_equal_recalls_from_unequal_numbers_of_seeds_tie() -> None:
    # 3 × 0.07 averaged in floating point is not 0.07: a comparison of means would call the class changed.
    n = np.array([100])
    result = class_dependency(np.full((3, 1), 7), np.full((5, 1), 7), n)
    assert (result.degraded.n, result.n_tied) == (0, 1)
    shuffled = class_dependency(np.array([[1], [2], [6]]), np.array([[2], [4], [3], [3], [3]]), n)
    assert (shuffled.recall_change[0], shuffled.n_tied) == (0.0, 1)


@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_agrees_with_exact_fractions(seed: int, before: int, after: int) -> None:
    n = np.random.default_rng(seed).integers(0, 6, 12)
    baseline, treatment = counts(seed, n, before), counts(seed + 1, n, after)
    result = class_dependency(baseline.astype(np.int16), treatment, n)
    changes = [
        Fraction(int(treatment[:, k].sum()), after * int(n[k]))
        - Fraction(int(baseline[:, k].sum()), before * int(n[k]))
        for k in range(12)
        if n[k]
    ]
    fallen, risen = [c for c in changes if c < 0], [c for c in changes if c > 0]
    assert (result.degraded.n, result.improved.n, result.n_tied) == (
        len(fallen),
        len(risen),
        len(changes) - len(fallen) - len(risen),
    )
    np.testing.assert_allclose(result.recall_change[n > 0], [float(c) for c in changes], atol=1e-15)
    assert np.isnan(result.recall_change[n == 0]).all()
    if fallen:
        assert result.degraded.mean == pytest.approx(float(sum(fallen) / len(fallen)))
    else:
        assert np.isnan(result.degraded.mean)


@given(seeds)
def test_swapping_sides_swaps_the_sets(seed: int) -> None:
    n = np.full(9, 20)
    baseline, treatment = counts(seed, n, 3), counts(seed + 1, n, 4)
    there, back = class_dependency(baseline, treatment, n), class_dependency(treatment, baseline, n)
    np.testing.assert_array_equal(there.recall_change, -back.recall_change)
    assert there.degraded.n == back.improved.n
    assert there.n_tied == back.n_tied
    order = np.random.default_rng(seed).permutation(9)
    moved = class_dependency(baseline[:, order], treatment[:, order], n)
    np.testing.assert_array_equal(moved.sign, there.sign[order])
    assert class_dependency(baseline, baseline, n).n_tied == 9


def test_no_classes_are_undefined_and_not_zero() -> None:
    for value in (summarise(np.zeros(0)).mean, summarise(np.zeros(0)).std_population, summarise(np.ones(1)).std_sample):
        assert np.isnan(value)
    assert summarise(np.array([-0.2])).std_population == 0.0


def test_misuse_says_what_was_expected() -> None:
    n, good = np.array([10, 10]), np.array([[1, 2]])
    with pytest.raises(ValueError, match="not recalls"):
        class_dependency(good / 10, good, n)
    with pytest.raises(ValueError, match="at most as many"):
        class_dependency(good, np.array([[11, 2]]), n)
    with pytest.raises(ValueError, match="at most as many"):
        class_dependency(np.array([[-1, 2]]), good, n)
    with pytest.raises(ValueError, match="shapes"):
        class_dependency(good[:0], good, n)
    with pytest.raises(ValueError, match="shapes"):
        class_dependency(good, good, n[:1])


def test_no_degraded_class_has_no_mean() -> None:
    result = class_dependency(np.array([[5, 5]]), np.array([[5, 9]]), np.array([10, 10]))
    assert (result.degraded.n, result.improved.n, result.n_tied) == (0, 1, 1)
    assert np.isnan([result.degraded.mean, result.degraded.std_population, result.degraded.std_sample]).all()


def test_correlations_are_those_of_a_line_and_of_ranks() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=30)
    other = 0.5 * one + rng.normal(size=30)
    other[:4] = other[4]  # ties share their mean rank
    (pearson, pearson_p), (spearman, spearman_p) = correlations(one, other)
    line, ranks = linregress(one, other), linregress(rankdata(one), rankdata(other))
    assert (pearson, pearson_p) == (pytest.approx(line.rvalue), pytest.approx(line.pvalue))
    assert (spearman, spearman_p) == (pytest.approx(ranks.rvalue), pytest.approx(ranks.pvalue))
    assert np.sign(kendalltau(one, other).statistic) == np.sign(pearson) == 1
    assert correlations(one, -other)[0][0] == pytest.approx(-pearson)


@pytest.mark.parametrize("pair", [([0.1, 0.2], [0.3, 0.1]), ([0.1, 0.1, 0.1], [0.1, 0.2, 0.3]), ([], [])])
def test_too_little_to_correlate_is_nan(pair: tuple[list[float], list[float]]) -> None:
    assert np.isnan(correlations(np.array(pair[0]), np.array(pair[1]))).all()


def test_correlations_refuse_what_does_not_fit() -> None:
    for pair in ((np.zeros(3), np.zeros(4)), (np.array([0.0, 1.0, np.nan]), np.zeros(3))):
        with pytest.raises(ValueError, match="finite numbers of one length"):
            correlations(*pair)
