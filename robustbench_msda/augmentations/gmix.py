"""GMix. Park, Yun, Chun: A Unified Analysis of Mixed Sample Data Augmentation, NeurIPS 2022, arXiv:2208.09913."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robustbench_msda.augmentations.base import InputMixing, draw_partner, mixed, require
from robustbench_msda.augmentations.masks import Mask, mix_by_mask
from robustbench_msda.records import Batch


def gmix_mask(height: int, width: int, lam: float, row: int, column: int) -> Mask:
    """Return (H, W) weights of the first image: a Gaussian bump of the image with the smaller share around a pixel.

    The bump is ``exp(-π d² / s)`` with ``s = min(lam, 1 - lam)``, d the distance from the centre in units of the sides;
    its sum is s H W before the border cuts it. It weighs the first image if ``lam < 0.5`` and else the partner.

    Differs from the paper: as in the authors' code (naver-ai/hmix-gmix 0914f37, mixup.py) the exponent has no factor
    1/2, with which the mean before the cut would be 2λ - 1 and not λ (the paper's eq. 1), and the smaller share gets
    the bump. The code takes both sides from H; here a bump is as wide to the image's width as tall to its height.
    """
    share = min(lam, 1 - lam)
    if share < np.finfo(np.float64).tiny:  # nothing to divide by
        return np.full((height, width), lam, np.float32)
    down, across = ((np.arange(side) - centre) / side for side, centre in ((height, row), (width, column)))
    bump = np.outer(*(np.exp(-math.pi * distance**2 / share) for distance in (down, across)))
    return (bump if lam < 0.5 else 1 - bump).astype(np.float32)


@dataclass(frozen=True)
class GMix(InputMixing):
    """GMix: the image with the smaller share is a Gaussian spot around a random pixel; one λ ~ Beta(α, α) a batch.

    α is 0.5 for CIFAR and 1 for ImageNet. Targets are mixed by the mask's mean, as in the authors' code: the border
    cuts the spot, so no share lies between about 0.43 and 0.57. Differs from the authors' code: partners are a random
    permutation, not the batch in reverse.
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with a soft spot of one of each pair in the other; targets follow the pixels."""
        height, width = batch.images.shape[-2:]
        lam = float(rng.beta(self.alpha, self.alpha))
        mask = gmix_mask(height, width, lam, int(rng.integers(height)), int(rng.integers(width)))
        partner = draw_partner(batch, rng)
        images, share = mix_by_mask(batch.images, partner, mask)
        return mixed(batch, images, partner, share)
