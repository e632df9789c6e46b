"""Errors, scores and counts against full probability tables, scikit-learn and hand counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import confusion_matrix, log_loss, recall_score

from robustbench_msda.metrics import METRICS
from robustbench_msda.metrics.classification import (
    brier_score,
    class_confidence,
    class_counts,
    class_recall,
    confusion_counts,
    error_rate,
    negative_log_likelihood,
    robust_error,
    top5_error,
)

seeds = st.integers(0, 2**32 - 1)


def answers(seed: int, n: int = 80, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (n, classes)), rng.integers(0, classes, n)


@given(seeds)
def test_error_and_top5_error_count_images(seed: int) -> None:
    logits, labels = answers(seed)
    top5 = np.argsort(-logits, axis=1, kind="stable")[:, :5].astype(np.int16)
    wrong = sum(int(first != label) for first, label in zip(top5[:, 0], labels, strict=True))
    outside = sum(int(label not in row.tolist()) for row, label in zip(top5, labels, strict=True))
    assert error_rate(top5[:, 0] == labels) == wrong / len(labels)
    assert top5_error(top5, labels.astype(np.int16)) == outside / len(labels)


def test_padding_of_top5_matches_no_label() -> None:
    top5 = np.array([[0, 1, -1, -1, -1], [1, 0, -1, -1, -1]], dtype=np.int16)
    assert top5_error(top5, np.array([1, 0], dtype=np.int16)) == 0.0
    with pytest.raises(ValueError, match="labels"):
        top5_error(top5, np.array([-1, 0], dtype=np.int16))


def test_robust_error_is_by_image_and_not_the_worst_attack() -> None:
    correct = np.array([[True, False, True, True], [False, True, True, True]])
    assert robust_error(correct) == 0.5
    assert max(error_rate(attack) for attack in correct) == 0.25


@given(seeds)
def test_two_numbers_an_image_give_log_loss_and_brier(seed: int) -> None:
    logits, labels = answers(seed)
    probs, rows = softmax(logits, axis=1), np.arange(len(labels))
    nll = negative_log_likelihood(logsumexp(logits, axis=1), logits[rows, labels])
    assert nll == pytest.approx(log_loss(labels, probs, labels=range(7)), rel=1e-9)
    brier = brier_score((probs**2).sum(axis=1), probs[rows, labels])
    assert brier == pytest.approx(((probs - np.eye(7)[labels]) ** 2).sum(axis=1).mean(), rel=1e-9)


def test_stored_float32_keeps_scores_to_a_millionth() -> None:
    logits, labels = answers(0, n=2000, classes=1000)
    rows, probs = np.arange(2000), softmax(logits, axis=1)
    label_logit = logits[rows, labels].astype(np.float32)
    total = logsumexp(logits, axis=1).astype(np.float32)
    label_probability = np.exp(label_logit.astype(np.float64) - total)
    brier = brier_score((probs**2).sum(axis=1).astype(np.float32), label_probability)
    assert brier == pytest.approx(((probs - np.eye(1000)[labels]) ** 2).sum(axis=1).mean(), abs=1e-6)
    nll = negative_log_likelihood(total, label_logit)
    assert nll == pytest.approx(-np.log(probs[rows, labels]).mean(), abs=1e-6)


def test_scores_match_the_gold(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/calibration_inputs.npz")
    expected = json.loads((reference / "data/gold/metrics/calibration_expected.json").read_text())
    for name in ("n2350_overconf", "n2000_multiple_of_100", "n10000", "n250_two_bins", "n150_one_bin"):
        probs, labels = inputs[f"{name}_probs"], inputs[f"{name}_labels"].astype(int)
        label_probability = probs[np.arange(len(labels)), labels]
        nll = negative_log_likelihood(np.zeros(len(labels)), np.log(label_probability))
        assert nll == pytest.approx(expected[name]["sklearn_log_loss"], abs=1e-9)
        brier = brier_score((probs**2).sum(axis=1), label_probability)
        assert brier == pytest.approx(expected[name]["brier_multiclass_sum_numpy"], abs=1e-9)


def test_masked_accuracy_matches_the_gold(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/masked200_inputs.npz")
    logits = inputs["logits"][:, inputs["imagenet_a_indices_in_1k"]]
    assert error_rate(logits.argmax(axis=1) == inputs["labels_0_199"]) == 1 - 170 / 475


def test_float32_rounding_does_not_leave_the_range() -> None:
    sure = np.float32([1.0])
    assert negative_log_likelihood(np.float32([3.0]), np.float32([3.0000002])) == 0.0
    assert brier_score(np.float32([0.9999999]), sure) == 0.0
    # A masked label has probability 0: the likelihood is infinite, the Brier score is not.
    assert negative_log_likelihood(np.float32([3.0]), np.float32([-np.inf])) == np.inf
    assert brier_score(sure, np.float32([0.0])) == 2.0


@given(seeds)
def test_counts_agree_with_scikit_learn(seed: int) -> None:
    logits, labels = answers(seed)
    predicted = logits.argmax(axis=1)
    correct, n = class_counts(labels.astype(np.int16), predicted == labels, 7)
    matrix = confusion_counts(labels.astype(np.int16), predicted.astype(np.int16), 7)
    np.testing.assert_array_equal(matrix, confusion_matrix(labels, predicted, labels=range(7)))
    np.testing.assert_array_equal(np.diag(matrix), correct)
    np.testing.assert_array_equal(matrix.sum(axis=1), n)
    expected = recall_score(labels, predicted, labels=range(7), average=None, zero_division=np.nan)
    np.testing.assert_allclose(class_recall(correct, n), expected)
    assert error_rate(predicted == labels) == pytest.approx(1 - correct.sum() / n.sum())


def test_confusion_of_a_thousand_classes_does_not_overflow_int16() -> None:
    matrix = confusion_counts(np.array([999, 998], dtype=np.int16), np.array([0, 999], dtype=np.int16), 1000)
    assert matrix[999, 0] == 1
    assert matrix[998, 999] == 1
    assert matrix.sum() == 2


def test_class_confidence_averages_by_label_and_is_nan_without_images() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]]))
    labels = np.array([0, 1, 1])
    probability = np.exp(log_softmax(logits, axis=1)[np.arange(3), labels])
    np.testing.assert_allclose(class_confidence(labels, probability, 3), [0.7, 0.35, np.nan])
    np.testing.assert_array_equal(class_recall(np.array([1, 0, 0]), np.array([1, 2, 0])), [1.0, 0.0, np.nan])


@given(seeds)
def test_renaming_classes_renames_the_counts(seed: int) -> None:
    logits, labels = answers(seed)
    names = np.random.default_rng(seed + 1).permutation(7)
    predicted = logits.argmax(axis=1)
    renamed = confusion_counts(names[labels], names[predicted], 7)
    np.testing.assert_array_equal(renamed[np.ix_(names, names)], confusion_counts(labels, predicted, 7))


def test_misuse_says_what_was_expected() -> None:
    none, one = np.zeros(0, bool), np.ones(1, bool)
    with pytest.raises(ValueError, match="non-empty"):
        error_rate(none)
    with pytest.raises(ValueError, match="booleans, got int64"):
        error_rate(np.array([1, 0]))
    with pytest.raises(ValueError, match="2-d"):
        robust_error(one)
    with pytest.raises(ValueError, match="NaN"):
        negative_log_likelihood(np.ones(1), np.full(1, np.nan))
    with pytest.raises(ValueError, match="shape"):
        negative_log_likelihood(np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match="are these logits"):
        brier_score(np.ones(1), np.array([1.5]))
    with pytest.raises(ValueError, match="without a label"):
        class_counts(np.array([-1]), one, 3)
    with pytest.raises(ValueError, match=r"in \[0, 3\)"):
        confusion_counts(np.array([0]), np.array([3]), 3)
    with pytest.raises(ValueError, match="one flag a label"):
        class_counts(np.array([0, 1]), one, 3)
    with pytest.raises(ValueError, match="one answer a label"):
        confusion_counts(np.array([0, 1]), np.array([1]), 3)
    with pytest.raises(ValueError, match="integers"):
        class_counts(np.array([0.0]), one, 3)


def test_every_metric_has_a_name_and_one_line() -> None:
    for name, definition in METRICS.items():
        assert name.isidentifier()
        assert name == name.lower()
        assert definition
        assert "\n" not in definition
        assert not definition.endswith(".")
