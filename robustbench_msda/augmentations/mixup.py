"""Mixup. Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018, arXiv:1710.09412."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustbench_msda.augmentations.base import InputMixing, draw_partner, mixed, require
from robustbench_msda.records import Batch


def mixup(images: Tensor, partner: Tensor, lam: float) -> Tensor:
    """Return ``lam * images + (1 - lam) * images[partner]`` (Zhang et al. 2018, §2).

    Args:
        images: (B, C, H, W), left untouched.
        partner: (B,) the index of the second image.
        lam: the share of the first image, in [0, 1].
    """
    return images[partner].lerp_(images, lam)


@dataclass(frozen=True)
class Mixup(InputMixing):
    """Mixup with one λ ~ Beta(α, α) and one permutation a batch; α = 0 mixes nothing."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "alpha >= 0", self.alpha)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with pairs of images and of targets averaged with the same λ."""
        lam = float(rng.beta(self.alpha, self.alpha)) if self.alpha > 0 else 1.0
        partner = draw_partner(batch, rng)
        return mixed(batch, mixup(batch.images, partner, lam), partner, lam)
