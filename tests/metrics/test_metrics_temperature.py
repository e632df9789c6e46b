"""Temperature scaling against the published code's number, scipy's minimum, and temperatures that were put in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from robustbench_msda.benchmarks.rows import detail_scores, scaled_scores
from robustbench_msda.metrics.temperature import cross_fitted, scaled, temperature
from robustbench_msda.prediction import summarise
from robustbench_msda.records import Batch, Cell, Predictions, Score


def calibrated(n: int, classes: int, at: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated at the temperature ``at``, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits * at, labels


def cross_entropy(logits: np.ndarray, labels: np.ndarray, t: float) -> float:
    return -float(log_softmax(logits / t, axis=1)[np.arange(len(labels)), labels].mean())


def test_gold(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/calibration_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/calibration_expected.json").read_text())["tune_temp"]
    found = temperature(inputs["temp_logits"], inputs["temp_labels"])
    assert found == pytest.approx(gold["temperature_binary_search_eps_1e-4"], abs=1e-9)


@pytest.mark.parametrize("at", [0.4, 1.0, 2.5])
def test_it_is_where_scipy_finds_the_lowest_cross_entropy(at: float) -> None:
    logits, labels = calibrated(3000, 6, at)
    lowest = minimize_scalar(lambda t: cross_entropy(logits, labels, t), bounds=(0.2, 5), method="bounded")
    assert temperature(logits, labels) == pytest.approx(lowest.x, abs=2e-4)
    assert temperature(logits, labels) == pytest.approx(at, rel=0.08)


def test_beyond_the_ends_it_stays_at_the_end() -> None:
    logits, labels = calibrated(500, 4, 30.0)
    assert temperature(logits, labels) == pytest.approx(5.0, abs=1e-3)
    assert temperature(logits / 1000, labels) == pytest.approx(0.2, abs=1e-3)


def test_a_masked_class_and_a_shift_of_all_logits_change_nothing() -> None:
    logits, labels = calibrated(400, 5, 1.7)
    masked = np.hstack([logits, np.full((400, 2), -np.inf)])
    assert temperature(masked, labels) == temperature(logits, labels)
    assert temperature(logits + 1e4, labels) == pytest.approx(temperature(logits, labels), abs=1e-4)
    assert temperature((logits + 300).astype(np.float32), labels) == pytest.approx(
        temperature(logits, labels), abs=1e-3
    )


def test_scaled_is_the_softmax_of_divided_logits() -> None:
    logits, labels = calibrated(50, 4, 1.0)
    divisor = np.linspace(0.5, 3, 50)
    found, p = scaled(logits, labels, divisor), softmax(logits / divisor[:, None], axis=1)
    np.testing.assert_allclose(np.exp(found.log_confidence), p.max(axis=1))
    np.testing.assert_allclose(np.exp(found.log_label), p[np.arange(50), labels])
    np.testing.assert_allclose(found.sum_p2, (p**2).sum(axis=1))


def test_each_half_is_scaled_by_the_other() -> None:
    cool, hot = calibrated(600, 5, 0.5), calibrated(600, 5, 2.0, seed=1)
    logits, labels = np.empty((1200, 5)), np.empty(1200, np.int64)
    logits[::2], labels[::2], logits[1::2], labels[1::2] = *cool, *hot
    found = cross_fitted(logits, labels)
    # The even half, which wants 0.5, gets what the odd half wants, and the reverse.
    even = softmax(logits[::2] / temperature(*hot), axis=1).max(axis=1)
    odd = softmax(logits[1::2] / temperature(*cool), axis=1).max(axis=1)
    np.testing.assert_allclose(np.exp(found.log_confidence[::2]), even)
    np.testing.assert_allclose(np.exp(found.log_confidence[1::2]), odd)


def predictions_of(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    index = torch.arange(len(labels))
    batch = Batch(torch.zeros(len(labels), 1, 1, 1), torch.from_numpy(labels.astype(np.int64)), index)
    return summarise(batch, torch.from_numpy(logits.astype(np.float32)), keep_logits=True)


def rows_of(logits: np.ndarray, labels: np.ndarray) -> dict[str, Score]:
    cell = Cell("f" * 12, "clean")
    kept = predictions_of(logits, labels)
    at = Score("clean", "", np.nan, len(labels))
    assert [row.metric for row in scaled_scores(at, kept)] == [
        row.metric for row in detail_scores(cell, kept, [str(k) for k in range(logits.shape[1])]) if row.subset == "all"
    ]
    return {row.metric: row for row in scaled_scores(at, kept)}


def test_scaling_mends_what_is_too_sure_and_is_not_optimistic() -> None:
    logits, labels = calibrated(4000, 5, 3.0)
    rows = rows_of(logits, labels)
    assert rows["temperature"].value == pytest.approx(3.0, rel=0.05)
    assert rows["ece_scaled"].value < 0.03
    assert rows["nll_scaled"].value >= cross_entropy(logits, labels, rows["temperature"].value) - 1e-6
    assert rows["nll_scaled"].value < cross_entropy(logits, labels, 1.0) - 0.1
    assert rows["temperature"].flags == ""
    assert rows_of(logits * 9, labels)["temperature"].flags == "at an end of the search in 0.2 to 5.0"


def test_without_logits_or_with_a_masked_label_there_are_no_rows() -> None:
    logits, labels = calibrated(20, 3, 1.0)
    kept = predictions_of(logits, labels)
    at = Score("clean", "", np.nan, 20)
    assert list(scaled_scores(at, replace(kept, logits=None))) == []
    masked = np.where(np.arange(20) == 3, -np.inf, kept.label_logit).astype(np.float32)
    assert list(scaled_scores(at, replace(kept, label_logit=masked))) == []


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "non-empty"),
        (np.zeros((2, 3)), np.array([0]), "labels"),
        (np.array([[np.nan, 0.0]]), np.array([0]), "without NaN"),
        (np.array([[0.0, -np.inf]]), np.array([1]), "masked"),
        (np.zeros((1, 3)), np.array([3]), "expected classes"),
    ],
)
def test_misuse_says_what_was_expected(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        temperature(logits, labels)


def test_a_temperature_is_positive() -> None:
    with pytest.raises(ValueError, match="positive temperature"):
        scaled(np.zeros((1, 2)), np.array([0]), np.array([0.0]))
