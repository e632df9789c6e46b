"""Divergence from people's answers, against loops and scipy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from robustbench_msda.metrics.human import kl_human_model, kl_model_human_smoothed, soft_cross_entropy


def case(seed: int, n: int = 7, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (n, classes))
    counts[:, 0] += 1
    return counts, rng.normal(0, 3, (n, classes)).astype(np.float32)


@given(st.integers(0, 1000))
def test_against_scipy(seed: int) -> None:
    counts, logits = case(seed)
    model = softmax(logits.astype(np.float64), axis=1)
    assert kl_human_model(counts, logits) == pytest.approx(entropy(counts, model, axis=1))
    assert kl_model_human_smoothed(counts, logits) == pytest.approx(entropy(model, counts + 1, axis=1))
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert kl_human_model(shares, logits) == pytest.approx(kl_human_model(counts, logits))
    extra = soft_cross_entropy(shares, logits) - kl_human_model(shares, logits)
    assert extra == pytest.approx(entropy(counts, axis=1), abs=1e-12)


def test_against_a_loop() -> None:
    counts, logits = case(3)
    for row, z, found in zip(counts, logits.astype(float), kl_human_model(counts, logits), strict=True):
        total, denominator = row.sum(), sum(math.exp(value) for value in z)
        terms = [
            c / total * (math.log(c / total) - (value - math.log(denominator)))
            for c, value in zip(row, z, strict=True)
            if c
        ]
        assert found == pytest.approx(sum(terms))


def test_a_network_that_answers_as_people_do_is_at_zero() -> None:
    shares = np.array([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05]])
    assert kl_human_model(shares, np.log(shares)) == pytest.approx(0, abs=1e-12)
    assert (kl_human_model(shares, np.log(shares)) >= 0).all()
    # Sure where people are: huge logits leave nothing infinite.
    assert kl_human_model(np.eye(2), np.array([[1e4, 0], [0, 1e4]])).tolist() == [0, 0]
    assert soft_cross_entropy(np.eye(2), np.array([[0, 1e4], [1e4, 0]])).tolist() == [1e4, 1e4]


def test_entropy_of_cifar10h(reference: Path) -> None:
    shares = np.load(reference / "data/cifar10h-probs.npy")
    uniform = np.zeros_like(shares)
    # To a network that knows nothing KL is ln 10 minus the entropy, 0.15446 nats on average.
    assert math.log(10) - kl_human_model(shares, uniform).mean() == pytest.approx(0.1544595843662632, abs=1e-9)
    assert soft_cross_entropy(shares, uniform).mean() == pytest.approx(math.log(10))
    stored = kl_human_model(shares.astype(np.float32), uniform).mean()
    assert stored == pytest.approx(kl_human_model(shares, uniform).mean(), abs=1e-7)


def test_misuse_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match="one shape"):
        kl_human_model(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="some in every row"):
        kl_human_model(np.zeros((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="finite logits"):
        soft_cross_entropy(np.ones((1, 2)), np.array([[0, np.inf]]))
    with pytest.raises(ValueError, match="whole numbers"):
        kl_model_human_smoothed(np.full((1, 2), 0.5), np.zeros((1, 2)))
