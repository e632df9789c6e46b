"""Operations that change a grey value by a table of 256 entries, as Pillow's ImageOps and ImageEnhance fill them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations.enhancements import blend, grey

Tables = Callable[[Tensor, NDArray[np.float64]], Tensor]


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Return ``images`` with every value replaced by its entry.

    Args:
        images: (B, C, H, W) uint8.
        tables: (B, C, 256) uint8, or (B, 1, 256) for one table for all channels.
    """
    n, channels, height, width = images.shape
    values = images.reshape(n, channels, height * width).long()
    return tables.expand(n, channels, 256).gather(2, values).reshape(images.shape)


def _counts(images: Tensor) -> Tensor:
    """Return (B, C, 256) int64, how often every channel has each value."""
    n, channels = images.shape[:2]
    base = torch.arange(n * channels, device=images.device).reshape(n, channels, 1) * 256
    cells = images.reshape(n, channels, -1) + base
    return torch.bincount(cells.flatten(), minlength=n * channels * 256).reshape(n, channels, 256)


def _ramp(images: Tensor) -> Tensor:
    return torch.arange(256, device=images.device)


def _column(images: Tensor, magnitudes: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(magnitudes).to(images.device).reshape(-1, 1, 1)


def autocontrast(images: Tensor, _magnitudes: NDArray[np.float64]) -> Tensor:
    """Return (B, C, 256) tables that stretch each channel to 0..255; a flat channel stays. The magnitude is ignored."""
    flat = images.reshape(*images.shape[:2], -1)
    low, high = flat.amin(2, keepdim=True).double(), flat.amax(2, keepdim=True).double()
    ramp = _ramp(images).double()
    scale = torch.full_like(high, 255) / (high - low).clamp(min=1)  # 255 / tensor would round twice
    stretched = (ramp * scale - low * scale).clamp(0, 255)
    return torch.where(high > low, stretched, ramp).to(torch.uint8)


def equalize(images: Tensor, _magnitudes: NDArray[np.float64]) -> Tensor:
    """Return (B, C, 256) tables that flatten each channel's histogram. The magnitude is ignored.

    As in Pillow the last value's count sets no step, and an image of too few pixels to step stays.
    """
    counts = _counts(images)
    last = (counts > 0).long().cumsum(2).argmax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, last)).div(255, rounding_mode="floor")
    before = counts.cumsum(2) - counts + step // 2
    levels = before.div(step.clamp(min=1), rounding_mode="floor").clamp(max=255)
    return torch.where(step > 0, levels, _ramp(images)).to(torch.uint8)


def invert(images: Tensor, _magnitudes: NDArray[np.float64]) -> Tensor:
    """Return (B, 1, 256) tables of ``255 - value``. The magnitude is ignored."""
    return (255 - _ramp(images)).to(torch.uint8).expand(len(images), 1, 256)


def posterize(images: Tensor, bits: NDArray[np.float64]) -> Tensor:
    """Return (B, 1, 256) tables that keep the highest 1 to 8 bits; fewer than 1 keep 1."""
    kept = _column(images, bits).long().clamp(1, 8)
    return (_ramp(images) & (256 - 2 ** (8 - kept))).to(torch.uint8)


def solarize(images: Tensor, thresholds: NDArray[np.float64]) -> Tensor:
    """Return (B, 1, 256) tables that invert the values at or above a threshold of 0 (all) to 256 (none)."""
    ramp = _ramp(images)
    return torch.where(ramp < _column(images, thresholds), ramp, 255 - ramp).to(torch.uint8)


def brightness(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Return (B, 1, 256) tables that blend black (factor 0) with the image (factor 1), and beyond."""
    ramp = _ramp(images).expand(len(images), 1, 256)
    return blend(torch.zeros_like(ramp), ramp, _column(images, factors))


def contrast(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Return (B, 1, 256) tables that blend the mean grey (factor 0) with the image (factor 1), and beyond."""
    mean = grey(images).double().mean((1, 2, 3)).add(0.5).floor().long().reshape(-1, 1, 1)
    ramp = _ramp(images).expand(len(images), 1, 256)
    return blend(mean.expand_as(ramp), ramp, _column(images, factors))
