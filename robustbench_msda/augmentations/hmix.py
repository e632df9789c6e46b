"""HMix. Park, Yun, Chun: A Unified Analysis of Mixed Sample Data Augmentation, NeurIPS 2022, arXiv:2208.09913."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from robustbench_msda.augmentations.base import InputMixing, draw_partner, mixed, require
from robustbench_msda.augmentations.cutmix import Box, box_around
from robustbench_msda.augmentations.masks import Mask, mix_by_mask
from robustbench_msda.records import Batch

VARIANTS = ("paper", "code")


def hmix_mask(height: int, width: int, outside: float, box: Box) -> Mask:
    """Return (H, W) weights of the first image: 0 in ``box`` and ``outside``, in [0, 1], around it."""
    mask = np.full((height, width), outside, np.float32)
    mask[box.top : box.bottom, box.left : box.right] = 0
    return mask


def paper_weight(lam: float, r: float) -> float:
    """Return the weight around a box of the share (1 - λ) r that makes the mean λ: λ / (1 - (1 - λ) r) (ibid., §4)."""
    return lam / (1 - (1 - lam) * r) if lam > 0 else float(r == 1)


def code_weight(height: int, width: int, lam: float, box: Box) -> float:
    """Return the weight around ``box`` that makes the mean ``lam``, by the pixels that are left around it."""
    # A box over everything leaves nothing outside to weigh.
    return lam / (1 - box.area / (height * width) or 1.0)


def inner_box(height: int, width: int, share: float, rng: np.random.Generator) -> Box:
    """Return a box with sides ``sqrt(share)`` times the image's, to the nearest pixel, anywhere inside of it."""
    tall, wide = round(height * math.sqrt(share)), round(width * math.sqrt(share))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    return Box(top, top + tall, left, left + wide)


def clipped_box(height: int, width: int, share: float, rng: np.random.Generator) -> Box:
    """Return CutMix's box of ``share`` of the image around a random pixel, clipped at the border."""
    return box_around(height, width, 1 - share, int(rng.integers(height)), int(rng.integers(width)))


@dataclass(frozen=True)
class HMix(InputMixing):
    """HMix: a box of the partner in a mixup, one λ ~ Beta(α, α) a batch; r = 0 is mixup, r = 1 is cutmix.

    The box holds the share (1 - λ) r of the image: r is 0.5 for CIFAR and 0.75 for ImageNet. ``variant="paper"``: it
    lies inside the image, and partners are a random permutation. ``variant="code"`` (naver-ai/hmix-gmix 0914f37,
    mixup.py): it is CutMix's, clipped at the border, the rest is weighed so that its share stays λ, and the batch is
    paired with itself in reverse; with r = 1 that is no cutmix. Differs from the paper: targets are mixed by the mask's
    mean, which in the paper's variant is λ but for the whole pixels of the box.
    """

    alpha: float = 1.0
    r: float = 0.5
    variant: str = "paper"

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)
        require(0 <= self.r <= 1, "r in [0, 1]", self.r)
        require(self.variant in VARIANTS, f"a variant of {', '.join(VARIANTS)}", self.variant)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with one box of every image replaced by its partner's and the rest mixed with it."""
        n, _, height, width = batch.images.shape
        lam = float(rng.beta(self.alpha, self.alpha))
        if self.variant == "paper":
            box, partner = inner_box(height, width, (1 - lam) * self.r, rng), draw_partner(batch, rng)
            outside = paper_weight(lam, self.r)
        else:
            box = clipped_box(height, width, (1 - lam) * self.r, rng)
            partner = torch.arange(n - 1, -1, -1, device=batch.images.device)
            outside = code_weight(height, width, lam, box)
        images, share = mix_by_mask(batch.images, partner, hmix_mask(height, width, outside, box))
        return mixed(batch, images, partner, share)
