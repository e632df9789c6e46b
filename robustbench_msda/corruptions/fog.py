"""Fog (Hendrycks & Dietterich 2019, section 3): a fractal map of haze laid over the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions.noise import draw_slices, middles
from robustbench_msda.corruptions.pixels import truncated
from robustbench_msda.corruptions.severities import Parameter

FIRST_AMPLITUDE = 100.0


def fog(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` plus haze, scaled so that the brightest pixel a full haze could give keeps its brightness.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: how thick the haze is, and by what its detail fades from one scale to the next.
        draws: (B, n² − 1) slices or floats in [0, 1), n being the power of two that holds S; see ``plasma``.
    """
    weight, decay = parameter
    side = images.shape[-1]
    haze = plasma(middles(draws), decay)[:, None, :side, :side]
    brightest = images.flatten(1).amax(1).to(haze.dtype).view(-1, 1, 1, 1)
    kept = brightest / (brightest + 255 * weight)
    return truncated(images.to(haze.dtype).mul_(kept).add_(haze * (255 * weight * kept)))


def draw_plasma(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.uint16]]:
    """Return one image's slices for ``plasma``."""
    return (draw_slices(rng, (4 ** (side - 1).bit_length() - 1,)),)


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
        heights = _refine(heights, drawn.mul(2 * amplitude**2).sub_(amplitude**2))
        start += 3 * size * size
        amplitude /= decay
    low, high = (bound(heights.flatten(1), 1, keepdim=True) for bound in (torch.amin, torch.amax))
    return heights.sub_(low.unsqueeze(2)).div_((high - low).unsqueeze(2))


def _refine(corners: Tensor, displacements: Tensor) -> Tensor:
    """Return the map of twice the side: each new point is the mean of its four neighbours, displaced."""
    batch, size, _ = corners.shape
    heights = corners.new_empty(batch, 2 * size, 2 * size)
    pairs = corners + corners.roll(-1, 1)
    centres = (pairs + pairs.roll(-1, 2)).div_(4).add_(displacements[:, 0])
    upper = (centres + centres.roll(1, 1)).add_(corners).add_(corners.roll(-1, 2))
    left = (centres + centres.roll(1, 2)).add_(pairs)
    # Neighbours in a row as the parts of a complex number: they are written together, in a third of the time.
    pairs_of_rows = torch.view_as_complex(heights.view(batch, size, 2, size, 2))
    torch.complex(corners, torch.add(displacements[:, 1], upper, alpha=0.25), out=pairs_of_rows[:, :, 0])
    torch.complex(torch.add(displacements[:, 2], left, alpha=0.25), centres, out=pairs_of_rows[:, :, 1])
    return heights
