"""A random AutoAugment* policy an image. Hendrycks et al.: AugMix, ICLR 2020, arXiv:1912.02781, its Random AA*."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustbench_msda.augmentations.operations import IDENTITY, OVERLAPPING, apply
from robustbench_msda.augmentations.policies import (
    LEVELS,
    PUBLISHED_NAMES,
    ImagePolicy,
    draw_signs,
    level_magnitudes,
)

STAR_OPERATIONS = tuple(name for name in PUBLISHED_NAMES.values() if name not in OVERLAPPING)
DEPTH = 2


@dataclass(frozen=True)
class RandomAutoAugmentStar(ImagePolicy):
    """Random AutoAugment*: two operations an image, uniform with replacement, none that overlaps ImageNet-C.

    The paper gives no more than the name. Here each operation has a probability of 0, 0.1, ... 1, and one of
    AutoAugment's ten levels, all drawn uniformly for each image.
    """

    def change(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the changed images, (B, C, H, W) uint8 as they came."""
        n, _, height, width = images.shape
        for _ in range(DEPTH):
            names = np.array(STAR_OPERATIONS)[rng.integers(len(STAR_OPERATIONS), size=n)]
            probabilities = rng.integers(11, size=n) / 10
            applied = np.where(rng.random(n) < probabilities, names, IDENTITY)
            levels = rng.integers(LEVELS, size=n)
            magnitudes = level_magnitudes(applied, levels, draw_signs(n, rng), (height, width))
            images = apply(images, applied.tolist(), magnitudes)
        return images
