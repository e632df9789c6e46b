"""Zoom blur (Hendrycks & Dietterich 2019, section 3), and the zoom it shares with snow."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag, interpolate

from robustbench_msda.corruptions.severities import Parameter

# Sums nearer than this to a grey level are that level but for float32's rounding of up to 60 terms.
CLOSE = 2e-4


def zoom_blur(images: Tensor, parameter: Parameter) -> Tensor:
    """Return the mean of square ``images`` and their zooms about the centre.

    The mean is linear: a table says of which source pixels each pixel is made, all zooms taken together. Where they are
    all alike the reference's own sum, in float32, decides whether the grey level survives truncation; we keep a list.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: start, end and step of the factors; the end is left out up to rounding, as ``numpy.arange`` does.
    """
    side = images.shape[-1]
    sources, starts, weights, flat = _table(side, parameter, images.device)
    pixels = images.permute(2, 3, 0, 1).reshape(side * side, -1).float().contiguous()
    sums = embedding_bag(sources, pixels, starts, mode="sum", per_sample_weights=weights)
    nearest = sums.round()
    levels = torch.where((sums - nearest).abs() < CLOSE, flat[nearest.int()], sums.to(torch.uint8))
    return levels.view(side, side, *images.shape[:2]).permute(2, 3, 0, 1).contiguous()


def clipped_zoom(fields: Tensor, factor: float) -> Tensor:
    """Return square ``fields``, (B, S, S), enlarged about the centre, bilinear, corner to corner of the part seen."""
    return _stretch(_stretch(fields, factor).mT, factor).mT


def _stretch(fields: Tensor, factor: float) -> Tensor:
    """Return (B, R, S) ``fields`` enlarged along their last axis: ⌈S / factor⌉ of the middle, S of what they become."""
    side = fields.shape[-1]
    small = ceil(side / factor)
    large = round(small * factor)
    middle = fields.narrow(-1, (side - small) // 2, small)
    stretched = interpolate(middle, size=large, mode="linear", align_corners=True)
    return stretched.narrow(-1, (large - side) // 2, side)


@lru_cache(maxsize=8)
def _table(side: int, parameter: Parameter, device: torch.device) -> tuple[Tensor, ...]:
    """Return the source pixels of each pixel in one row, where each pixel's begin, their weights, and the flat levels.

    At 299 pixels the table takes 30 MB and a quarter of a second.
    """
    factors = np.arange(*parameter)
    identity = torch.eye(side, dtype=torch.float64)[None]
    total = sparse.identity(side * side, format="csr")
    for factor in factors:
        axis = sparse.csr_array(_stretch(identity, float(factor))[0].T.numpy())
        total = total + sparse.kron(axis, axis, format="csr")
    mean = sparse.csr_array(total / (len(factors) + 1))
    arrays = (mean.indices, mean.indptr[:-1], mean.data.astype(np.float32), _flat_levels(len(factors)))
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def _flat_levels(count: int) -> NDArray[np.uint8]:
    """Return what becomes of each grey level where an image and its ``count`` zooms are alike, added in float32."""
    levels = (np.arange(256) / 255).astype(np.float32)
    total = np.zeros_like(levels)
    for _ in range(count):
        total += levels
    mean = (levels + total) / np.float32(count + 1)
    return np.asarray(mean.clip(0, 1) * np.float32(255)).astype(np.uint8)
