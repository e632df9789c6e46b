"""Mixing by a mask: one plane of weights for the first image, whatever drew it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.float32]


def mix_by_mask(images: Tensor, partner: Tensor, mask: Mask) -> tuple[Tensor, float]:
    """Return ``mask * images + (1 - mask) * images[partner]`` and the share of the first image, the mask's mean.

    Where the mask is 0 or 1 a pixel is the partner's or the image's, bit for bit.

    Args:
        images: (B, C, H, W), left untouched.
        partner: (B,) the index of the second image.
        mask: (H, W) the weight of the first image, in [0, 1].
    """
    # A plane broadcast over channels-last images costs four times as much as weights laid out like them.
    layout = torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    weights = torch.from_numpy(mask).to(images.device).expand(1, *images.shape[1:]).contiguous(memory_format=layout)
    return images[partner].lerp_(images, weights), float(mask.mean(dtype=np.float64))
