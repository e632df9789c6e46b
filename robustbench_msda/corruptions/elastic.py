"""Elastic transform (Hendrycks & Dietterich 2019, section 3)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn.functional import grid_sample

from robustbench_msda.corruptions.severities import Parameter

# OpenCV's warpAffine rounds positions to 2⁻¹⁰ of a pixel and samples at multiples of 2⁻⁵.
FINE, COARSE = 1024, 32
# The farthest position float32 keeps to 2⁻¹⁰; only a triangle that has all but collapsed sends pixels there.
FARTHEST = 2.0**14
# What float32's rounding may take off a whole grey level.
ROUNDING = 1e-4


def elastic_transform(images: Tensor, parameter: Parameter, shifts: Tensor, fields: Tensor) -> Tensor:
    """Return square ``images`` bent as a whole by a random affine map, then locally by a smooth random field.

    Differs from the reference: float32 positions, and grey levels instead of fractions, so whole levels stay whole;
    among the reference's values up to 0.3 % are one level lower or higher.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: the factor of the field, the standard deviation that smooths it, and the reach of the shifts, all in
            pixels.
        shifts: (B, 3, 2) float, by how many pixels, (x, y), each corner of a triangle about the centre moves.
        fields: (B, 2, S, S) float in [0, 1): 2u − 1, smoothed, is how far off each pixel is fetched, (x, y).
    """
    alpha, sigma, _ = parameter
    side = images.shape[-1]
    ends = (side - 1) / 2
    # Minus one is the middle of the first pixel here, and its outer edge below: the two reflections differ so.
    affine = _affine_positions(shifts, side).div_(ends).sub_(1).permute(0, 2, 3, 1)
    warped = grid_sample(images.float(), affine, padding_mode="reflection", align_corners=True)
    pixels = (torch.arange(side, device=images.device) + 0.5).mul_(2 / side).sub_(1)
    local = _smoothed(fields, sigma).mul_(2 * alpha / side)
    local[:, 0].add_(pixels)
    local[:, 1].add_(pixels[:, None])
    bent = grid_sample(warped, local.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False)
    return bent.add_(ROUNDING).int().to(torch.uint8)


def draw_shifts_and_fields(
    rng: np.random.Generator, side: int, parameter: Parameter
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return one image's (3, 2) shifts, uniform in [−reach, reach), and its (2, side, side) fields, in [0, 1)."""
    reach = parameter[-1]
    return rng.uniform(-reach, reach, (3, 2)), rng.random((2, side, side), dtype=np.float32)


def _affine_positions(shifts: Tensor, side: int) -> Tensor:
    """Return the (B, 2, S, S) float32 positions (x, y) each pixel comes from, in the steps of OpenCV's warpAffine.

    The map takes the corners (c + q, c + q), (c + q, c − q), (c − q, c − q) to where ``shifts`` move them, c being the
    centre and q a third of the side; this is its inverse.
    """
    centre, third = side // 2, side // 3
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], device=shifts.device).mul_(third).add_(centre)
    moved = corners.add(shifts.float()).double()
    across, down = moved[:, 1] - moved[:, 2], moved[:, 0] - moved[:, 1]
    scale = (across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / (2 * third)
    # What a step in x, then in y, of the target is in the source.
    right = torch.stack((down[:, 1], -across[:, 1]), 1) / scale[:, None]
    below = torch.stack((-down[:, 0], across[:, 0]), 1) / scale[:, None]
    start = corners[1] - right * moved[:, 1, :1] - below * moved[:, 1, 1:]
    steps = torch.arange(side, dtype=torch.float64, device=shifts.device)
    columns = _fixed(right[:, :, None] * steps)
    rows = _fixed(below[:, :, None] * steps + start[:, :, None]).add_(FINE // COARSE // 2)
    positions = rows[:, :, :, None] + columns[:, :, None]
    return positions.mul_(COARSE / FINE).floor_().div_(COARSE)


def _fixed(positions: Tensor) -> Tensor:
    """Return float64 ``positions`` as float32 whole multiples of the finer step."""
    return positions.clamp(-FARTHEST, FARTHEST).mul_(FINE).round_().float()


def _smoothed(fields: Tensor, sigma: float) -> Tensor:
    """Return 2·``fields`` − 1 smoothed by a Gaussian cut at three standard deviations, reflected at the borders."""
    kernel = _gaussian(fields.shape[-1], sigma).to(fields.device)
    return kernel @ fields.float().mul(2).sub_(1) @ kernel.T


@lru_cache(maxsize=16)
def _gaussian(side: int, sigma: float) -> Tensor:
    """Return the (side, side) matrix of SciPy's Gaussian filter, which is what it makes of the identity."""
    identity = np.eye(side)
    kernel = gaussian_filter1d(identity, sigma, axis=0, mode="reflect", truncate=3) if sigma else identity
    return torch.from_numpy(kernel.astype(np.float32))
