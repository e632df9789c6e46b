"""The digital corruptions of ImageNet-C (Hendrycks & Dietterich 2019, section 3) and its extra one, saturate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.color import hsv_to_rgb, rgb_to_hsv
from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter

# Rounds halves up, whatever the last bit of a quotient by a few rows is.
HALF_UP = 0.5 + 2**-10


def contrast(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` drawn towards the mean of each channel: (x − mean)·c + mean.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the factor c in [0, 1].
    """
    (factor,) = parameter
    # The sum of integers is exact, so the mean depends on neither batch, threads nor device.
    mean = images.sum((2, 3), keepdim=True).double() / (255 * images[0, 0].numel())
    return to_uint8(to_unit(images).sub_(mean).mul_(factor).add_(mean))


def saturate(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` with the saturation S of HSV replaced by a·S + b, clipped to [0, 1].

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the factor a and the offset b; with b > 0 greys turn red, whose hue they share.
    """
    factor, offset = parameter
    hue, saturation, value = rgb_to_hsv(to_unit(images))
    return to_uint8(hsv_to_rgb(hue, saturation.mul_(factor).add_(offset).clamp_(0, 1), value))


def pixelate(images: Tensor, parameter: Parameter) -> Tensor:
    """Return square ``images`` shrunk and enlarged again, both with Pillow's box filter.

    A small pixel is the mean over the pixels it covers, along the rows, then along the columns, each rounded half up to
    a grey level as Pillow does; a pixel becomes the small one it is in.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: the small side as a share of S, cut to a whole number of pixels.
    """
    (share,) = parameter
    rows, shares, enlarge = _box_windows(images.shape[-1], share, images.device)
    # Along rows of memory, which are copied whole: so the columns' turn comes with the image on its side.
    narrow = _box_means(images.mT.contiguous(), rows, shares)
    small = _box_means(narrow.mT.contiguous(), rows, shares)
    wide = small.mT.contiguous().index_select(-2, enlarge).mT.contiguous()
    return wide.index_select(-2, enlarge)


def jpeg_compression(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` after a round trip through JPEG with 4:2:0 chroma, coded by Pillow on the CPU.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: Pillow's quality.
    """
    (quality,) = parameter
    coded = bytearray().join(band for image in images.cpu().numpy() for band in _jpeg(image, int(quality)))
    return torch.frombuffer(coded, dtype=torch.uint8).view(images.shape).to(images.device)


def _box_means(images: Tensor, rows: Sequence[Tensor], share: Tensor) -> Tensor:
    """Return the rounded means of the rows in each window of ``_box_windows``, uint8."""
    # Whole numbers and a row of zeros beneath: windows of fewer rows add it.
    padded = pad(images, (0, 0, 0, 1)).short()
    total = padded.index_select(-2, rows[0])
    for row in rows[1:]:
        total.add_(padded.index_select(-2, row))
    return total.float().mul_(share).add_(HALF_UP).int().to(torch.uint8)


@lru_cache(maxsize=32)
def _box_windows(side: int, share: float, device: torch.device) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Return which rows each small row is the mean of, its share of each (n, 1), and which small row each row is in.

    The first is the windows' first rows (n,), their second rows, and so on; ``side`` where a window has no more.
    """
    small = int(side * share)
    covered = _box(side, small) > 0
    first, size = covered.argmax(1), covered.sum(1)
    rows = (torch.from_numpy(np.where(k < size, first + k, side)).to(device) for k in range(size.max()))
    shares = torch.from_numpy((1 / size[:, None]).astype(np.float32)).to(device)
    return tuple(rows), shares, torch.from_numpy(_box(small, side).argmax(1)).to(device)


def _box(old: int, new: int) -> NDArray[np.float32]:
    """Return the (new, old) matrix of Pillow's box filter, which is what it makes of the identity."""
    identity = Image.fromarray(np.eye(old, dtype=np.float32))
    return np.asarray(identity.resize((new, old), Image.Resampling.BOX)).T


def _jpeg(image: NDArray[np.uint8], quality: int) -> list[bytes]:
    """Return red, green and blue of a (3, H, W) image after the round trip; Pillow interleaves faster than torch."""
    size = image.shape[:0:-1]
    file = BytesIO()
    bands = [Image.frombuffer("L", size, band, "raw", "L", 0, 1) for band in image]
    Image.merge("RGB", bands).save(file, "JPEG", quality=quality)
    # Straight to the decoder: twice as fast as Image.open, which looks for thumbnails, orientation and other frames.
    decoded = Image.frombytes("RGB", size, file.getvalue(), "jpeg", "RGB", "")
    return [band.tobytes() for band in decoded.split()]
