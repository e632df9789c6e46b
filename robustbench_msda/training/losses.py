"""The losses a recipe can name: functions of logits (B, K) and of soft targets (B, K), both in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of ``logits`` (B, K) with the distributions ``targets`` (B, K), in float32."""
    return functional.cross_entropy(logits.float(), targets)


def softmax_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of softmax probabilities with ``targets``, the mean over images and classes.

    Not the cross-entropy: its gradient is about a K-th of it, and pushes every other class away besides. The released
    code of Manifold Mixup, PuzzleMix and Co-Mixup trains CIFAR with it (snu-mllab/PuzzleMix e2dbf3a, main.py).
    """
    # Autocast forbids it, for fear of half precision.
    with torch.autocast(logits.device.type, enabled=False):
        return functional.binary_cross_entropy(logits.float().softmax(1), targets)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": soft_cross_entropy,
    "softmax_bce": softmax_bce,
}
