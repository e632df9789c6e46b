"""Intervals and tests against SciPy, brute force over splits, coverage on simulated seeds, and properties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, false_discovery_control, permutation_test

from robustbench_msda.statistics import (
    benjamini_hochberg,
    class_recall_bootstrap,
    exact_mcnemar,
    hierarchical_bootstrap,
    hierarchical_change,
    n_degraded_null,
    paired_bootstrap,
    permutation_over_seeds,
    wilson_interval,
)

seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_wilson_agrees_with_scipy(counts: tuple[int, int], level: float) -> None:
    successes, n = counts
    expected = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    low, high = wilson_interval(successes, n, level)
    assert (low, high) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
    assert 0 <= low <= successes / n <= high <= 1


def test_wilson_at_the_ends() -> None:
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0
    assert np.isnan(wilson_interval(0, 0)).all()
    for arguments in ((3, 2), (-1, 2), (1, 2, 95)):
        with pytest.raises(ValueError, match="expected successes"):
            wilson_interval(*arguments)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_scipy(b: int, c: int) -> None:
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert exact_mcnemar(b, c) == pytest.approx(expected, rel=1e-9)
    assert exact_mcnemar(c, b) == exact_mcnemar(b, c)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="counts from 0"):
        exact_mcnemar(-1, 3)


def test_paired_bootstrap_agrees_with_scipy() -> None:
    differences = np.random.default_rng(0).integers(-1, 2, 400) + np.random.default_rng(1).integers(0, 2, 400) * 0.25
    ours = paired_bootstrap(differences, 20_000, np.random.default_rng(2))
    scipys = bootstrap((differences,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3))
    assert ours.value == differences.mean()
    assert ours.low == pytest.approx(scipys.confidence_interval.low, abs=0.004)
    assert ours.high == pytest.approx(scipys.confidence_interval.high, abs=0.004)


def test_paired_bootstrap_by_blocks_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(0).normal(size=50)
    whole = paired_bootstrap(differences, 500, np.random.default_rng(1))
    monkeypatch.setattr("robustbench_msda.statistics.DRAWS_AT_ONCE", 1000)
    assert paired_bootstrap(differences, 500, np.random.default_rng(1)) == pytest.approx(whole)


def test_paired_p_at_the_extremes() -> None:
    rng = np.random.default_rng(0)
    assert paired_bootstrap(np.zeros(10), 999, rng).p == 1.0
    assert paired_bootstrap(np.full(10, 0.1), 999, rng).p == pytest.approx(2 / 1000)
    # Means of exactly 0 that rounding moves must count on both sides: one up, one down of five seeds.
    assert paired_bootstrap(np.array([0.2, -0.2, 0.6, -0.6]), 999, rng).p == pytest.approx(1.0, abs=0.2)


def test_paired_p_is_about_uniform_without_a_difference() -> None:
    rng = np.random.default_rng(0)
    p = np.array([paired_bootstrap(rng.integers(-1, 2, 300), 399, rng).p for _ in range(400)])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.035)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.1)


@given(seeds)
@settings(max_examples=25)
def test_paired_bootstrap_turns_with_its_sign(seed: int) -> None:
    differences = np.random.default_rng(seed).integers(-4, 5, 60) / 4
    there = paired_bootstrap(differences, 4000, np.random.default_rng(0))
    back = paired_bootstrap(-differences, 4000, np.random.default_rng(1))
    assert there.low <= there.value <= there.high
    assert (there.low, there.high) == (pytest.approx(-back.high, abs=0.05), pytest.approx(-back.low, abs=0.05))
    assert there.p == pytest.approx(back.p, abs=0.1)


def test_paired_bootstrap_refuses_nothing_to_draw() -> None:
    for differences, replicates in ((np.zeros(0), 10), (np.array([np.nan]), 10), (np.zeros(3), 0)):
        with pytest.raises(ValueError, match="differences"):
            paired_bootstrap(differences, replicates, np.random.default_rng(0))


def simulated(classes: int, n: int, runs: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Answers whose difficulty belongs to the image and is shared by both sides, and the true recall changes."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), n))
    ease, shift = rng.uniform(0.3, 0.8, classes * n), rng.uniform(-0.2, 0.2, classes)
    baseline = rng.random((runs, labels.size)) < ease
    treatment = rng.random((runs, labels.size)) < ease + shift[labels]
    return baseline, treatment, labels, shift


def test_class_intervals_cover_the_true_change() -> None:
    baseline, treatment, labels, shift = simulated(classes=200, n=100, runs=4, seed=0)
    intervals = class_recall_bootstrap(baseline, treatment, labels, 200, 1000, np.random.default_rng(1))
    covered = (intervals[:, 0] <= shift) & (shift <= intervals[:, 1])
    assert 0.92 <= covered.mean() <= 1.0
    observed = np.array([(treatment[:, labels == k].mean() - baseline[:, labels == k].mean()) for k in range(200)])
    assert ((intervals[:, 0] <= observed) & (observed <= intervals[:, 1])).all()


def test_class_intervals_match_a_loop_that_draws_indices() -> None:
    baseline, treatment, labels, _ = simulated(classes=2, n=40, runs=3, seed=3)
    treatment = treatment[:2]
    ours = class_recall_bootstrap(baseline, treatment, labels, 2, 20_000, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    for label in range(2):
        images = np.flatnonzero(labels == label)
        changes = []
        for _ in range(5000):
            drawn = rng.choice(images, len(images))
            before, after = rng.integers(0, 3, 3), rng.integers(0, 2, 2)
            changes.append(treatment[np.ix_(after, drawn)].mean() - baseline[np.ix_(before, drawn)].mean())
        np.testing.assert_allclose(ours[label], np.quantile(changes, [0.025, 0.975]), atol=0.015)


def test_hierarchical_intervals_match_a_loop_that_draws_indices() -> None:
    rng = np.random.default_rng(5)
    baseline, treatment = rng.integers(0, 6, (3, 40)) / 5, rng.integers(1, 6, (2, 40)) / 5
    own = hierarchical_bootstrap(baseline, 20_000, np.random.default_rng(1))
    change = hierarchical_change(baseline, treatment, 20_000, np.random.default_rng(1))
    alone, changes = [], []
    for _ in range(5000):
        images = rng.integers(0, 40, 40)
        before, after = rng.integers(0, 3, 3), rng.integers(0, 2, 2)
        alone.append(baseline[np.ix_(before, images)].mean())
        changes.append(treatment[np.ix_(after, images)].mean() - alone[-1])
    np.testing.assert_allclose(own, np.quantile(alone, [0.025, 0.975]), atol=0.01)
    np.testing.assert_allclose(change[1:3], np.quantile(changes, [0.025, 0.975]), atol=0.01)
    assert change.value == pytest.approx(treatment.mean() - baseline.mean())
    below = np.mean(np.array(changes) <= 0)
    assert change.p == pytest.approx(2 * min(below, 1 - below), abs=0.03)


def test_hierarchical_intervals_cover_the_true_mean() -> None:
    rng, covered = np.random.default_rng(11), 0
    for _ in range(150):
        hardness, seed = rng.normal(0, 1, 80), rng.normal(0, 0.3, (8, 1))
        values = 0.5 + 0.1 * (hardness + seed + rng.normal(0, 0.5, (8, 80)))
        low, high = hierarchical_bootstrap(values, 300, rng)
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_one_seed_leaves_the_interval_over_images() -> None:
    values = np.random.default_rng(3).random((1, 50))
    low, high = hierarchical_bootstrap(values, 4000, np.random.default_rng(0))
    found = bootstrap((values[0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    np.testing.assert_allclose([low, high], list(found.confidence_interval), atol=0.01)


def test_hierarchical_intervals_refuse_what_does_not_fit() -> None:
    rng = np.random.default_rng(0)
    for values, replicates in (
        (np.zeros(3), 9),
        (np.zeros((0, 3)), 9),
        (np.full((1, 2), np.nan), 9),
        (np.zeros((1, 2)), 0),
    ):
        with pytest.raises(ValueError, match="expected"):
            hierarchical_bootstrap(values, replicates, rng)
    with pytest.raises(ValueError, match="same images"):
        hierarchical_change(np.zeros((1, 2)), np.zeros((1, 3)), 9, rng)


def test_pairing_on_images_narrows_the_interval() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(1000) < 0.5
    baseline = np.tile(~hard, (2, 1))
    treatment = baseline.copy()
    treatment[:, :20] = True
    low, high = class_recall_bootstrap(baseline, treatment, np.zeros(1000, int), 1, 500, rng)[0]
    assert 0 < low < high < 0.03


def test_seeds_that_disagree_widen_the_interval() -> None:
    labels = np.zeros(1000, int)
    alike = np.arange(1000)[None] % 2 == np.zeros((4, 1))
    apart = np.arange(1000)[None] < np.array([[200], [400], [600], [800]])
    rng = np.random.default_rng(0)
    narrow, wide = (class_recall_bootstrap(side, side, labels, 1, 500, rng)[0] for side in (alike, apart))
    np.testing.assert_array_equal(narrow, [0, 0])
    assert np.diff(wide)[0] > 0.3


def test_class_intervals_without_images_are_nan_and_draws_are_reproducible() -> None:
    baseline, treatment, labels, _ = simulated(classes=3, n=20, runs=2, seed=0)
    first, second = (
        class_recall_bootstrap(baseline, treatment, labels, 5, 200, np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.isnan(first[3:]).all()
    assert np.isfinite(first[:3]).all()


def test_class_intervals_refuse_what_does_not_fit() -> None:
    correct, labels, rng = np.ones((2, 4), bool), np.zeros(4, int), np.random.default_rng(0)
    for arguments in ((correct[:, :3], correct, labels, 2, 10), (correct[:0], correct, labels, 2, 10)):
        with pytest.raises(ValueError, match="labels"):
            class_recall_bootstrap(*arguments, rng)
    with pytest.raises(ValueError, match=r"in \[0, 2\)"):
        class_recall_bootstrap(correct, correct, labels + 2, 2, 10, rng)
    with pytest.raises(ValueError, match="replicates"):
        class_recall_bootstrap(correct, correct, labels, 2, 0, rng)


def mean_difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(a, axis=axis) - np.mean(b, axis=axis)


def test_permutation_of_equal_sides_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    baseline, treatment = rng.normal(size=(4, 6)), rng.normal(0.8, 1, (4, 6))
    expected = permutation_test((treatment, baseline), mean_difference, n_resamples=np.inf, vectorized=True, axis=0)
    np.testing.assert_allclose(permutation_over_seeds(baseline, treatment), expected.pvalue, atol=1e-12)


@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_permutation_agrees_with_brute_force_on_integers(seed: int, before: int, after: int) -> None:
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.integers(0, 4, (before, 5)), rng.integers(0, 4, (after, 5))
    pooled = np.concatenate([treatment, baseline])
    for k, p in enumerate(permutation_over_seeds(baseline, treatment)):
        distances = []
        for chosen in combinations(range(before + after), after):
            inside, total = int(pooled[list(chosen), k].sum()), int(pooled[:, k].sum())
            distances.append(abs(inside * before - (total - inside) * after))
        assert p == sum(d >= distances[0] for d in distances) / len(distances)


@given(seeds)
def test_permutation_reads_counts_and_recalls_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.integers(0, 6, (4, 8)), rng.integers(0, 6, (5, 8))
    exact = permutation_over_seeds(baseline, treatment)
    np.testing.assert_array_equal(permutation_over_seeds(baseline / 50, treatment / 50), exact)
    np.testing.assert_array_equal(permutation_over_seeds(treatment, baseline), exact)


def test_smallest_p_and_shapes() -> None:
    assert float(permutation_over_seeds(np.arange(4), np.arange(4) + 10)) == 2 / 70
    assert float(permutation_over_seeds(np.ones(4), np.ones(4))) == 1.0
    assert permutation_over_seeds(np.zeros((4, 3, 2)), np.ones((5, 3, 2))).shape == (3, 2)


def test_permutation_is_about_uniform_without_a_difference() -> None:
    values = np.random.default_rng(0).normal(size=(8, 4000))
    p = permutation_over_seeds(values[:4], values[4:])
    for level in (2 / 70, 0.1, 0.5):
        assert (p <= level + 1e-9).mean() == pytest.approx(np.floor(level * 35 + 1e-9) / 35, abs=0.025)


def test_permutation_refuses_too_much_and_too_little() -> None:
    with pytest.raises(ValueError, match="at most 200000 splits"):
        permutation_over_seeds(np.zeros(11), np.zeros(11))
    for baseline, treatment in ((np.zeros(0), np.zeros(3)), (np.zeros((3, 2)), np.zeros((3, 4)))):
        with pytest.raises(ValueError, match="alike but for seeds"):
            permutation_over_seeds(baseline, treatment)


@given(seeds, st.sampled_from([(4, 4), (4, 5), (6, 4)]))
@settings(max_examples=30)
def test_null_of_degraded_classes_agrees_with_brute_force(seed: int, sizes: tuple[int, int]) -> None:
    before, after = sizes
    rng = np.random.default_rng(seed)
    baseline, treatment = rng.integers(0, 5, (before, 6)), rng.integers(0, 5, (after, 6))
    pooled, expected = np.concatenate([treatment, baseline]), []
    for chosen in combinations(range(before + after), after):
        inside = pooled[list(chosen)].sum(axis=0)
        outside = pooled.sum(axis=0) - inside
        expected.append(int((inside * before < outside * after).sum()))
    null = n_degraded_null(baseline, treatment)
    np.testing.assert_array_equal(null, expected)
    assert null[0] == (treatment.sum(axis=0) * before < baseline.sum(axis=0) * after).sum()


def test_null_needs_four_integer_seeds_a_side() -> None:
    with pytest.raises(ValueError, match="4 seeds a side"):
        n_degraded_null(np.zeros((3, 2), int), np.zeros((5, 2), int))
    with pytest.raises(ValueError, match="integers"):
        n_degraded_null(np.zeros((4, 2)), np.zeros((5, 2), int))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array), st.sampled_from([0.05, 0.2]))
def test_benjamini_hochberg_agrees_with_scipy_and_its_definition(p: np.ndarray, q: float) -> None:
    rejected, adjusted = benjamini_hochberg(p, q)
    np.testing.assert_allclose(adjusted, false_discovery_control(p), rtol=1e-12)
    passing = [k for k, value in enumerate(np.sort(p), 1) if value <= k * q / len(p) * (1 + 1e-12)]
    expected = p <= np.sort(p)[passing[-1] - 1] if passing else np.zeros(len(p), bool)
    borderline = np.abs(adjusted - q) < 1e-9
    np.testing.assert_array_equal(rejected[~borderline], expected[~borderline])


def test_benjamini_hochberg_keeps_its_promise() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        p = rng.random(100)
        p[:20] = rng.random(20) * 1e-3
        rejected, _ = benjamini_hochberg(p, 0.1)
        shares.append(rejected[20:].sum() / max(1, rejected.sum()))
        assert rejected[:20].all()
    assert np.mean(shares) == pytest.approx(0.1 * 80 / 100, abs=0.02)


def test_benjamini_hochberg_at_the_edges() -> None:
    rejected, adjusted = benjamini_hochberg(np.zeros(0))
    assert rejected.shape == adjusted.shape == (0,)
    for p in (np.array([np.nan]), np.array([1.5]), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="p in"):
            benjamini_hochberg(p)
