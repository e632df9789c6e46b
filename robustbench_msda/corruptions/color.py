"""RGB and HSV for batches, with the values of scikit-image to the last bit in float64."""

from __future__ import annotations

import torch
from torch import Tensor

# Below the smallest step of an 8-bit image: keeps 0/0 out of greys and black without changing any other quotient.
TINY = 1e-9


def rgb_to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue in [0, 1), saturation and value in [0, 1], each (B, H, W), of (B, 3, H, W) ``images`` in [0, 1].

    Hue is 0 for greys; where channels tie for the maximum, blue goes before green and green before red.
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    delta = value - images.amin(1)
    divisor = delta.clamp(min=TINY)
    hue = torch.where(green == value, (blue - red) / divisor + 2, (green - blue) / divisor)
    hue = torch.where(blue == value, (red - green) / divisor + 4, hue).div_(6)
    hue.sub_(hue.floor()).mul_(delta.sign())
    return hue, delta.div_(value.clamp(min=TINY)), value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return the (B, 3, H, W) images of ``hue`` in [0, 1), ``saturation`` and ``value`` in [0, 1], each (B, H, W).

    Equals the table of six sextants: around the hue circle each channel's share of the saturation is 0, 1 or a ramp.
    """
    sextant = hue * 6
    red = torch.minimum(sextant - 1, 5 - sextant)
    green = torch.maximum(1 - sextant, sextant - 3)
    blue = torch.maximum(3 - sextant, sextant - 5)
    share = torch.stack((red, green, blue), 1).clamp_(0, 1)
    return share.mul_(saturation.unsqueeze(1)).neg_().add_(1).mul_(value.unsqueeze(1))
