"""What a sensor does to light: color_quant, iso_noise and low_light (Kar et al. 2022, section 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions.noise import normals, poisson_counts
from robustbench_msda.corruptions.pixels import to_uint8
from robustbench_msda.corruptions.severities import Parameter

# The reference's constants: photons of full brightness, and the electronic noise in the dark.
ISO_PHOTONS = 25
DARK_PHOTONS = 120
DARK_STD = 0.018
# Has a logarithm, and no photon that a multiple of 2⁻²⁴ could tell from none.
SMALLEST_MEAN = 1e-30


def color_quant(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` with the upper bits of each channel kept and the others zero.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: how many bits are kept, 1 … 8.
    """
    (bits,) = parameter
    return images & (0x100 - (1 << 8 - int(bits)))


def iso_noise(images: Tensor, parameter: Parameter, photons: Tensor, electrons: Tensor) -> Tensor:
    """Return ``images`` as a sensor of high gain gives them: Poisson(25·x) / 25, at most 1, plus Gaussian noise.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the standard deviation, as a fraction of full brightness.
        photons: (B, 3, H, W) float32 in [0, 1), turned into counts by the inverse distribution function.
        electrons: the same for the Gaussian.
    """
    (std,) = parameter
    return _developed(poisson_counts(images, ISO_PHOTONS, photons), ISO_PHOTONS, std, electrons)


def low_light(images: Tensor, parameter: Parameter, photons: Tensor, electrons: Tensor) -> Tensor:
    """Return ``images`` taken in the dark: stretched to [0, c] with gamma 2, then Poisson and Gaussian noise.

    x ↦ c·((x − min) / (max − min))² over all three channels of an image, then Poisson(120·x) / 120 and a standard
    deviation of 0.018. Differs from the reference: an image of one grey level, where it divides by zero, is black.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: c, what becomes of the brightest value, in (0, 1].
        photons: (B, 3, H, W) float32 in [0, 1), turned into counts by the inverse distribution function.
        electrons: the same for the Gaussian.
    """
    (top,) = parameter
    # One by one: each image has its own table, which the processor's cache holds.
    counts = [_dark_counts(image, top, own) for image, own in zip(images, photons, strict=True)]
    return _developed(torch.stack(counts), DARK_PHOTONS, DARK_STD, electrons) if counts else images


def draw_two_fields(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return one image's two (3, side, side) fields from the 2²⁴ multiples of 2⁻²⁴ in [0, 1): photons, electrons."""
    photons, electrons = rng.random((2, 3, side, side), dtype=np.float32)
    return photons, electrons


def _developed(counts: Tensor, photons: int, std: float, electrons: Tensor) -> Tensor:
    light = counts.to(torch.float32).div_(photons)
    return to_uint8(light.add_(normals(electrons), alpha=std))


def _dark_counts(image: Tensor, top: float, uniforms: Tensor) -> Tensor:
    """Return the counts of one (3, H, W) image, at most ``DARK_PHOTONS``: as ``poisson_counts``, of other means."""
    first, last = (int(value) for value in image.aminmax())
    greys = torch.arange(first, last + 1, dtype=torch.float64, device=image.device)
    means = ((greys - first) / max(last - first, 1)).square_().mul_(top * DARK_PHOTONS)
    thresholds = torch.arange(len(means), device=image.device).unsqueeze(1) + poisson_distribution(means)
    rows = image.reshape(-1).long() - first
    found = torch.searchsorted(thresholds.flatten(), uniforms.reshape(-1).double() + rows, right=True)
    return (found - rows * DARK_PHOTONS).view(image.shape)


def poisson_distribution(means: Tensor) -> Tensor:
    """Return the chance of k and fewer, k = 0 … ``DARK_PHOTONS`` − 1, a row for each of the float64 ``means``."""
    counts = torch.arange(DARK_PHOTONS, dtype=means.dtype, device=means.device)
    column = means.clamp(min=SMALLEST_MEAN).unsqueeze(1)
    mass = (column.log() * counts).sub_(column + torch.lgamma(counts + 1)).exp_()
    return mass.cumsum(1).clamp_(max=1)
