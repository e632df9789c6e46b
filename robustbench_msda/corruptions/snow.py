"""Snow (Hendrycks & Dietterich 2019, section 3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions.motion import smear
from robustbench_msda.corruptions.noise import normals
from robustbench_msda.corruptions.pixels import to_uint8
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.zoom import clipped_zoom

# The shares of red, green and blue in a grey (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def snow(images: Tensor, parameter: Parameter, uniforms: Tensor, angles: Tensor) -> Tensor:
    """Return ``images`` whitened, with smeared flakes and the same flakes turned by 180 degrees on top.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: mean and standard deviation of the field, its zoom, the threshold under which nothing falls, radius
            and standard deviation of the smear, and the share of the image that is not whitened.
        uniforms: (B, S, S) float32 in [0, 1), turned into the field by the inverse distribution function.
        angles: (B,) degrees.
    """
    return add_flakes(whitened(images, parameter[-1]), flakes(normals(uniforms), parameter, angles))


def draw_snow(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return one image's (side, side) uniforms in [0, 1) and its angle in degrees, uniform in [−135, −45)."""
    return rng.random((side, side), dtype=np.float32), np.array(rng.uniform(-135, -45))


def flakes(field: Tensor, parameter: Parameter, angles: Tensor) -> Tensor:
    """Return the (B, 1, S, S) uint8 flakes made of a ``field`` (B, S, S) of N(0, 1)."""
    mean, std, zoom, threshold, radius, sigma, _ = parameter
    layer = clipped_zoom(field.mul(std).add_(mean), zoom)
    # Times 0 or 1: a quarter of the time of ``where``.
    layer.mul_(torch.ge(layer, threshold, out=torch.empty_like(layer)))
    return smear(to_uint8(layer).unsqueeze(1), radius, sigma, angles.tolist())


def whitened(images: Tensor, share: float) -> Tensor:
    """Return ``share`` of ``images`` plus the rest of the larger of image and 1.5·grey + 0.5, as float32."""
    unit = images.float().div_(255)
    red, green, blue = (channel * weight for channel, weight in zip(unit.unbind(1), LUMA, strict=True))
    bright = (red + green + blue).mul_(1.5).add_(0.5).unsqueeze(1)
    return unit.mul(share).add_(torch.maximum(unit, bright).mul_(1 - share))


def add_flakes(unit: Tensor, layer: Tensor) -> Tensor:
    """Return the uint8 sum of images in [0, 1] or a little above, ``layer`` and ``layer`` turned by 180 degrees."""
    light = layer.squeeze(1).double().div_(255)
    light = light + light.flip(-2, -1)
    # A channel at a time: float64 of whole images is memory that a large image fetches anew at each call.
    return torch.stack([to_uint8(channel.double().add_(light)) for channel in unit.unbind(1)], 1)
