"""DMixup: K images averaged. Paper: Observations on K-image Expansion of Image-Mixing Augmentation, eq. 2."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robustbench_msda.augmentations.several_images import SeveralImages, blend_targets, draw_partners, draw_shares
from robustbench_msda.records import Batch


def dmixup(images: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """Return the average of K images weighted by ``shares`` (K-image expansion, eq. 2).

    Args:
        images: (B, C, H, W) in [0, 1], left untouched.
        partners: (K, B) the images of each average; those of the released code are itself and K - 1 permutations.
        shares: (K, B) the weight of each; columns sum to 1.
    """
    weights = shares.to(images.dtype)[:, :, None, None, None]
    total = images[partners[0]].mul_(weights[0])
    for partner, weight in zip(partners[1:], weights[1:], strict=True):
        total.addcmul_(images[partner], weight)
    return total.clamp_(max=1)  # Rounded weights may add up to a little more than 1.


@dataclass(frozen=True)
class DMixup(SeveralImages):
    """Mixup of k images, shares ~ Dirichlet(α, ..., α) per image; k = 2 is Mixup with a λ per image."""

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with k images and their targets averaged with the same shares."""
        partners = draw_partners(batch, self.k, rng)
        drawn = draw_shares(len(batch.images), self.k, self.alpha, rng).T
        shares = torch.from_numpy(drawn.astype(np.float32)).to(batch.images.device)
        images = dmixup(batch.images, partners, shares)
        return replace(batch, images=images, targets=blend_targets(batch.targets, partners, shares))
