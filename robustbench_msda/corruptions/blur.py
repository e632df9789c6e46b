"""The blur corruptions of ImageNet-C (Hendrycks & Dietterich 2019, section 3) and its extra one, gaussian_blur."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.fourier import Blur, by_fourier, correlate, fast_size
from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter

# A tap below this share of the kernel is lost in float64's rounding.
NEGLIGIBLE = 1e-18
# From this side on, kernels are so large that a Fourier transform is faster than their taps.
LARGE = 128
# The same for two passes over a few fields: from this many taps on each side on.
WIDE = 10


def defocus_blur(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` correlated with a disk whose edge is smoothed, borders reflected about the edge pixel.

    Args:
        images: (B, 3, H, W) uint8, larger than the radius.
        parameter: the radius of the disk and the standard deviation that smooths its edge, in pixels.
    """
    if images.shape[-1] < LARGE:
        return _defocus_by_taps(images, parameter)
    return by_fourier(images, Blur(disk, _defocus_by_taps, "reflect"), parameter)


def gaussian_blur(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` blurred by a Gaussian cut at four standard deviations, borders continued by the edge pixel.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the standard deviation in pixels.
    """
    if images.shape[-1] < LARGE:
        return gaussian_by_taps(images, parameter)
    return by_fourier(images, Blur(_gaussian, gaussian_by_taps, "replicate"), parameter)


def _defocus_by_taps(images: Tensor, parameter: Parameter) -> Tensor:
    kernel = disk(*parameter)
    reach = len(kernel) // 2
    height, width = images.shape[-2:]
    padded = pad(to_unit(images), (reach,) * 4, mode="reflect")
    blurred = torch.zeros(images.shape, dtype=padded.dtype, device=images.device)
    for row, column in np.argwhere(kernel > NEGLIGIBLE):
        window = padded[..., row : row + height, column : column + width]
        blurred.add_(window, alpha=float(kernel[row, column]))
    return to_uint8(blurred)


def gaussian_by_taps(images: Tensor, parameter: Parameter) -> Tensor:
    """Return what ``gaussian_blur`` does, exactly as the reference rounds it, at any size."""
    return to_uint8(smooth(to_unit(images), *parameter))


def _gaussian(sigma: float) -> NDArray[np.float64]:
    side = gaussian_taps(sigma, 4.0)
    taps = np.concatenate((side[:0:-1], side))
    return np.outer(taps, taps)


def smooth(values: Tensor, sigma: float, truncate: float = 4.0) -> Tensor:
    """Return (…, H, W) ``values`` blurred by a Gaussian cut at ``truncate``·``sigma``, the edge pixels continued."""
    weights = gaussian_taps(sigma, truncate)
    padded = pad(values.view(-1, 1, *values.shape[-2:]), (len(weights) - 1,) * 4, mode="replicate")
    return _correlate(_correlate(padded, weights, -2), weights, -1).view(values.shape)


def smooth_fields(fields: Tensor, sigma: float) -> Tensor:
    """Return (B, S, S) ``fields`` as ``smooth`` blurs them but for rounding; a wide blur of large ones much faster."""
    reach, side = len(gaussian_taps(sigma, 4.0)) - 1, fields.shape[-1]
    if side < LARGE or reach < WIDE:
        return smooth(fields, sigma)
    spectrum = _spectrum(sigma, fast_size(side + 2 * reach), fields.dtype, fields.device)
    return correlate(fields.unsqueeze(1), spectrum, reach, "replicate").squeeze(1)


@lru_cache(maxsize=8)
def _spectrum(sigma: float, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    spectrum: Tensor = torch.fft.rfft2(torch.from_numpy(_gaussian(sigma)), s=(size, size))
    return spectrum.to(dtype.to_complex()).to(device)


def gaussian_taps(sigma: float, truncate: float) -> NDArray[np.float64]:
    """Return the centre and one side of a Gaussian cut at ``truncate``·``sigma`` and normalised, centre first."""
    reach = int(truncate * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    return np.asarray(weights / weights.sum())[reach:]


@lru_cache(maxsize=32)
def disk(radius: float, alias: float) -> NDArray[np.float64]:
    """Return the kernel of ``defocus_blur``: a disk of ones over its sum, blurred by a small Gaussian.

    The Gaussian has 3 taps a side, 5 for radii above 8, and reflects at the border of the disk's grid. A disk of
    radius 8 or more touches that border, so its kernel sums to up to 1.013 and brightens the image; the reference does
    not normalise it, and neither do we.
    """
    reach = 8 if radius <= 8 else int(radius)
    taps = 3 if radius <= 8 else 5
    offsets = np.arange(-reach, reach + 1)
    inside = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float32)
    edge = np.arange(taps) - taps // 2
    weights = np.exp(-0.5 * edge**2 / alias**2)
    weights = (weights / weights.sum()).astype(np.float32)
    blurred = np.pad(inside / inside.sum(), taps // 2, mode="reflect")
    for _ in range(2):
        size = len(offsets)
        blurred = sum(weight * blurred[:, i : i + size] for i, weight in enumerate(weights)).T
    return _trim(blurred.astype(np.float64))


def _trim(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the square middle of ``kernel`` that holds every tap that counts."""
    taken = np.argwhere(kernel > NEGLIGIBLE)
    centre = len(kernel) // 2
    reach = int(abs(taken - centre).max())
    return kernel[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1]


def _correlate(padded: Tensor, weights: NDArray[np.float64], dim: int) -> Tensor:
    """Return the correlation of ``padded`` along ``dim`` with symmetric ``weights``, summed in SciPy's order."""
    reach = len(weights) - 1
    size = padded.shape[dim] - 2 * reach
    total = padded.narrow(dim, reach, size) * float(weights[0])
    for offset in range(reach, 0, -1):
        pair = padded.narrow(dim, reach - offset, size) + padded.narrow(dim, reach + offset, size)
        total.add_(pair.mul_(float(weights[offset])))
    return total
