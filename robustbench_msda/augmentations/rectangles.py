"""One box an image, as tensors: methods that cut each image of a batch at its own place.

Boxes are (..., 4) int64: top, bottom, left, right, the ends excluded; a box without pixels has equal ends.
"""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor) -> Tensor:
    """Return (...) int64, the pixels in each of the (..., 4) ``boxes``."""
    top, bottom, left, right = boxes.unbind(-1)
    return (bottom - top) * (right - left)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return (..., height, width) bool, the pixels that lie in each of the (..., 4) ``boxes``."""
    rows, columns = (torch.arange(side, device=boxes.device) for side in (height, width))
    top, bottom, left, right = boxes[..., None].unbind(-2)
    in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return in_rows[..., :, None] & in_columns[..., None, :]


def visible_shares(boxes: Tensor) -> Tensor:
    """Return (K, B) float32, the share of the image that shows each of the (K, B, 4) nested ``boxes``; exact areas."""
    pixels = areas(boxes)
    return -torch.diff(pixels, dim=0, append=torch.zeros_like(pixels[:1])) / pixels[0]


def patchwork(images: Tensor, partners: Tensor, boxes: Tensor, shift: Tensor | int = 0) -> Tensor:
    """Return images with each box pasted from its partner, one over the other; what is pasted is always of ``images``.

    Args:
        images: (B, C, H, W), left untouched.
        partners: (K, B) the image each box shows.
        boxes: (K, B, 4) the first is the whole image.
        shift: (K, B) how many pixels behind its place, in reading order, the pixel is that a box shows; 0 is in place.
    """
    n, channels, height, width = images.shape
    place = torch.arange(height * width, device=images.device).reshape(height, width)
    source, *pasted = place + (partners * (height * width) + shift)[:, :, None, None]
    for mask, here in zip(inside(boxes[1:], height, width), pasted, strict=True):
        source = torch.where(mask, here, source)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
    return pixels.index_select(0, source.flatten()).reshape(n, height, width, channels).permute(0, 3, 1, 2)
