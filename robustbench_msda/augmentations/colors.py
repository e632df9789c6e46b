"""The colours of ImageNet training, batched: brightness, contrast and saturation, then PCA noise.

The three commute as long as nothing is cut in between (contrast pulls to the image's mean luma, which saturation keeps,
and brightness scales both), so the random order in which the papers' code applies them decides nothing, and one pass
does all. Differs from the released code of CutMix (clovaai/CutMix-PyTorch 5ee7b8d, utils.py), whose numbers these are:
the result is cut to [0, 1] at the end. torchvision's ColorJitter cuts after each of the three.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Luma of ITU-R BT.601; the principal components of ImageNet's colours: facebook/fb.resnet.torch, datasets/imagenet.lua.
LUMA = (0.299, 0.587, 0.114)
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class ColorDraws(NamedTuple):
    """One row an image.

    Attributes:
        factors: (B, 3) of brightness, contrast and saturation; 1 changes nothing.
        lighting: (B, 3) along the principal components, before their eigenvalues.
    """

    factors: Tensor
    lighting: Tensor


def draw_colors(n: int, jitter: float, lighting: float, rng: np.random.Generator) -> ColorDraws:
    """Return the draws of ``n`` images: factors uniform in 1 ± ``jitter``, noise normal with deviation ``lighting``."""
    factors, noise = rng.uniform(1 - jitter, 1 + jitter, size=(n, 3)), rng.normal(0.0, lighting, size=(n, 3))
    return ColorDraws(torch.from_numpy(factors).float(), torch.from_numpy(noise).float())


def shift_colors(images: Tensor, draws: ColorDraws) -> Tensor:
    """Return ``images`` (B, 3, H, W) in [0, 1] with the colours of ``draws``, in [0, 1]."""
    luma, values, vectors = (torch.tensor(each, device=images.device) for each in (LUMA, EIGENVALUES, EIGENVECTORS))
    brightness, contrast, saturation = draws.factors.to(images.device)[:, :, None, None, None].unbind(1)
    lighting = (draws.lighting.to(images.device) * values) @ vectors.T
    grey = torch.einsum("bchw,c->bhw", images, luma)[:, None]
    level = (1 - contrast) * brightness * grey.mean((1, 2, 3), keepdim=True)
    scale = brightness * contrast
    shifted = scale * saturation * images + (scale * (1 - saturation) * grey + level) + lighting[:, :, None, None]
    return shifted.clamp_(0, 1)
