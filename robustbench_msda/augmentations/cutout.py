"""Cutout. DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout, arXiv:1708.04552."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, require
from robustbench_msda.records import Batch


def cutout(images: Tensor, rows: Tensor, columns: Tensor, size: int, fill: Tensor) -> Tensor:
    """Return ``images`` with one square of each filled; the square is clipped at the border (DeVries & Taylor, §3.2).

    Args:
        images: (B, C, H, W), left untouched.
        rows: (B,) the row of each centre; the square spans ``rows - size // 2`` to ``rows - size // 2 + size``.
        columns: (B,) the column of each centre.
        size: the side, in pixels; 0 is the identity.
        fill: (C, 1, 1) the colour of the hole.
    """
    height, width = images.shape[-2:]

    def inside(centres: Tensor, extent: int) -> Tensor:
        offset = torch.arange(extent, device=images.device) - centres[:, None] + size // 2
        return (offset >= 0) & (offset < size)

    hole = inside(rows, height)[:, :, None] & inside(columns, width)[:, None, :]
    return torch.where(hole[:, None], fill.to(images.dtype), images)


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Cutout with one hole an image, centred anywhere, filled with the mean colour (0 after normalisation)."""

    size: int = 16

    def __post_init__(self) -> None:
        require(isinstance(self.size, int) and self.size >= 0, "a whole size >= 0 in pixels", self.size)

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the images with holes; targets stay as they are."""
        n, channels, height, width = batch.images.shape
        rows, columns = (torch.from_numpy(rng.integers(side, size=n)) for side in (height, width))
        device = batch.images.device
        fill = model.get_buffer("mean").reshape(channels, 1, 1)
        holed = cutout(batch.images, rows.to(device), columns.to(device), self.size, fill)
        return criterion(model(holed), batch.targets)
