"""Motion blur, of whole images and of fields of snow (Hendrycks & Dietterich 2019, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from robustbench_msda.corruptions.severities import Parameter

# A tap below this share of the kernel is lost in float32's rounding.
NEGLIGIBLE = 1e-8
# What carries a sum over to the next grey level: half a step of the 16 bits ImageMagick rounds to before it truncates.
HALF_QUANTUM = 0.5 / 257
# The largest side at which a call for each image and tap takes longer than what it does.
SMALL = 64


def motion_blur(images: Tensor, parameter: Parameter, angles: Tensor) -> Tensor:
    """Return ``images`` smeared along a line, an angle each.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the radius and the standard deviation of ``smear``.
        angles: (B,) degrees.
    """
    radius, sigma = parameter
    return smear(images, radius, sigma, angles.tolist())


def draw_angle(rng: np.random.Generator, side: int, parameter: Parameter) -> tuple[NDArray[np.float64]]:  # noqa: ARG001
    """Return one image's angle in degrees, uniform in [−45, 45)."""
    return (np.array(rng.uniform(-45, 45)),)


def smear(images: Tensor, radius: float, sigma: float, angles: Sequence[float]) -> Tensor:
    """Return the sums over a one-sided Gaussian of the pixels that lie ahead along a line, borders continued.

    Tap i of 2·⌈radius⌉ + 1 is the pixel nearest to i steps ahead and weighs exp(−i² / 2 ``sigma``²), normalised. Sums
    are rounded to 16 bits and truncated to 8, as ImageMagick's MotionBlurImage does at its usual depth, Q16.

    Args:
        images: (B, C, S, S) uint8.
        radius: in pixels.
        sigma: in pixels.
        angles: the direction for each image in degrees, 0 to the right, 90 down.
    """
    weights = _taps(radius, sigma)
    offsets = _offsets(len(weights), angles)
    low, high = offsets.amin((0, 2)).tolist(), offsets.amax((0, 2)).tolist()
    padded = pad(images.float(), (-low[1], high[1], -low[0], high[0]), mode="replicate")
    # In flat memory a shift in both directions is one offset.
    starts = (offsets[:, 0] - low[0]) * padded.shape[-1] + offsets[:, 1] - low[1]
    few = images.is_cuda or images.shape[-1] <= SMALL
    sums = (_sums_by_rows if few else _sums_by_windows)(padded, images.shape[-1], starts, weights)
    return sums.add(HALF_QUANTUM).int().to(torch.uint8)


def _sums_by_rows(padded: Tensor, side: int, starts: Tensor, weights: Tensor) -> Tensor:
    """Return the (B, C, S, S) weighted sums, row by row of each image, in one call."""
    batch, channels, rows, columns = padded.shape
    firsts = torch.arange(batch * channels).mul_(rows).view(batch, channels, 1) + torch.arange(side)
    indices = (firsts[..., None] * columns + starts[:, None, None]).view(-1, len(weights)).to(padded.device)
    # Every run of a row's length there is in memory, as a table that takes none. Float64, as float32 would be copied.
    flat = padded.double().view(-1)
    runs = flat.as_strided((flat.numel() - side + 1, side), (1, 1))
    shares = weights.to(runs).expand(indices.shape)
    return embedding_bag(indices, runs, mode="sum", per_sample_weights=shares).view(batch, channels, side, side)


def _sums_by_windows(padded: Tensor, side: int, starts: Tensor, weights: Tensor) -> Tensor:
    """Return the (B, C, S, S) weighted sums, tap by tap: twice as fast where an image fills the caches."""
    batch, channels, rows, columns = padded.shape
    # What runs over the edges is never looked at.
    length = (channels - 1) * rows * columns + (side - 1) * columns + side
    sums = padded.new_zeros((batch, length))
    for row, total, own in zip(padded.view(batch, -1), sums, starts.tolist(), strict=True):
        for start, weight in _merged(own, weights.tolist()).items():
            total.add_(row.narrow(0, start, length), alpha=weight)
    return sums.as_strided((batch, channels, side, side), (length, rows * columns, columns, 1))


def _merged(starts: list[int], weights: list[float]) -> dict[int, float]:
    """Return the weight of each of the ``starts``, those that occur twice added up."""
    taps: dict[int, float] = {}
    for start, weight in zip(starts, weights, strict=True):
        taps[start] = taps.get(start, 0.0) + weight
    return taps


@lru_cache(maxsize=16)
def _taps(radius: float, sigma: float) -> Tensor:
    steps = torch.arange(2 * ceil(radius) + 1, dtype=torch.float64)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    return weights[weights > NEGLIGIBLE]


def _offsets(count: int, angles: Sequence[float]) -> Tensor:
    """Return the (B, 2, ``count``) rows and columns, whole numbers, by which each tap lies ahead."""
    radians = torch.tensor(angles, dtype=torch.float64).deg2rad()
    directions = torch.stack((radians.sin(), radians.cos()), 1)
    return torch.ceil(directions[:, :, None] * torch.arange(count) - 0.5).long()
