"""Colour and sharpness, and the blend they rest on, as Pillow's ImageEnhance does them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LUMA = (19595, 38470, 7471)  # ITU-R 601-2 in 16-bit fixed point, as in Pillow's Convert.c


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Return ``first + share * (second - first)`` cut off to whole grey levels, uint8; ``share`` may leave [0, 1].

    In float32, as Pillow's Blend.c.
    """
    start = first.float()
    return (start + share.float() * (second.float() - start)).clamp(0, 255).to(torch.uint8)


def grey(images: Tensor) -> Tensor:
    """Return (B, 1, H, W) uint8, the luma of (B, 3, H, W) images; (B, 1, H, W) stays."""
    channels = images.shape[1]
    if channels == 1:
        return images
    if channels != len(LUMA):
        raise ValueError(f"expected images of 1 or 3 channels, got {channels}")
    weights = torch.tensor(LUMA, dtype=torch.int32, device=images.device).reshape(1, 3, 1, 1)
    luma = (images.int() * weights).sum(1, keepdim=True) + 2**15
    return (luma >> 16).to(torch.uint8)


def _column(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(factors).to(images.device).reshape(-1, 1, 1, 1)


def color(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Return (B, C, H, W) uint8, a blend of the grey image (factor 0) and the image (factor 1), and beyond."""
    return blend(grey(images), images, _column(images, factors))


def sharpness(images: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """Return (B, C, H, W) uint8, a blend of the smoothed image (factor 0) and the image (factor 1), and beyond."""
    return blend(smooth(images), images, _column(images, factors))


def smooth(images: Tensor) -> Tensor:
    """Return ``images`` under Pillow's SMOOTH: every 3x3 neighbourhood's mean, the centre five times; the rim stays."""
    shorts = images.short()
    columns = shorts[:, :, :-2] + shorts[:, :, 1:-1] + shorts[:, :, 2:]
    sums = columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:] + 4 * shorts[:, :, 1:-1, 1:-1]
    smoothed = images.clone()
    smoothed[:, :, 1:-1, 1:-1] = (sums.float() / 13 + 0.5).to(torch.uint8)
    return smoothed
