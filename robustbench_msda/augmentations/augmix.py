"""AugMix. Hendrycks et al.: AugMix: A Simple Data Processing Method ..., ICLR 2020, arXiv:1912.02781."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, require
from robustbench_msda.augmentations.chains import OPERATIONS, draw_chains, require_severity, run_chains
from robustbench_msda.augmentations.consistency import consistent_loss, require_views
from robustbench_msda.records import Batch

DEEPEST = 3


def augmix(images: Tensor, chained: Tensor, weights: Tensor, share: Tensor) -> Tensor:
    """Return ``(1 - share) * images + share * sum of weights * chained`` (Hendrycks et al. 2020, Algorithm 1).

    Args:
        images: (B, C, H, W) in [0, 1], left untouched.
        chained: (width, V·B, C, H, W) grey levels, the ends of the chains.
        weights: (width, V·B), columns sum to 1.
        share: (V·B,) in [0, 1]; 0 is the clean image.

    Returns:
        (V·B, C, H, W) in [0, 1].
    """
    blend = (chained * weights[:, :, None, None, None]).sum(0).div_(255).clamp_(0, 1)
    views = blend.unflatten(0, (-1, len(images)))
    return images.lerp(views, share.reshape(*views.shape[:2], 1, 1, 1)).flatten(0, 1)


@dataclass(frozen=True)
class AugMix(Augmentation):
    """AugMix: chains of operations mixed with the clean image, and Jensen–Shannon consistency of the views.

    Attributes:
        severity: the highest level of an operation, 3 for CIFAR and 1 for ImageNet.
        width: chains a view.
        depth: operations a chain; 0 draws 1, 2 or 3 for each chain (``-1`` in the authors' code).
        js_weight: the weight of the consistency; 0 trains on one view and no clean copy.
        views: views an image; 1 is the ablation with a single sample.
    """

    severity: float = 3.0
    width: int = 3
    depth: int = 0
    js_weight: float = 12.0
    views: int = 2

    def __post_init__(self) -> None:
        require_severity(self.severity)
        require(isinstance(self.width, int) and self.width >= 1, "a whole width >= 1", self.width)
        require(isinstance(self.depth, int) and self.depth >= 0, "a whole depth >= 0", self.depth)
        require_views(self.views, self.js_weight)

    def draw_views(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Return (views·B, C, H, W) in [0, 1], row ``v * B + b`` a view of image b.

        Draws in this order: weights ~ Dirichlet(1, …, 1), shares ~ Beta(1, 1), depths, then the chains.
        """
        height, width = images.shape[-2:]
        rows = self.views * len(images)
        weights = rng.dirichlet(np.ones(self.width), rows).T
        share = rng.beta(1.0, 1.0, rows)
        chains = draw_chains(rng, OPERATIONS, self.draw_depths(rows * self.width, rng), self.severity, (height, width))
        chained = run_chains(images, chains).unflatten(0, (self.width, rows))
        return augmix(images, chained, torch.from_numpy(weights).to(images), torch.from_numpy(share).to(images))

    def draw_depths(self, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return (rows,) the depth of each chain."""
        return rng.integers(1, DEEPEST + 1, rows) if self.depth == 0 else np.full(rows, self.depth)

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the clean images and the divergence of their views; targets stay as they are."""
        return consistent_loss(model, batch, self.draw_views(batch.images, rng), criterion, self.js_weight)
