"""Affine warps of a batch, one matrix an image, as Pillow's ``Image.transform(AFFINE, BILINEAR)`` does them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float64]
Matrices = Callable[[Floats, int, int], Floats]
# Pillow cuts off the fraction of a double; our float32 may lie just below the same whole number: by this times the side
TRUNCATION_SLACK = 2.0**-14


def warp(images: Tensor, matrices: Floats) -> Tensor:
    """Return ``images`` warped: output pixel (x, y) shows the input at ``a x + b y + c, d x + e y + f``.

    Pixel centres lie at halves. What comes from outside the image is black; within, the border pixel continues
    (Pillow, Geometry.c, ``bilinear_filter8``). Equal to Pillow within one grey level.

    Args:
        images: (B, C, H, W) uint8, left untouched.
        matrices: (B, 6) the coefficients a to f of each image, in pixels.
    """
    n, channels, height, width = images.shape
    matrix = torch.from_numpy(matrices).to(images.device).reshape(n, 6, 1, 1)
    across = torch.arange(width, device=images.device, dtype=torch.float64) + 0.5
    down = torch.arange(height, device=images.device, dtype=torch.float64)[:, None] + 0.5
    x = matrix[:, 0] * across + matrix[:, 1] * down + matrix[:, 2]
    y = matrix[:, 3] * across + matrix[:, 4] * down + matrix[:, 5]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    grid = torch.empty(n, height, width, 2, device=images.device)
    grid[..., 0], grid[..., 1] = x, y
    grid.mul_(torch.tensor([2 / width, 2 / height], device=images.device)).sub_(1)
    sampled = functional.grid_sample(images.contiguous().float(), grid, padding_mode="border", align_corners=False)
    warped = sampled.add_(TRUNCATION_SLACK * max(height, width)).mul_(inside[:, None]).to(torch.uint8)
    return warped.contiguous(memory_format=_memory_format(images, channels))


def _memory_format(images: Tensor, channels: int) -> torch.memory_format:
    last = channels > 1 and images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _matrices(magnitudes: Floats, entries: dict[int, Floats | float]) -> Floats:
    matrices = np.tile([1.0, 0, 0, 0, 1, 0], (len(magnitudes), 1))
    for column, values in entries.items():
        matrices[:, column] = values
    return matrices


def rotation(degrees: Floats, height: int, width: int) -> Floats:
    """Return (B, 6) matrices that turn the image counter-clockwise about its centre, as ``Image.rotate`` does."""
    angles = -np.radians(np.remainder(degrees, 360))
    cosines, sines = np.cos(angles).round(15), np.sin(angles).round(15)
    right = cosines * (-width / 2) + sines * (-height / 2) + width / 2
    down = -sines * (-width / 2) + cosines * (-height / 2) + height / 2
    return _matrices(degrees, {0: cosines, 1: sines, 2: right, 3: -sines, 4: cosines, 5: down})


def shear_x(factors: Floats, _height: int, _width: int) -> Floats:
    """Return (B, 6) matrices that read ``factor * y`` pixels further right."""
    return _matrices(factors, {1: factors})


def shear_y(factors: Floats, _height: int, _width: int) -> Floats:
    """Return (B, 6) matrices that read ``factor * x`` pixels further down."""
    return _matrices(factors, {3: factors})


def translate_x(pixels: Floats, _height: int, _width: int) -> Floats:
    """Return (B, 6) matrices that read ``pixels`` further right: the picture moves left."""
    return _matrices(pixels, {2: pixels})


def translate_y(pixels: Floats, _height: int, _width: int) -> Floats:
    """Return (B, 6) matrices that read ``pixels`` further down: the picture moves up."""
    return _matrices(pixels, {5: pixels})


def hflip(images: Tensor, _magnitudes: Floats) -> Tensor:
    """Return ``images`` mirrored left and right."""
    return images.flip(3)


def vflip(images: Tensor, _magnitudes: Floats) -> Tensor:
    """Return ``images`` mirrored top and bottom."""
    return images.flip(2)
