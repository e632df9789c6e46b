"""Saliency-DCutMix. Paper: Observations on K-image Expansion of Image-Mixing Augmentation, supplement.

No code was released, and of the text only this reading keeps both what it asks for, nested boxes of Dirichlet areas and
salient patches: a patch is cut around its image's peak and pasted to the place DCutMix draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robustbench_msda.augmentations.dcutmix import draw_boxes
from robustbench_msda.augmentations.rectangles import patchwork, visible_shares
from robustbench_msda.augmentations.saliency import peaks
from robustbench_msda.augmentations.several_images import SeveralImages, blend_targets, draw_partners
from robustbench_msda.records import Batch


def shifts(rows: Tensor, columns: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Return (...) how many pixels behind each box, in reading order, the window lies that it shows.

    The window is as large as the box, centred on a pixel and moved to lie inside the image.

    Args:
        rows: (...) of the centres.
        columns: (...) of the centres.
        boxes: (..., 4) where the windows are pasted.
        height: of the images.
        width: of the images.
    """
    top, bottom, left, right = boxes.unbind(-1)
    tall, wide = bottom - top, right - left
    source_top = torch.minimum((rows - tall // 2).clamp(min=0), height - tall)
    source_left = torch.minimum((columns - wide // 2).clamp(min=0), width - wide)
    return (source_top - top) * width + source_left - left


@dataclass(frozen=True)
class SaliencyDCutMix(SeveralImages):
    """DCutMix whose patches are cut around the most salient pixel of their image; labels follow the exact areas."""

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with the salient patches of k - 1 partners pasted one into the other."""
        partners = draw_partners(batch, self.k, rng)
        boxes = draw_boxes(batch, self.k, self.alpha, rng)
        rows, columns = peaks(batch.images)
        shift = shifts(rows[partners], columns[partners], boxes, *batch.images.shape[-2:])
        images = patchwork(batch.images, partners, boxes, shift)
        targets = blend_targets(batch.targets, partners, visible_shares(boxes))
        return replace(batch, images=images, targets=targets)
