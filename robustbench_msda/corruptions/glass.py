"""Glass blur (Hendrycks & Dietterich 2019, section 3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions.blur import gaussian_by_taps
from robustbench_msda.corruptions.severities import Parameter


def glass_blur(images: Tensor, parameter: Parameter, offsets: Tensor) -> Tensor:
    """Return ``images`` blurred, with pixels replaced by near ones, and blurred again.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: the standard deviation of the blurs, the reach d of a replacement and the number of rounds.
        offsets: (B, rounds, 2, S − 2d, S − 2d) int8 in [−d, d): how many rows and columns away the replacement of each
            pixel is, from row and column d + 1 on.
    """
    sigma, reach, _ = parameter
    # Tap by tap at any size: what is blurred first is moved and blurred again, and no level of it may be off.
    soft = gaussian_by_taps(images, (sigma,))
    origins = _origins(offsets[:, 0], images.shape[-1], int(reach))
    for later in offsets.unbind(1)[1:]:
        origins = origins.index_select(0, _origins(later, images.shape[-1], int(reach)))
    return gaussian_by_taps(_moved(soft, origins), (sigma,))


def draw_offsets(rng: np.random.Generator, side: int, parameter: Parameter) -> tuple[NDArray[np.int8]]:
    """Return one image's (rounds, 2, side − 2d, side − 2d) whole numbers, uniform in [−d, d)."""
    _, reach, rounds = (int(value) for value in parameter)
    size = side - 2 * reach
    return (rng.integers(-reach, reach, (rounds, 2, size, size), dtype=np.int8),)


def _moved(images: Tensor, origins: Tensor) -> Tensor:
    """Return ``images`` with each pixel taken from its origin, numbered through the batch."""
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).index_select(0, origins)
    batch, channels, height, width = images.shape
    return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2).contiguous()


def _origins(offsets: Tensor, side: int, reach: int) -> Tensor:
    """Return the (B·S·S,) numbers of the pixels whose values one round of replacements leaves in each.

    The reference goes through the pixels from the last to the first and copies: what lies behind has been replaced
    already, what lies ahead has not. So a pixel's origin is the offset's target, or that target's origin where it lies
    behind; such chains are halved until none is left. (The reference means to swap; both sides of its assignment are
    views of one array, and a copy it is.)
    """
    batch = len(offsets)
    numbers = torch.arange(batch * side * side, device=offsets.device).view(batch, side, side)
    rows, columns = offsets.long().unbind(1)
    steps = rows * side + columns
    inner = slice(reach + 1, side - reach + 1)
    targets = numbers[:, inner, inner] + steps
    # A negative number, the complement of a pixel's, stands for the origin of that pixel.
    numbers[:, inner, inner] = torch.where(steps > 0, ~targets, targets)
    origins = numbers.view(-1)
    open_ = (origins < 0).nonzero().squeeze(1)
    while len(open_):
        found = origins.index_select(0, ~origins.index_select(0, open_))
        origins.index_copy_(0, open_, found)
        open_ = open_[found < 0]
    return origins
