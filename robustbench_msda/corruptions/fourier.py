"""Blurs of large images by way of the Fourier transform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.pixels import truncated
from robustbench_msda.corruptions.severities import Parameter

# How far, in grey levels, flat areas are moved off the whole level: more than float32 and the transform can err.
NUDGE = 2**-13


@dataclass(frozen=True)
class Blur:
    """A blur in two ways.

    Attributes:
        kernel: the parameter's numbers to a square kernel of odd side.
        exact: (B, C, H, W) uint8 images and the parameter to the blurred images, tap by tap in float64.
        border: how ``torch.nn.functional.pad`` continues an image.
    """

    kernel: Callable[..., NDArray[np.float64]]
    exact: Callable[[Tensor, Parameter], Tensor]
    border: str


def by_fourier(images: Tensor, blur: Blur, parameter: Parameter) -> Tensor:
    """Return ``images`` blurred in float32, within a level of ``blur.exact``.

    Of photographs one value in a thousand differs; where large areas are almost of one colour, up to four in a hundred.

    Truncation makes flat areas hang on the last bit of float64: the sum of a kernel is a rounding error above or below
    one. So every grey level is moved off its whole number to the side on which ``exact`` sees it.

    Args:
        images: (B, 3, S, S) uint8.
        blur: what to do.
        parameter: its strength.
    """
    side, reach = images.shape[-1], len(blur.kernel(*parameter)) // 2
    spectrum, levels = _prepared(blur, parameter, fast_size(side + 2 * reach), images.device)
    nudged = levels.index_select(0, images.reshape(-1).int()).view(images.shape)
    return truncated(correlate(nudged, spectrum, reach, blur.border))


def correlate(values: Tensor, spectrum: Tensor, reach: int, border: str) -> Tensor:
    """Return (B, C, S, S) ``values`` correlated with a symmetric kernel.

    Args:
        values: float.
        spectrum: (N, N // 2 + 1), the kernel's ``torch.fft.rfft2``; N is S + 2·``reach`` or more.
        reach: how many taps the kernel has on each side of its middle.
        border: how ``torch.nn.functional.pad`` continues ``values``.
    """
    side, size = values.shape[-1], len(spectrum)
    # What is beyond the reach on the far sides is never looked at.
    padded = pad(values, (reach, size - side - reach) * 2, mode=border)
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded).mul_(spectrum), s=(size, size))
    return blurred[..., 2 * reach : 2 * reach + side, 2 * reach : 2 * reach + side]


def fast_size(size: int) -> int:
    """Return the next larger size whose transform is fast: a power of two times 8, 9, 10, 12 or 15."""
    return min(base << max(0, ((size - 1) // base).bit_length()) for base in (8, 9, 10, 12, 15))


@lru_cache(maxsize=32)
def _prepared(blur: Blur, parameter: Parameter, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the kernel's spectrum, and for every grey level the number that it counts as."""
    kernel = blur.kernel(*parameter)
    greys = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    flat = blur.exact(greys.expand(-1, -1, len(kernel), len(kernel)), parameter)[:, 0, 0, 0].double()
    exactly = greys.view(-1) * kernel.sum()
    seen = torch.where(flat + 1 <= exactly + NUDGE, flat + 1 - NUDGE, flat + NUDGE)
    near = (exactly - exactly.round()).abs() < NUDGE
    levels = torch.where(near, seen / kernel.sum(), greys.view(-1).double())
    spectrum = torch.fft.rfft2(torch.from_numpy(kernel), s=(size, size))
    return spectrum.to(torch.complex64).to(device), levels.float().to(device)
