"""What methods that mix K images share: partners, Dirichlet shares and the labels that follow from shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations.base import InputMixing, draw_partner, require
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class SeveralImages(InputMixing):
    """The base class of methods that mix k images by shares ~ Dirichlet(α, ..., α) for each image."""

    k: int = 3
    alpha: float = 1 / 3

    def __post_init__(self) -> None:
        require(isinstance(self.k, int) and self.k >= 2, "a whole k >= 2, the number of images", self.k)
        require(0 < self.alpha < math.inf, "a finite alpha > 0", self.alpha)


def draw_partners(batch: Batch, k: int, rng: np.random.Generator) -> Tensor:
    """Return (k, B) int64: row 0 is each image itself, every other row its own random permutation of the batch."""
    own = torch.arange(len(batch.images), device=batch.images.device)
    return torch.stack([own, *(draw_partner(batch, rng) for _ in range(k - 1))])


def draw_shares(n: int, k: int, alpha: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n, k) shares, each row drawn from the symmetric Dirichlet distribution; rows sum to 1."""
    return rng.dirichlet(np.full(k, alpha), size=n)


def blend_targets(targets: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """Return (B, N) the targets of the partners weighted by their shares.

    Args:
        targets: (B, N), rows sum to 1.
        partners: (K, B) the images that are mixed; one may occur twice, and then its shares add up.
        shares: (K, B) the share of each; columns sum to 1.
    """
    return (targets[partners] * shares.to(targets.dtype)[:, :, None]).sum(0)
