"""The random resized crop of ImageNet training, for images in memory, batched: draw first, then apply."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from robustbench_msda.data.resized import ATTEMPTS, UNIFORMS, crop_box


class ResizedDraws(NamedTuple):
    """One row an image: ten attempts of four uniforms each, as of ``crop_box``, and whether it is mirrored."""

    attempts: Tensor
    mirrored: Tensor


def draw_resized_crops(n: int, flip: float, rng: np.random.Generator) -> ResizedDraws:
    """Return the draws of ``n`` images: (n, 10, 4) float64 in [0, 1), and mirrored with probability ``flip``."""
    attempts = torch.from_numpy(rng.random((n, ATTEMPTS, UNIFORMS)))
    return ResizedDraws(attempts, torch.from_numpy(rng.random(n) < flip))


def resized_crop(
    images: Tensor, index: Tensor, draws: ResizedDraws, scale: tuple[float, float], side: tuple[int, int]
) -> Tensor:
    """Return crops of ``images``, resized bilinearly: (B, C, H, W) float32 in [0, 1], channels last in memory.

    A crop is never larger than the images, nor the images than the result, so nothing shrinks and antialiasing would
    change nothing: the levels are those of torchvision's ``resized_crop`` before it rounds them.

    Args:
        images: (N, H, W, C) uint8, the whole data set.
        index: (B,) which images.
        draws: of those images.
        scale: the smallest and largest share of an image's area that is cut out.
        side: height and width of the result, no smaller than those of ``images``.
    """
    size = (images.shape[1], images.shape[2])
    if side[0] < size[0] or side[1] < size[1]:
        raise ValueError(f"expected images no larger than the crops of {side}, got {size}: antialiasing is not done")
    boxes = torch.tensor([crop_box(size, attempts, scale) for attempts in draws.attempts.tolist()])
    top, left, height, width = boxes.to(images.device, torch.float32).unbind(1)
    rows = _places(top, height, side[0], size[0])
    columns = _places(left, width, side[1], size[1])
    columns = torch.where(draws.mirrored.to(images.device)[:, None], columns.flip(1), columns)
    shape = (len(index), *side)
    grid = torch.stack((columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)), 3)
    taken = images[index.to(images.device)].permute(0, 3, 1, 2).float().div_(255)
    cut = functional.grid_sample(taken, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cut.contiguous(memory_format=torch.channels_last)


def _places(first: Tensor, length: Tensor, count: int, size: int) -> Tensor:
    """Return where the ``count`` pixels of a result look along an image, (B, count) in the units of ``grid_sample``.

    Args:
        first: (B,) the first pixel of the box.
        length: (B,) its pixels; none beyond it is looked at, as if it had been cut out first.
        count: pixels of the result.
        size: pixels of the image.
    """
    steps = torch.arange(count, device=first.device, dtype=torch.float32) + 0.5
    inside = (steps * (length[:, None] / count) - 0.5).clamp_(min=0).minimum(length[:, None] - 1)
    return (first[:, None] + inside + 0.5) * (2 / size) - 1
