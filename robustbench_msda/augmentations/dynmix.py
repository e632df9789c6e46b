"""Dynamic Mixup. Anonymous: A Dynamic Mixup Approach towards Improved Robustness of Classifiers; no code released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, require
from robustbench_msda.augmentations.chains import OPERATIONS, draw_chains, require_severity, run_chains
from robustbench_msda.augmentations.consistency import consistent_loss, require_views
from robustbench_msda.records import Batch

# Its Appendix B; "downscale", for ImageNet alone and without parameters, is left out.
FLIPS_AND_OPERATIONS = ("hflip", "vflip", *OPERATIONS)


def dynamic_share(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the first view under weights m1 = m and m2 = 1 − m: 1 − m2².

    Algorithm, line 11: m1·X1 + m2·X2 + m1·m2·(X1 − X2) = (m1 + m1·m2)·X1 + (m2 − m1·m2)·X2 = (1 − m2²)·X1 + m2²·X2,
    a convex mix. Line 10 draws one weight; the prose may be read as two independent ones, whose sum is not 1 and which
    would change the brightness of the picture.
    """
    return 1 - (1 - m) ** 2


def linear_share(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the first view without the product term: m, Mixup of the two views (Table 5)."""
    return m


SHARES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "dynamic": dynamic_share,
    "linear": linear_share,
}


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Return ``share * first + (1 - share) * second`` in [0, 1] from (B, C, H, W) grey levels; ``share`` is (B,)."""
    weight = share.reshape(-1, 1, 1, 1)
    mix = second.to(share.dtype).lerp_(first.to(share.dtype), weight).div_(255)
    return mix.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class DynMix(Augmentation):
    """Dynamic Mixup: two chains of operations on an image, mixed, and Jensen–Shannon consistency of the views.

    The paper's images are cropped but not flipped before, flips being among its operations: train with ``flip=0.0``.

    Attributes:
        severity: the highest level of an operation; not printed, AugMix's 3 for CIFAR and 1 for ImageNet.
        alpha: the weight of the first chain is m ~ Beta(α, α).
        js_weight: the weight of the consistency, not printed; 0 trains on one view and no clean copy.
        views: views an image; 1 is the ablation with a single sample.
        mixing: "dynamic", or "linear", the ablation without the product term.
    """

    severity: float = 3.0
    alpha: float = 1.0
    js_weight: float = 12.0
    views: int = 2
    mixing: str = "dynamic"

    def __post_init__(self) -> None:
        require_severity(self.severity)
        require(self.alpha > 0, "alpha > 0", self.alpha)
        require_views(self.views, self.js_weight)
        require(self.mixing in SHARES, f"mixing one of {', '.join(SHARES)}", self.mixing)

    def draw_views(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Return (views·B, C, H, W) in [0, 1], row ``v * B + b`` a view of image b.

        Draws in this order: weights m, depths 1 or 2 of both chains of each view (line 7), then the chains.
        """
        height, width = images.shape[-2:]
        rows = self.views * len(images)
        share = SHARES[self.mixing](rng.beta(self.alpha, self.alpha, rows))
        depths = rng.integers(1, 3, 2 * rows)
        chains = draw_chains(rng, FLIPS_AND_OPERATIONS, depths, self.severity, (height, width))
        first, second = run_chains(images, chains).split(rows)
        return blend(first, second, torch.from_numpy(share).to(images))

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the clean images and the divergence of their views; targets stay as they are."""
        return consistent_loss(model, batch, self.draw_views(batch.images, rng), criterion, self.js_weight)
