"""The check that a map of depth or shading belongs to its images."""

from __future__ import annotations

import torch
from torch import Tensor


def check_maps(images: Tensor, maps: Tensor, least: float, what: str) -> None:
    """Raise ``ValueError`` unless ``maps`` holds one number, ``least`` or more, for every pixel of ``images``.

    Args:
        images: (B, 3, H, W).
        maps: expected to be (B, H, W), floating point, without NaN.
        least: the smallest number allowed.
        what: what the maps are, for the message.
    """
    height, width = images.shape[-2:]
    if maps.shape != (len(images), height, width) or not maps.is_floating_point():
        raise ValueError(
            f"expected {what} as ({len(images)}, {height}, {width}) floats, got {tuple(maps.shape)} {maps.dtype}: "
            "one number a pixel of the images"
        )
    if not bool(torch.all(maps >= least)):
        raise ValueError(f"expected {what} of {least:g} and more, got {float(maps.min()):g}: mend the map first")
