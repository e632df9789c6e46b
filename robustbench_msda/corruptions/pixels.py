"""From uint8 to the unit interval and back, as the reference does it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_unit(images: Tensor) -> Tensor:
    """Return uint8 ``images`` as float64 in [0, 1].

    Float64 because the way back truncates: a value that is a whole grey level but for its rounding error falls to the
    level the reference gives only if the error is the reference's too.
    """
    return images.double().div_(255)


def to_uint8(values: Tensor) -> Tensor:
    """Return ``values`` clipped to [0, 1], times 255, as uint8; truncated, not rounded, like the reference's cast."""
    return values.clamp(0, 1).mul_(255).int().to(torch.uint8)


def truncated(levels: Tensor) -> Tensor:
    """Return grey ``levels`` clipped to [0, 255] as uint8, truncated."""
    # By way of int32, to which a vector unit casts; straight to uint8 takes twice as long.
    return levels.clamp(0, 255).int().to(torch.uint8)
