"""The weather corruptions of ImageNet-C (Hendrycks & Dietterich 2019, section 3)."""

from __future__ import annotations

from torch import Tensor

from robustbench_msda.corruptions.color import hsv_to_rgb, rgb_to_hsv
from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter


def brightness(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` with a constant added to the value channel of HSV.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: what is added, as a fraction of full brightness.
    """
    (offset,) = parameter
    hue, saturation, value = rgb_to_hsv(to_unit(images))
    return to_uint8(hsv_to_rgb(hue, saturation, value.add_(offset).clamp_(0, 1)))
