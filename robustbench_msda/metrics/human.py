"""How far a network's probabilities are from what people answer, in float64 and nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, xlogy


def kl_human_model(answers: NDArray[np.floating], logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return KL(human ‖ model) = Σₖ hₖ (ln hₖ − ln qₖ) of every image, (n,) in [0, ∞), with 0 ln 0 = 0.

    Harris et al., "FMix", 2020, Table 6. Differs from the paper: its text says D(model ‖ human), which is infinite for
    99.97 % of CIFAR-10H's images, since people never chose some class; finite numbers are of this direction.

    Args:
        answers: (n, K) how many people, or what share of them, chose each class.
        logits: (n, K) of the network.

    Raises:
        ValueError: the shapes differ, a row of answers is empty or negative, or a logit is not finite.
    """
    human, log_model = _checked(answers, logits)
    # Rounding leaves a little below 0 where the two are equal.
    return np.asarray(np.maximum((xlogy(human, human) - human * log_model).sum(axis=1), 0.0))


def soft_cross_entropy(answers: NDArray[np.floating], logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return −Σₖ hₖ ln qₖ of every image, (n,) in [0, ∞): KL(human ‖ model) plus the entropy of people's answers.

    Arguments and errors as of ``kl_human_model``.
    """
    human, log_model = _checked(answers, logits)
    return np.asarray(-(human * log_model).sum(axis=1))


def kl_model_human_smoothed(counts: NDArray[np.floating], logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return KL(model ‖ human) of every image, (n,) in [0, ∞), one more answer counted in every class.

    hₖ = (cₖ + 1) / (Σc + K), so that no share is 0. Arguments and errors as of ``kl_human_model``, but whole numbers.

    Raises:
        ValueError: ``counts`` are not whole numbers.
    """
    if (counts != np.rint(counts)).any():
        raise ValueError("expected whole numbers of answers, got shares: how many people answered is not known")
    human, log_model = _checked(counts + 1.0, logits)
    return np.asarray(np.maximum((np.exp(log_model) * (log_model - np.log(human))).sum(axis=1), 0.0))


def _checked(
    answers: NDArray[np.floating], logits: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of answers and the log-probabilities of the network, in float64."""
    given, found = np.asarray(answers, np.float64), np.asarray(logits, np.float64)
    if given.ndim != 2 or given.shape != found.shape or given.size == 0:
        raise ValueError(f"expected answers and logits of one shape (n, K), got {given.shape} and {found.shape}")
    sums = given.sum(axis=1, keepdims=True)
    if (given < 0).any() or not (sums > 0).all() or not np.isfinite(found).all():
        raise ValueError("expected answers of at least 0, some in every row, and finite logits")
    return given / sums, log_softmax(found, axis=1)
