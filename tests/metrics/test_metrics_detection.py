"""Detection scores against the published code's numbers and definitions written as loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from robustbench_msda.metrics.detection import aupr, auroc, fpr_at_recall

GOLDEN = Path(__file__).parents[1] / "golden" / "detection.json"
# Few distinct scores, so that ties are common.
sides = st.lists(st.integers(-4, 4).map(lambda value: value / 4), min_size=1, max_size=25).map(np.array)


def test_golden_numbers_with_ties() -> None:
    golden = json.loads(GOLDEN.read_text())
    positive, negative = np.array(golden["positive"]), np.array(golden["negative"])
    assert auroc(positive, negative) == pytest.approx(golden["auroc"], abs=1e-9)
    assert aupr(positive, negative) == pytest.approx(golden["aupr"], abs=1e-9)
    for recall, value in golden["fpr_at_recall"].items():
        assert fpr_at_recall(positive, negative, float(recall)) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", ["easy", "hard", "ties", "reversed"])
def test_gold(reference: Path, name: str) -> None:
    inputs = np.load(reference / "data/gold/metrics/ood_inputs.npz")
    expected = json.loads((reference / "data/gold/metrics/ood_expected.json").read_text())[name]
    positive, negative = inputs[f"{name}_pos"], inputs[f"{name}_neg"]
    for recall in (0.95, 0.8):
        gold = expected[f"recall_level_{recall}"]
        assert auroc(positive, negative) == pytest.approx(gold["auroc"], abs=1e-9)
        assert aupr(positive, negative) == pytest.approx(gold["aupr"], abs=1e-9)
        assert fpr_at_recall(positive, negative, recall) == pytest.approx(gold["fpr_at_recall"], abs=1e-9)


def test_gold_of_masked_logits(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/masked200_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/masked200_expected.json").read_text())["imagenet_o_style_msp"]
    columns = inputs["imagenet_o_indices_in_1k"]
    out, known = (
        -softmax(inputs[f"o_logits_{side}"][:, columns].astype(np.float64), axis=1).max(axis=1)
        for side in ("out", "in")
    )
    assert auroc(out, known) == pytest.approx(gold["auroc"], abs=1e-6)
    assert aupr(out, known) == pytest.approx(gold["aupr_out_is_positive"], abs=1e-6)
    assert fpr_at_recall(out, known) == pytest.approx(gold["fpr95"], abs=1e-6)


@given(sides, sides)
def test_auroc_is_the_share_of_pairs_in_order(positive: np.ndarray, negative: np.ndarray) -> None:
    wins = [float(p > n) + 0.5 * float(p == n) for p in positive for n in negative]
    assert auroc(positive, negative) == pytest.approx(np.mean(wins))
    assert auroc(negative, positive) == pytest.approx(1 - np.mean(wins))


@given(sides, sides)
def test_aupr_is_the_step_wise_sum(positive: np.ndarray, negative: np.ndarray) -> None:
    total, before = 0.0, 0.0
    for threshold in sorted({*positive.tolist(), *negative.tolist()}, reverse=True):
        hits, alarms = (positive >= threshold).sum(), (negative >= threshold).sum()
        recall = hits / len(positive)
        total += (recall - before) * hits / (hits + alarms)
        before = recall
    assert aupr(positive, negative) == pytest.approx(total)


@given(sides, sides, st.sampled_from([0.25, 0.5, 0.8, 0.95, 1.0]))
def test_fpr_takes_the_nearest_recall(positive: np.ndarray, negative: np.ndarray, recall: float) -> None:
    best = (2.0, 0.0)
    for threshold in sorted({*positive.tolist(), *negative.tolist()}):
        if threshold > positive.min():
            distance = abs((positive >= threshold).mean() - recall)
        elif threshold == positive.min():
            distance = abs(1 - recall)
        else:
            continue
        if distance < best[0]:
            best = (distance, float((negative >= threshold).mean()))
    assert fpr_at_recall(positive, negative, recall) == pytest.approx(best[1])


@given(sides, sides)
def test_only_the_order_of_scores_matters(positive: np.ndarray, negative: np.ndarray) -> None:
    for metric in (auroc, aupr, fpr_at_recall):
        assert metric(np.exp(positive) * 3, np.exp(negative) * 3) == pytest.approx(metric(positive, negative))


def test_chance_of_aupr_is_the_share_of_positives() -> None:
    assert aupr(np.zeros(2), np.zeros(10)) == pytest.approx(1 / 6)


def test_misuse_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match="both sides"):
        auroc(np.zeros(0), np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        aupr(np.array([np.nan]), np.zeros(3))
    with pytest.raises(ValueError, match="recall"):
        fpr_at_recall(np.zeros(1), np.zeros(1), 95)
