"""AutoAugment without what overlaps ImageNet-C. Cubuk et al., CVPR 2019, arXiv:1805.09501; AugMix, ICLR 2020."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from robustbench_msda.augmentations.base import require
from robustbench_msda.augmentations.operations import IDENTITY, OVERLAPPING, apply
from robustbench_msda.augmentations.policies import (
    PUBLISHED_NAMES,
    Floats,
    ImagePolicy,
    Integers,
    Names,
    draw_signs,
    level_magnitudes,
)

POLICIES = ("cifar10", "imagenet")


class PolicyTable(NamedTuple):
    """The sub-policies, one a row, and their two operations in order, one a column."""

    names: Names
    probabilities: Floats
    levels: Integers


@cache
def policy_table(policy: str) -> PolicyTable:
    """Return torchvision's sub-policies, (25, 2); an operation that overlaps ImageNet-C has become the identity.

    The paper of the star does not say how operations are taken out: here the partner in the sub-policy stays.
    """
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    published = AutoAugment(AutoAugmentPolicy(policy)).policies
    names = np.array([[_star(PUBLISHED_NAMES[name]) for name, _, _ in pair] for pair in published])
    probabilities = np.array([[probability for _, probability, _ in pair] for pair in published])
    levels = np.array([[level or 0 for _, _, level in pair] for pair in published])
    return PolicyTable(names, probabilities, levels)


def _star(name: str) -> str:
    return IDENTITY if name in OVERLAPPING else name


@dataclass(frozen=True)
class AutoAugmentStar(ImagePolicy):
    """AutoAugment* with the ``cifar10`` or ``imagenet`` policy: no color, contrast, brightness, sharpness or cutout.

    Each image draws one sub-policy; each of its two operations is applied with its own probability. The policies are
    torchvision's. Differs from the paper: bilinear and not nearest pixels, as in AugMix; after the crop, not before.

    Attributes:
        policy: ``cifar10``, which serves CIFAR-100 too, or ``imagenet``.
    """

    policy: str = "cifar10"

    def __post_init__(self) -> None:
        require(self.policy in POLICIES, f"a policy of {', '.join(POLICIES)}", self.policy)

    def change(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the changed images, (B, C, H, W) uint8 as they came."""
        n, _, height, width = images.shape
        table = policy_table(self.policy)
        chosen = rng.integers(len(table.names), size=n)
        for names, probabilities, levels in zip(*(column[chosen].T for column in table), strict=True):
            applied = np.where(rng.random(n) < probabilities, names, IDENTITY)
            magnitudes = level_magnitudes(applied, levels, draw_signs(n, rng), (height, width))
            images = apply(images, applied.tolist(), magnitudes)
        return images
