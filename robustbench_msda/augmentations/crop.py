"""The standard random crop and flip of CIFAR training, batched: draw first, then apply."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


class CropDraws(NamedTuple):
    """One row an image: the crop's first row and column in the padded image, and whether it is mirrored."""

    rows: Tensor
    columns: Tensor
    mirrored: Tensor


def draw_crops(n: int, padding: int, flip: float, rng: np.random.Generator) -> CropDraws:
    """Return the draws of ``n`` images: offsets uniform in [0, 2·padding], mirrored with probability ``flip``."""
    offsets = torch.from_numpy(rng.integers(0, 2 * padding + 1, size=(2, n)))
    return CropDraws(offsets[0], offsets[1], torch.from_numpy(rng.random(n) < flip))


def pad(images: Tensor, padding: int) -> Tensor:
    """Return (N, H, W, C) uint8 ``images`` with a black border of ``padding`` pixels."""
    return functional.pad(images, (0, 0, padding, padding, padding, padding))


def crop(padded: Tensor, index: Tensor, draws: CropDraws, side: tuple[int, int]) -> Tensor:
    """Return crops of ``side`` (height, width), (B, C, H, W) float32 in [0, 1], channels last in memory.

    Args:
        padded: (N, H + 2p, W + 2p, C) uint8, the whole padded data set.
        index: (B,) which images.
        draws: of those images.
        side: height and width of a crop.
    """
    device = padded.device
    rows = draws.rows.to(device)[:, None] + torch.arange(side[0], device=device)
    across = torch.arange(side[1], device=device).expand(len(index), -1)
    across = torch.where(draws.mirrored.to(device)[:, None], across.flip(1), across)
    columns = draws.columns.to(device)[:, None] + across
    cropped = padded[index.to(device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).float().div_(255)
