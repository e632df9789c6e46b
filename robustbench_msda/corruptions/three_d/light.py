"""What depth and shading do to light: fog_3d and flash (Kar et al. 2022, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.three_d.maps import check_maps


def fog_3d(images: Tensor, depth: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` seen through fog: t·x + (1 − t)·a with the transmission t = exp(−α·depth).

    Differs from the reference: the colour a of the fog is the mean of the image, not of the batch it came in; the two
    are equal for batches of one.

    Args:
        images: (B, 3, H, W) uint8.
        depth: (B, H, W) float, 0 or more; the reference gives ImageNet depths of up to 0.5, one over MiDaS's output.
        parameter: the density α.

    Raises:
        ValueError: the depth does not fit the images or is negative.
    """
    (density,) = parameter
    check_maps(images, depth, 0.0, "depth")
    clear = to_unit(images)
    # The sum of integers is exact, so the colour depends on neither batch, threads nor device.
    colour = images.sum((1, 2, 3), keepdim=True).double() / (255 * images[:1].numel())
    transmission = torch.exp(-density * depth.double()).unsqueeze(1)
    return to_uint8(clear * transmission + colour * (1 - transmission))


def flash(images: Tensor, reshading: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` lit from the camera: x + x·r/k, at most full brightness.

    Args:
        images: (B, 3, H, W) uint8.
        reshading: (B, H, W) float r in [0, 1]: how brightly a lamp beside the camera lights each point.
        parameter: the divisor k; a small one is a bright flash.

    Raises:
        ValueError: the shading does not fit the images or is negative.
    """
    (divisor,) = parameter
    check_maps(images, reshading, 0.0, "reshading")
    clear = to_unit(images)
    return to_uint8(clear + clear * reshading.double().unsqueeze(1) / divisor)
