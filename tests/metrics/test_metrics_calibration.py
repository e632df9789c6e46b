"""Calibration against the published code's numbers, loops of a few lines, and properties."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from robustbench_msda.metrics.calibration import (
    aurra,
    equal_mass_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_bins,
    rms_calibration_error,
    rms_calibration_error_published,
    soft_f1,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "calibration.json"
SETS = ("n2350_overconf", "n2000_multiple_of_100", "n10000", "n250_two_bins", "n150_one_bin")
pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def arrays(answers: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = zip(*answers, strict=True)
    return np.array(confidence, float), np.array(correct, bool)


def test_golden_numbers() -> None:
    golden = json.loads(GOLDEN.read_text())
    confidence, correct = np.array(golden["confidence"]), np.array(golden["correct"], bool)
    for size in (100, 50, 15):
        published = rms_calibration_error_published(confidence, correct, size)
        assert published == pytest.approx(golden["published"][str(size)], abs=1e-9)
        every_bin = rms_calibration_error(confidence, correct, size)
        assert every_bin == pytest.approx(golden["all_bins"][str(size)], abs=1e-9)
    assert aurra(confidence, correct) == pytest.approx(golden["aurra"], abs=1e-9)
    assert soft_f1(confidence, correct) == pytest.approx(golden["soft_f1"], abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_gold(reference: Path, name: str) -> None:
    inputs = np.load(reference / "data/gold/metrics/calibration_inputs.npz")
    expected = json.loads((reference / "data/gold/metrics/calibration_expected.json").read_text())[name]
    confidence, correct = inputs[f"{name}_confidence"], inputs[f"{name}_correct"].astype(bool)
    for size in (100, 50, 15):
        gold = expected[f"beta_{size}"]
        published = rms_calibration_error_published(confidence, correct, size)
        assert published == pytest.approx(gold["rms_p2"], abs=1e-9)
        every_bin = rms_calibration_error(confidence, correct, size)
        assert every_bin == pytest.approx(gold["NOT_REFERENCE_rms_if_last_bin_were_counted"], abs=1e-9)
    assert aurra(confidence, correct) == pytest.approx(expected["aurra"], abs=1e-9)
    assert soft_f1(confidence, correct) == pytest.approx(expected["soft_f1"], abs=1e-9)


def test_gold_from_float16_logits(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/masked200_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/masked200_expected.json").read_text())["imagenet_a_style"]
    logits = inputs["logits"][:, inputs["imagenet_a_indices_in_1k"]].astype(np.float64)
    confidence, correct = softmax(logits, axis=1).max(axis=1), logits.argmax(axis=1) == inputs["labels_0_199"]
    assert rms_calibration_error_published(confidence, correct) == pytest.approx(gold["rms_calib_err"], abs=1e-6)
    assert aurra(confidence, correct) == pytest.approx(gold["aurra"], abs=1e-6)


@given(pairs, st.integers(1, 20))
def test_ece_is_the_loop_over_half_open_bins(answers: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = arrays(answers)
    edges, expected = np.linspace(0, 1, bins + 1), 0.0
    for number, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        inside = (confidence > low) & (confidence <= high) | ((confidence == 0) & (number == 0))
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    assert expected_calibration_error(confidence, correct, bins) == pytest.approx(expected, abs=1e-12)


@given(pairs, st.integers(1, 20))
def test_mce_is_the_largest_gap_of_the_loop(answers: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = arrays(answers)
    edges, gaps = np.linspace(0, 1, bins + 1), []
    for number, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        inside = (confidence > low) & (confidence <= high) | ((confidence == 0) & (number == 0))
        gaps += [abs(confidence[inside].mean() - correct[inside].mean())] if inside.any() else []
    assert maximum_calibration_error(confidence, correct, bins) == pytest.approx(max(gaps), abs=1e-12)
    assert maximum_calibration_error(confidence, correct) >= expected_calibration_error(confidence, correct) - 1e-12


@given(pairs, st.integers(1, 80))
def test_equal_mass_is_the_loop_over_runs(answers: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = arrays(answers)
    order = sorted(range(len(answers)), key=lambda i: confidence[i])
    size, larger = divmod(len(order), bins)
    expected, start = 0.0, 0
    for number in range(bins):
        run = order[start : start + size + (number < larger)]
        start += len(run)
        expected += abs(sum(confidence[i] - correct[i] for i in run)) / len(order)
    assert equal_mass_calibration_error(confidence, correct, bins) == pytest.approx(expected, abs=1e-12)


def test_bins_of_equal_mass_see_what_one_wide_bin_hides() -> None:
    confidence = np.concatenate([np.full(50, 0.90), np.full(50, 0.93)])
    correct = np.concatenate([np.ones(50, bool), np.arange(50) < 41])
    assert expected_calibration_error(confidence, correct, bins=8) == pytest.approx(0.915 - 0.91)
    assert equal_mass_calibration_error(confidence, correct, bins=2) == pytest.approx((0.10 + 0.11) / 2)
    assert maximum_calibration_error(confidence, correct, bins=100) == pytest.approx(0.11)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    confidence = np.array([0.0, 0.2, 0.2000001, 0.4, 1.0])
    diagram = reliability_bins(confidence, np.array([False, True, True, False, True]), bins=5)
    np.testing.assert_array_equal(diagram.n, [2, 2, 0, 0, 1])
    np.testing.assert_allclose(diagram.confidence, [0.1, 0.30000005, np.nan, np.nan, 1.0])
    np.testing.assert_allclose(diagram.accuracy, [0.5, 0.5, np.nan, np.nan, 1.0])


@given(pairs)
def test_one_bin_leaves_the_gap_of_the_means(answers: list[tuple[float, bool]]) -> None:
    confidence, correct = arrays(answers)
    gap = abs(confidence.mean() - correct.mean())
    assert expected_calibration_error(confidence, correct, bins=1) == pytest.approx(gap, abs=1e-12)
    assert rms_calibration_error(confidence, correct, bin_size=len(answers)) == pytest.approx(gap, abs=1e-12)
    assert expected_calibration_error(confidence, correct) >= gap - 1e-12


@given(pairs, st.integers(1, 20))
def test_rms_is_the_loop_over_runs_and_the_published_one_is_less(answers: list[tuple[float, bool]], size: int) -> None:
    confidence, correct = arrays(answers)
    every_bin = rms_calibration_error(confidence, correct, size)
    published = rms_calibration_error_published(confidence, correct, size)
    if len(answers) < size:
        assert np.isnan(every_bin)
        assert np.isnan(published)
        return
    order = sorted(range(len(answers)), key=lambda i: confidence[i])
    full = len(answers) // size
    runs = [order[i * size : (i + 1) * size if i < full - 1 else None] for i in range(full)]
    terms = [len(run) / len(answers) * (confidence[run].mean() - correct[run].mean()) ** 2 for run in runs]
    assert every_bin == pytest.approx(sum(terms) ** 0.5, abs=1e-9)
    assert published == pytest.approx(sum(terms[:-1]) ** 0.5, abs=1e-9)
    assert published <= every_bin


def test_small_sets_of_the_published_error() -> None:
    rng = np.random.default_rng(0)
    for n, expected in ((99, np.nan), (100, 0.0), (199, 0.0)):
        value = rms_calibration_error_published(rng.random(n), rng.random(n) < 0.5)
        np.testing.assert_equal(value, expected)
    assert rms_calibration_error_published(np.full(200, 0.9), np.zeros(200, bool)) == pytest.approx(0.9 * 0.5**0.5)


@given(pairs)
def test_aurra_is_the_mean_of_accuracies_at_each_response(answers: list[tuple[float, bool]]) -> None:
    confidence, correct = arrays(answers)
    ranked = sorted(range(len(answers)), key=lambda i: (-confidence[i], -i))
    expected = np.mean([correct[ranked[:k]].mean() for k in range(1, len(ranked) + 1)])
    assert aurra(confidence, correct) == pytest.approx(expected, abs=1e-12)


@given(pairs)
def test_soft_f1_is_f1_where_confidence_is_all_or_nothing(answers: list[tuple[float, bool]]) -> None:
    confidence, correct = arrays(answers)
    doubted, wrong = confidence < 0.5, ~correct
    value = soft_f1((~doubted).astype(float), correct)
    if not (doubted.any() or wrong.any()):
        assert np.isnan(value)
    else:
        assert value == pytest.approx(2 * (doubted & wrong).sum() / (doubted.sum() + wrong.sum()))


@given(pairs)
def test_ranges(answers: list[tuple[float, bool]]) -> None:
    confidence, correct = arrays(answers)
    for value in (expected_calibration_error(confidence, correct), aurra(confidence, correct)):
        assert 0 <= value <= 1
    assert not soft_f1(confidence, correct) > 1 + 1e-12


def test_perfect_and_worst() -> None:
    rng = np.random.default_rng(1)
    correct = rng.random(500) < 0.5
    assert expected_calibration_error(correct.astype(float), correct) == 0
    assert rms_calibration_error(correct.astype(float), correct) == 0
    assert expected_calibration_error(1 - correct.astype(float), correct) == 1
    calibrated = rng.random(200_000)
    drawn = rng.random(200_000) < calibrated
    assert expected_calibration_error(calibrated, drawn) < 0.01
    assert expected_calibration_error(np.sqrt(calibrated), drawn) > 0.1


def test_misuse_says_what_was_expected() -> None:
    one, flag = np.array([0.5]), np.array([True])
    with pytest.raises(ValueError, match="are these logits"):
        expected_calibration_error(np.array([7.0]), flag)
    with pytest.raises(ValueError, match="NaN"):
        aurra(np.array([np.nan]), flag)
    with pytest.raises(ValueError, match="non-empty"):
        soft_f1(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(ValueError, match="non-empty"):
        rms_calibration_error(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(ValueError, match="shape"):
        rms_calibration_error(np.array([0.5, 0.5]), flag, bin_size=1)
    with pytest.raises(ValueError, match="at least one bin"):
        reliability_bins(one, flag, bins=0)
    with pytest.raises(ValueError, match="at least one bin"):
        equal_mass_calibration_error(one, flag, bins=0)
    with pytest.raises(ValueError, match="at least one image a bin"):
        rms_calibration_error(one, flag, bin_size=0)
