"""SaliencyMix. Uddin et al.: SaliencyMix: A Saliency Guided Data Augmentation Strategy, ICLR 2021, arXiv:2006.01791."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robustbench_msda.augmentations.base import InputMixing, draw_partner, require
from robustbench_msda.augmentations.rectangles import patchwork, visible_shares
from robustbench_msda.augmentations.saliency import peaks
from robustbench_msda.augmentations.several_images import blend_targets
from robustbench_msda.records import Batch


def boxes_around(rows: Tensor, columns: Tensor, lam: float, height: int, width: int) -> Tensor:
    """Return (B, 4) boxes of CutMix's size for ``lam``, centred on the given pixels and clipped to the image.

    Args:
        rows: (B,) of the centres.
        columns: (B,) of the centres.
        lam: the share of the first image before clipping, in [0, 1].
        height: of the images.
        width: of the images.
    """
    ratio = np.sqrt(1.0 - lam)
    half_height, half_width = int(height * ratio) // 2, int(width * ratio) // 2
    vertical = torch.stack([rows - half_height, rows + half_height], -1).clamp(0, height)
    horizontal = torch.stack([columns - half_width, columns + half_width], -1).clamp(0, width)
    return torch.cat([vertical, horizontal], -1)


@dataclass(frozen=True)
class SaliencyMix(InputMixing):
    """CutMix with each box centred on the most salient pixel of the image it is cut from, λ ~ Beta(α, α) a batch.

    Differs from the authors' code: each pair has its own box, as in their paper (theirs: one box a batch, from a map of
    the normalised image that says nothing of it). Their ``salmix_prob`` p is ``dropmix(1 - p, of=saliencymix)`` here.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with a box around the partner's peak pasted into each image; targets follow the pixels."""
        lam, partner = float(rng.beta(self.alpha, self.alpha)), draw_partner(batch, rng)
        (height, width), own = batch.images.shape[-2:], torch.arange(len(partner), device=partner.device)
        rows, columns = peaks(batch.images)
        pasted = boxes_around(rows[partner], columns[partner], lam, height, width)
        whole = torch.tensor([0, height, 0, width], device=pasted.device).expand_as(pasted)
        boxes, partners = torch.stack([whole, pasted]), torch.stack([own, partner])
        targets = blend_targets(batch.targets, partners, visible_shares(boxes))
        return replace(batch, images=patchwork(batch.images, partners, boxes), targets=targets)
