"""Fog (Hendrycks & Dietterich 2019, section 3): a fractal map of haze laid over the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions.pixels import to_uint8
from robustbench_msda.corruptions.severities import Parameter

FIRST_AMPLITUDE = 100.0


def fog(images: Tensor, parameter: Parameter, uniforms: Tensor) -> Tensor:
    """Return ``images`` plus haze, scaled so that the brightest pixel a full haze could give keeps its brightness.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: how thick the haze is, and by what its detail fades from one scale to the next.
        uniforms: (B, n² − 1) float in [0, 1), n being the power of two that holds S; arithmetic is in their precision.
    """
    weight, decay = parameter
    side = images.shape[-1]
    haze = plasma(uniforms, decay)[:, None, :side, :side]
    unit = images.to(haze.dtype).div_(255)
    brightest = unit.amax((1, 2, 3), keepdim=True)
    return to_uint8((haze * weight).add(unit).mul_(brightest).div_(brightest + weight))


def draw_plasma(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.float32]]:
    """Return one image's draws for ``plasma``, from the 2²⁴ multiples of 2⁻²⁴ in [0, 1)."""
    return (rng.random(4 ** (side - 1).bit_length() - 1, dtype=np.float32),)


def plasma(uniforms: Tensor, decay: float) -> Tensor:
    """Return (B, n, n) fractal maps in [0, 1] by the diamond-square algorithm on a torus.

    Args:
        uniforms: (B, n² − 1) float in [0, 1) with n a power of two: scale by scale from the coarsest, and in each the
            centres of the squares, the middles of their upper edges, the middles of their left edges.
        decay: by what the amplitude shrinks when the scale halves. The displacements are that amplitude times a draw
            between ± that amplitude, so it counts squared.
    """
    batch = len(uniforms)
    heights = uniforms.new_zeros(batch, 1, 1)
    amplitude, start = FIRST_AMPLITUDE, 0
    while start < uniforms.shape[1]:
        size = heights.shape[1]
        drawn = uniforms[:, start : start + 3 * size * size].view(batch, 3, size, size)
        heights = _refine(heights, drawn.mul(2 * amplitude).sub_(amplitude).mul_(amplitude))
        start += 3 * size * size
        amplitude /= decay
    heights.sub_(heights.amin((1, 2), keepdim=True))
    return heights.div_(heights.amax((1, 2), keepdim=True))


def _refine(corners: Tensor, displacements: Tensor) -> Tensor:
    """Return the map of twice the side: each new point is the mean of its four neighbours, displaced."""
    batch, size, _ = corners.shape
    pairs = corners + corners.roll(-1, 1)
    centres = pairs.add(pairs.roll(-1, 2)).div_(4).add_(displacements[:, 0])
    upper = (centres + centres.roll(1, 1)).add_(corners).add_(corners.roll(-1, 2))
    left = (centres + centres.roll(1, 2)).add_(pairs)
    rows = torch.stack((corners, upper.div_(4).add_(displacements[:, 1])), 3)
    between = torch.stack((left.div_(4).add_(displacements[:, 2]), centres), 3)
    return torch.stack((rows, between), 2).view(batch, 2 * size, 2 * size)
