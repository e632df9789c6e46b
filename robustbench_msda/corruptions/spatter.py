"""Spatter, an extra of ImageNet-C (Hendrycks & Dietterich 2019): drops of water or mud on the lens.

The reference shapes water with OpenCV's Canny, distanceTransform, equalizeHist, filter2D and blur; here these are
batched and in float32, which holds all their whole numbers: the grey levels that come of them equal OpenCV's.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.blur import smooth, smooth_fields
from robustbench_msda.corruptions.noise import draw_slices, normals
from robustbench_msda.corruptions.pixels import to_uint8
from robustbench_msda.corruptions.severities import Parameter

WATER = (175 / 255, 238 / 255, 238 / 255)
MUD = (63 / 255, 42 / 255, 20 / 255)

# Canny's thresholds on |dx| + |dy|, and tan 22.5° as OpenCV rounds it to 15 bits.
WEAK, STRONG = 50, 150
TAN_22 = 13573

# Beyond this many pixels from an edge, all is alike.
FARTHEST = 20
# The steps of the 5x5 chamfer distance with OpenCV's lengths, and the multiples of each whose sums reach FARTHEST.
CHAMFER = (
    (((0, 1), (1, 0)), 1.0, (16, 8, 4, 2, 1)),
    (((1, 1), (1, -1)), 1.4, (8, 4, 2, 1)),
    (((1, 2), (2, 1), (1, -2), (2, -1)), 2.1969, (8, 4, 2, 1)),
)
EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


def spatter(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` seen through a lens with drops on it.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: see ``splash``.
        draws: (B, H, W) slices or floats in [0, 1), turned into a normal field.
    """
    return splash(images, parameter, normals(draws))


def draw_field(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.uint16]]:
    """Return one image's (side, side) slices."""
    return (draw_slices(rng, (side, side)),)


def splash(images: Tensor, parameter: Parameter, field: Tensor) -> Tensor:
    """Return ``images`` spattered where a blurred normal field is high.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: mean and standard deviation of the field, its blur in pixels, the threshold above which there is a
            drop, then how visible water is, or how far mud is blurred, and 0 for water or 1 for mud.
        field: (B, H, W) draws from N(0, 1); blurred in their precision.
    """
    mean, std, sigma, threshold, strength, kind = parameter
    layer = smooth_fields(field * std + mean, sigma)
    if kind == 0:
        return wet(images, layer, threshold, strength)
    mask = _mud(layer, threshold, strength).unsqueeze(1)
    return _painted(images.float().div_(255).mul_(1 - mask), mask, MUD)


def wet(images: Tensor, layer: Tensor, threshold: float, strength: float) -> Tensor:
    """Return uint8 ``images`` under drops, as visible as ``strength``, where ``layer`` reaches ``threshold``."""
    mask = _water(layer, threshold).mul_(strength).unsqueeze(1)
    return _painted(images.float().div_(255), mask, WATER)


def _painted(unit: Tensor, mask: Tensor, colour: tuple[float, ...]) -> Tensor:
    """Return as uint8 what ``unit`` becomes in place: itself plus ``colour`` times the (B, 1, H, W) ``mask``."""
    for channel, fraction in zip(unit.unbind(1), colour, strict=True):
        channel.add_(mask.squeeze(1) * fraction)
    return to_uint8(unit)


def _mud(layer: Tensor, threshold: float, sigma: float) -> Tensor:
    """Return (B, H, W) float32: 0 beside the mud, 0.8 … 1 on it."""
    mask = smooth((layer > threshold).to(layer.dtype), sigma).float()
    return mask.mul_(mask >= np.float32(0.8).item())


def _water(layer: Tensor, threshold: float) -> Tensor:
    """Return (B, H, W) float32 in [0, 1]: the drops' height times their distance from an edge.

    Differs from the reference: an image without a drop stays as it is, where the reference divides by zero.
    """
    drops = layer.mul(layer >= threshold).mul_(255).int().bitwise_and_(255).float()
    height = ripples(drops).mul_(drops)
    return height.div_(height.flatten(1).amax(1).clamp_(min=1).view(-1, 1, 1))


def ripples(drops: Tensor) -> Tensor:
    """Return (B, H, W) float32 grey levels: the capped distance from the edges of ``drops``, equalised and embossed.

    Args:
        drops: (B, H, W) float32 grey levels.
    """
    distance = box_sum(chamfer(edges(drops))).div_(9).floor_()
    padded = _reflect(equalize(distance))
    height, width = drops.shape[-2:]
    embossed = torch.zeros_like(drops)
    for row, weights in enumerate(EMBOSS):
        for column, weight in enumerate(weights):
            embossed.add_(padded[:, row : row + height, column : column + width], alpha=weight)
    return box_sum(embossed.clamp_(0, 255)).div_(9).round_()


def edges(grey: Tensor) -> Tensor:
    """Return (B, H, W) bool, Canny's edges: ridges of the gradient, followed from where it is strong.

    Canny: A Computational Approach to Edge Detection, PAMI 1986, in OpenCV's reading of it: Sobel of aperture 3 with
    the border continued, |dx| + |dy|, directions cut at 22.5° and 67.5°.

    Args:
        grey: (B, H, W) float32 grey levels.
    """
    padded = pad(grey.unsqueeze(1), (1,) * 4, mode="replicate").squeeze(1)
    sums = padded[:, :-2].add(padded[:, 2:]).add_(padded[:, 1:-1], alpha=2)
    slopes = padded[:, 2:] - padded[:, :-2]
    dx = sums[..., 2:] - sums[..., :-2]
    dy = slopes[..., :-2].add(slopes[..., 2:]).add_(slopes[..., 1:-1], alpha=2)
    size = dx.abs() + dy.abs()
    beaten = _beaten(dx, dy, size)
    return _follow(size > beaten.clamp(min=STRONG), size > beaten.clamp(min=WEAK))


def _beaten(dx: Tensor, dy: Tensor, size: Tensor) -> Tensor:
    """Return what the gradient's ``size`` must exceed to be the largest along the gradient's direction."""
    across, down = dx.abs(), dy.abs()
    around = pad(size, (1,) * 4)

    def beside(row: int, column: int) -> Tensor:
        return around[:, 1 + row : 1 + row + size.shape[1], 1 + column : 1 + column + size.shape[2]]

    # Sizes are whole numbers: as large as the next is larger than one less.
    flat = torch.maximum(beside(0, -1), beside(0, 1) - 1)
    upright = torch.maximum(beside(-1, 0), beside(1, 0) - 1)
    falling = torch.maximum(beside(-1, -1), beside(1, 1))
    rising = torch.maximum(beside(-1, 1), beside(1, -1))
    shallow = across * (TAN_22 / 2**15)
    # With a weight of 0 or 1 ``lerp`` chooses between whole numbers in a fifth of the time of ``where``.
    diagonal = falling.lerp_(rising, (dx * dy).clamp_(-1, 0).neg_())
    steep = diagonal.lerp_(upright, torch.gt(down.sub(across, alpha=2), shallow, out=torch.empty_like(size)))
    return steep.lerp_(flat, torch.lt(down, shallow, out=torch.empty_like(size)))


def _follow(seeds: Tensor, ridges: Tensor) -> Tensor:
    """Return the part of ``ridges`` that is connected with ``seeds``, diagonals included."""
    while True:
        wide = seeds.clone()
        wide[..., 1:] |= seeds[..., :-1]
        wide[..., :-1] |= seeds[..., 1:]
        grown = wide.clone()
        grown[:, 1:] |= wide[:, :-1]
        grown[:, :-1] |= wide[:, 1:]
        grown &= ridges
        if torch.equal(grown, seeds):
            return seeds
        seeds = grown


def chamfer(marked: Tensor) -> Tensor:
    """Return (B, H, W) float32: the 5x5 chamfer distance to the nearest marked pixel, at most ``FARTHEST``.

    Borgefors: Distance Transformations in Digital Images, CVGIP 1986. A shortest way takes one or two kinds of steps,
    each in one direction, in any order: so each kind is taken by itself, in powers of two.

    Args:
        marked: (B, H, W) bool.
    """
    distance = marked.logical_not().float().mul_(FARTHEST)
    for steps, length, multiples in CHAMFER:
        for times in multiples:
            farther = distance + times * length
            for down, right in steps:
                _lower(distance, farther, down * times, right * times)
                _lower(distance, farther, -down * times, -right * times)
    return distance


def _lower(distance: Tensor, farther: Tensor, down: int, right: int) -> None:
    """Lower ``distance`` in place to what ``farther`` is ``down`` rows above and ``right`` columns to the left."""
    height, width = distance.shape[-2:]
    if abs(down) >= height or abs(right) >= width:
        return
    target = distance[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    source = farther[:, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)]
    torch.minimum(target, source, out=target)


def equalize(levels: Tensor) -> Tensor:
    """Return (B, H, W) float32 grey levels 0 … 255 in the order of ``levels``, as evenly spread as can be.

    Args:
        levels: (B, H, W) float32, whole numbers 0 … ``FARTHEST``; an image of one level stays as it is.
    """
    batch, known = len(levels), FARTHEST + 1
    flat = levels.flatten(1).long()
    counts = flat.new_zeros(batch, known).scatter_add_(1, flat, torch.ones_like(flat))
    lowest = counts.gather(1, (counts > 0).int().argmax(1, keepdim=True))
    others = flat.shape[1] - lowest
    # A true division of float32, as OpenCV's: 255 / tensor would multiply by a rounded reciprocal.
    scale = torch.full_like(others, 255) / others.clamp(min=1)
    spread = (counts.cumsum(1) - lowest).clamp_(min=0).float().mul_(scale).round_()
    table = torch.where(others > 0, spread, torch.arange(known, device=levels.device))
    return table.gather(1, flat).view_as(levels)


def box_sum(values: Tensor) -> Tensor:
    """Return the sum over each pixel's 3x3 neighbourhood of (B, H, W) ``values``, reflected about the edge pixel."""
    padded = _reflect(values)
    rows = padded[:, :-2].add(padded[:, 2:]).add_(padded[:, 1:-1])
    return rows[..., :-2].add(rows[..., 2:]).add_(rows[..., 1:-1])


def _reflect(values: Tensor) -> Tensor:
    return pad(values.unsqueeze(1), (1,) * 4, mode="reflect").squeeze(1)
