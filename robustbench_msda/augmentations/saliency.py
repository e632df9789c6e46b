"""Fine-grained saliency: how much a pixel differs from its surround.

Montabone, Soto: Human detection using a mobile platform and novel features derived from a visual saliency mechanism,
Image and Vision Computing 28(3), 2010. The arithmetic is that of OpenCV's ``StaticSaliencyFineGrained`` (opencv_contrib
73c03fd, OpenCV 5.0), in its 8 bits, so that the most salient pixel is the same one.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor
from torch.nn import functional

HALF_SIDES = (12, 24, 48, 28, 56, 112)
LUMA = (9798.0, 19235.0, 3735.0)  # Red, green and blue of ITU-R BT.601 in 2^-15, as OpenCV's 8-bit grey.


def grey(images: Tensor) -> Tensor:
    """Return (B, H, W) float32 of whole numbers 0 to 255: the 8-bit luma of three channels, else their mean."""
    levels = (images * 255).round_()
    if images.shape[1] != len(LUMA):
        return levels.mean(1).round_()
    # The products and their sums are whole numbers below 2^24: exact. A matrix product is not, under autocast.
    luma = LUMA[0] * levels[:, 0] + LUMA[1] * levels[:, 1] + LUMA[2] * levels[:, 2]
    return luma.add_(2**14).div_(2**15).floor_()


def smooth(levels: Tensor) -> Tensor:
    """Return (B, H, W) blurred with the binomial 3x3 kernel, mirrored at the border, rounded half up."""
    padded = functional.pad(levels[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    sums = rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    return ((sums + 8) / 16).floor_()


def surround(levels: Tensor, integral: Tensor, half: int) -> Tensor:
    """Return (H, W, B) the mean around each pixel without the pixel: 2 * half a side, cut off at the border.

    Args:
        levels: (H, W, B) whole numbers; images are the last axis, so that a window's corners are rows of memory.
        integral: (H + 1, W + 1, B) the sums of ``levels`` above and left of each corner.
        half: the window reaches from ``half - 1`` pixels before to ``half`` pixels behind.
    """
    (top, bottom), (left, right) = (
        ((at - half + 1).clamp(min=0), (at + half + 1).clamp(max=len(at)))
        for at in (torch.arange(side, device=levels.device) for side in levels.shape[:2])
    )
    rows = integral.index_select(0, bottom).sub_(integral.index_select(0, top))
    sums = rows.index_select(1, right).sub_(rows.index_select(1, left))
    count = (bottom - top)[:, None] * (right - left) - 1
    return (sums - levels) / count[:, :, None]


def scaled(values: Tensor) -> Tensor:
    """Return (H, W, B) whole numbers 0 to 255: the values over the largest of each image; all 0 where that is 0."""
    peak = values.amax((0, 1)).clamp(min=1)
    return ((values / peak).double() * 255).int()


def saliency(images: Tensor) -> Tensor:
    """Return (B, H, W) float32 in [0, 1], the fine-grained saliency of each image; flat images have none.

    Differs from OpenCV where a sum passes its 8 bits: here it stays at the largest value, there it wraps to 0.

    Args:
        images: (B, C, H, W) in [0, 1], not normalised; each side 2 or more. Three channels are red, green and blue.
    """
    levels = smooth(smooth(grey(images))).permute(1, 2, 0).contiguous()
    integral = (
        functional.pad(levels.int(), (0, 0, 1, 0, 1, 0)).cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
    )
    brighter, darker = torch.zeros_like(levels, dtype=torch.int32), torch.zeros_like(levels, dtype=torch.int32)
    # All windows that reach over the whole image are one window.
    for half, times in Counter(min(half, max(levels.shape[:2])) for half in HALF_SIDES).items():
        contrast = (levels - surround(levels, integral, half)).int()
        brighter.add_(contrast.clamp(min=0), alpha=times)
        darker.sub_(contrast.clamp_(max=0), alpha=times)
    both = scaled(brighter).add_(scaled(darker)).clamp_(max=255)
    return both.permute(2, 0, 1) / 255


def peaks(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the column, each (B,) int64, of the most salient pixel; the first in reading order of many."""
    width = images.shape[-1]
    flat = saliency(images).flatten(1).argmax(1)
    return flat // width, flat % width
