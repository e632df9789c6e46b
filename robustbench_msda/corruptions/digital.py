"""The digital corruptions of ImageNet-C (Hendrycks & Dietterich 2019, section 3) and its extra one, saturate."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from robustbench_msda.corruptions.color import hsv_to_rgb, rgb_to_hsv
from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter


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

    Both ways at once: a pixel becomes the mean over the pixels its small pixel covers, along the rows, then along the
    columns, each rounded half up to a grey level as Pillow does.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: the small side as a share of S, cut to a whole number of pixels.
    """
    (share,) = parameter
    windows = _box_windows(images.shape[-1], share).to(images.device)
    size = windows.sum(1)
    # Sums of whole numbers are exact in float32, in whatever order a matrix product takes them.
    rows = torch.floor((images.float() @ windows.T + size / 2) / size)
    return torch.floor((windows @ rows + size[:, None] / 2) / size[:, None]).to(torch.uint8)


def jpeg_compression(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` after a round trip through JPEG with 4:2:0 chroma, coded by Pillow on the CPU.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: Pillow's quality.
    """
    (quality,) = parameter
    pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    decoded = bytearray().join(_jpeg(image, int(quality)) for image in pixels)
    coded = torch.frombuffer(decoded, dtype=torch.uint8).view(pixels.shape)
    return coded.permute(0, 3, 1, 2).contiguous().to(images.device)


@lru_cache(maxsize=32)
def _box_windows(side: int, share: float) -> Tensor:
    """Return the (S, S) float32 of zeros and ones: row i marks the pixels that share pixel i's small pixel."""
    small = int(side * share)
    shrink, enlarge = _box(side, small) > 0, _box(small, side)
    return torch.from_numpy(shrink[enlarge.argmax(1)].astype(np.float32))


def _box(old: int, new: int) -> NDArray[np.float32]:
    """Return the (new, old) matrix of Pillow's box filter, which is what it makes of the identity."""
    identity = Image.fromarray(np.eye(old, dtype=np.float32))
    return np.asarray(identity.resize((new, old), Image.Resampling.BOX)).T


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    height, width, _ = image.shape
    # Straight to the decoder: twice as fast as Image.open, which looks for thumbnails, orientation and other frames.
    return Image.frombytes("RGB", (width, height), file.getvalue(), "jpeg", "RGB", "").tobytes()
