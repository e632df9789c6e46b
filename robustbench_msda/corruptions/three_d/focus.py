"""Depth of field: near_focus and far_focus (Kar et al. 2022, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.three_d.maps import check_maps

LAYERS = 8
# How far the first and the last layer reach beyond the depths there are, so that every pixel lies between two.
MARGIN = 1e-4
NEAR, FAR = 0, 7
SMALLEST_RADIUS = 0.1
SMALLEST_DEPTH = 1e-9


def near_focus(images: Tensor, depth: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` in focus at the nearest depth, blurred beyond it.

    Args:
        images: (B, 3, S, S) uint8.
        depth: (B, S, S) float, more than ``MARGIN``, in any unit: only ratios count.
        parameter: the aperture, in pixels: the standard deviation of the blur that depths without end approach.

    Raises:
        ValueError: the depth does not fit the images or is not positive.
    """
    return _focused(images, depth, parameter, NEAR)


def far_focus(images: Tensor, depth: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` in focus at the 7/8 quantile of their depth, blurred before and beyond it.

    The arguments and errors are those of ``near_focus``.
    """
    return _focused(images, depth, parameter, FAR)


def blur_radii(edges: Tensor, focus: int, aperture: float, side: int) -> Tensor:
    """Return the standard deviation, in pixels, of the blur at each depth of ``edges``: aperture·abs(d − f) / d.

    Differs from the reference: at most ``side``, where a picture is one colour anyway and the reference's kernel grows
    without end.

    Args:
        edges: (LAYERS + 1,) depths, rising.
        focus: which of them is the depth f in focus.
        aperture: as above.
        side: the side of the image.
    """
    radii = aperture * (edges - edges[focus]).abs() / edges.clamp(min=SMALLEST_DEPTH)
    return radii.clamp(max=side)


def layer_weights(depth: Tensor, edges: Tensor) -> Tensor:
    """Return the share, (LAYERS + 1, H, W), that the image blurred for each depth of ``edges`` has in each pixel.

    A pixel mixes the two depths around its own, each with the weight 1 − (its distance / their distance)².

    Args:
        depth: (H, W), inside the edges.
        edges: (LAYERS + 1,) depths, rising.
    """
    right = torch.searchsorted(edges, depth)
    low, high = edges[right - 1], edges[right]
    place = (depth - low) / (high - low)
    shares = torch.zeros((len(edges), *depth.shape), dtype=depth.dtype, device=depth.device)
    shares.scatter_(0, (right - 1).unsqueeze(0), (1 - place**2).unsqueeze(0))
    shares.scatter_(0, right.unsqueeze(0), (1 - (1 - place) ** 2).unsqueeze(0))
    return shares / shares.sum(0)


def blur_matrices(radii: Tensor, side: int) -> Tensor:
    """Return the (R, side, side) matrices that blur a column by Gaussians of ``radii``, continued by the edge pixel.

    The reference's kernels have ⌊3r⌋ taps, one more if that is even: they end at one and a half standard deviations.
    Below a radius of 0.1 nothing is blurred.

    Args:
        radii: (R,) standard deviations in pixels.
        side: the length of the column.
    """
    reach = torch.where(radii < SMALLEST_RADIUS, 0, torch.floor(torch.floor(3 * radii) / 2))
    span = int(reach.max())
    offsets = torch.arange(-span, span + 1, device=radii.device)
    taps = torch.exp(-(offsets**2) / (2 * radii.clamp(min=SMALLEST_RADIUS).square().unsqueeze(1)))
    taps = taps * (offsets.abs() <= reach.unsqueeze(1))
    taps = (taps / taps.sum(1, keepdim=True)).unsqueeze(1).expand(-1, side, -1)
    sources = (torch.arange(side, device=radii.device).unsqueeze(1) + offsets).clamp(0, side - 1)
    matrices = torch.zeros((len(radii), side, side), dtype=radii.dtype, device=radii.device)
    return matrices.scatter_add_(2, sources.expand(len(radii), -1, -1), taps)


def _focused(images: Tensor, depth: Tensor, parameter: Parameter, focus: int) -> Tensor:
    (aperture,) = parameter
    check_maps(images, depth, MARGIN, "depth")
    # One by one, so that what a matrix product rounds does not depend on the batch.
    pairs = zip(images, depth.double(), strict=True)
    return torch.stack([_refocus(image, own, aperture, focus) for image, own in pairs]) if len(images) else images


def _refocus(image: Tensor, depth: Tensor, aperture: float, focus: int) -> Tensor:
    side = image.shape[-1]
    steps = torch.arange(LAYERS + 1, dtype=depth.dtype, device=depth.device) / LAYERS
    edges = torch.quantile(depth.flatten(), steps)
    edges[0] -= MARGIN
    edges[-1] += MARGIN
    shares = layer_weights(depth, edges)
    matrices = blur_matrices(blur_radii(edges, focus, aperture, side), side).unsqueeze(1)
    blurred = matrices @ to_unit(image) @ matrices.transpose(2, 3)
    return to_uint8((blurred * shares.unsqueeze(1)).sum(0))
