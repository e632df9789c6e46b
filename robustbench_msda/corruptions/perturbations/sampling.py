"""Moving pixels: every pixel of every frame is a weighted sum of four pixels of the image, the same for all images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

# Weights are multiples of this: sums of 8-bit values are then exact in float32, so that neither the batch nor the
# device nor the order of terms changes a bit. It costs less than 0.004 grey levels.
UNIT = 2.0**-16


@dataclass(frozen=True)
class Sampling:
    """Where the pixels of some frames come from.

    Attributes:
        sources: (F·S·S, 4) int32, positions in the flat image.
        weights: (F·S·S, 4) float32, multiples of ``UNIT`` with sums of at most 1.
    """

    sources: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Sampling:
        """Return it on ``device``."""
        return Sampling(self.sources.to(device), self.weights.to(device))


def resample(images: Tensor, sampling: Sampling, carry: float) -> Tensor:
    """Return the (B, F, C, S, S) uint8 frames that ``sampling`` makes of ``images``.

    Args:
        images: (B, C, S, S) uint8.
        sampling: on the images' device.
        carry: added before truncation: 0 truncates, 0.5 rounds.
    """
    batch, channels, side, _ = images.shape
    pixels = images.permute(2, 3, 0, 1).reshape(side * side, -1).float()
    sums = embedding_bag(sampling.sources, pixels, mode="sum", per_sample_weights=sampling.weights)
    levels = sums.add_(carry).to(torch.uint8).view(-1, side, side, batch, channels)
    return levels.permute(3, 0, 4, 1, 2).contiguous()


def affine_sampling(side: int, matrices: NDArray[np.float64]) -> Sampling:
    """Return what Pillow's ``transform(AFFINE, BILINEAR)`` does: edges continued by half a pixel, black beyond.

    Args:
        side: of the images.
        matrices: (F, 2, 3), from the column and row of a pixel's middle to those of its source; pixels have side 1.
    """
    middles = np.arange(side) + 0.5
    x, y = (_linear(row, middles) for row in matrices.swapaxes(0, 1))
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    rows, columns, weights = _four_taps(x - 0.5, y - 0.5)
    return _sampling(side, rows, columns, weights * inside[..., None])


def perspective_sampling(side: int, matrices: NDArray[np.float64]) -> Sampling:
    """Return what OpenCV's ``warpPerspective(INTER_LINEAR)`` did until version 4: coordinates rounded to 1/32 pixel.

    Black surrounds the image, and edges are blended with it.

    Args:
        side: of the images.
        matrices: (F, 3, 3), from a pixel's column, row and 1 to those of its source, homogeneous.
    """
    x, y, z = (_linear(row, np.arange(side)) for row in matrices.swapaxes(0, 1))
    rows, columns, weights = _four_taps(np.rint(x * (32 / z)) / 32, np.rint(y * (32 / z)) / 32)
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    return _sampling(side, rows, columns, weights * inside)


def _linear(factors: NDArray[np.float64], places: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return (F, S, S): columns and rows at ``places`` times, plus, the (F, 3) ``factors``."""
    across, down, offset = factors.T[..., None, None]
    return np.asarray(across * places + down * places[:, None] + offset)


def _four_taps(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return rows, columns and bilinear weights (…, 4) of the pixels around (…) columns ``x`` and rows ``y``."""
    left, top = np.floor(x), np.floor(y)
    right, down = x - left, y - top
    rows = np.stack((top, top, top + 1, top + 1), -1)
    columns = np.stack((left, left + 1, left, left + 1), -1)
    upper, lower = (1 - down)[..., None], down[..., None]
    across = np.stack((1 - right, right), -1)
    return rows, columns, np.concatenate((across * upper, across * lower), -1)


def _sampling(
    side: int, rows: NDArray[np.float64], columns: NDArray[np.float64], weights: NDArray[np.float64]
) -> Sampling:
    """Return the sampling of (F, S, S, 4) taps; those outside the image are moved to its edge."""
    last = side - 1
    sources = rows.clip(0, last) * side + columns.clip(0, last)
    whole = np.rint(weights.reshape(-1, 4) / UNIT)
    # What rounding took or gave goes to the largest, so that flat areas stay as they are.
    rest = np.rint(weights.reshape(-1, 4).sum(1) / UNIT) - whole.sum(1)
    whole[np.arange(len(whole)), whole.argmax(1)] += rest
    return Sampling(
        torch.from_numpy(sources.reshape(-1, 4).astype(np.int32)),
        torch.from_numpy((whole * UNIT).astype(np.float32)),
    )
