"""The noise corruptions of ImageNet-C (Hendrycks & Dietterich 2019, section 3)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from robustbench_msda.corruptions.pixels import to_uint8
from robustbench_msda.corruptions.severities import Parameter

# How finely the unit interval is cut to look a Poisson count up; a power of two, so that cutting is exact.
BUCKETS = 4096
UNRESOLVED = -1


def gaussian_noise(images: Tensor, parameter: Parameter, uniforms: Tensor) -> Tensor:
    """Return ``images`` plus Gaussian noise.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the standard deviation, as a fraction of full brightness.
        uniforms: (B, 3, H, W) float32 in [0, 1), turned into noise by the inverse distribution function.
    """
    (std,) = parameter
    return add_noise(images, std * normals(uniforms))


def shot_noise(images: Tensor, parameter: Parameter, uniforms: Tensor) -> Tensor:
    """Return ``images`` as a sensor would count their photons: Poisson(x·c) / c.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: c, the mean count of a fully bright pixel, a whole number.
        uniforms: (B, 3, H, W) float in [0, 1), turned into counts by the inverse distribution function.
    """
    (photons,) = parameter
    return from_counts(poisson_counts(images, int(photons), uniforms), photons)


def impulse_noise(images: Tensor, parameter: Parameter, uniforms: Tensor) -> Tensor:
    """Return ``images`` with a share of their values, each channel by itself, made black or white with equal chance.

    Differs from the reference: one field of uniforms decides both what is replaced and by what.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the share of values that are replaced.
        uniforms: (B, 3, H, W) float in [0, 1): below half the share makes white, from there to the share black.
    """
    (share,) = parameter
    white = (uniforms < share / 2).to(torch.uint8)
    return images.mul(uniforms >= share).add_(white, alpha=255)


def draw_uniforms(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.float32]]:
    """Return one image's (3, side, side) draws from the 2²⁴ multiples of 2⁻²⁴ in [0, 1)."""
    return (rng.random((3, side, side), dtype=np.float32),)


def normals(uniforms: Tensor) -> Tensor:
    """Return N(0, 1) at the middles of the slices of width 2⁻²⁴ that float32 ``uniforms`` begin: within ±5.42.

    A third of the time of NumPy's normal draws, and on the images' device.
    """
    return torch.erfinv(uniforms.mul(2).sub_(1 - 2**-24)).mul_(2**0.5)


def add_noise(images: Tensor, noise: Tensor) -> Tensor:
    """Return uint8 ``images`` plus ``noise`` in fractions of full brightness, added in the noise's precision."""
    return to_uint8(images.to(noise.dtype).div_(255).add_(noise))


def from_counts(counts: Tensor, photons: float) -> Tensor:
    """Return the uint8 image of photon ``counts``, of which ``photons`` and more are full brightness."""
    return to_uint8(counts.double().div_(photons))


def poisson_counts(images: Tensor, photons: int, uniforms: Tensor) -> Tensor:
    """Return the counts k with F(k − 1) ≤ u < F(k), F being the Poisson distribution of mean x·``photons``, as int16.

    Counts above ``photons`` look the same and are returned as ``photons``. A grey level has few counts, so most slices
    of the unit interval hold just one: those are looked up, the others searched.

    Args:
        images: (B, 3, H, W) uint8.
        photons: the mean count of a fully bright pixel, below 2¹⁵.
        uniforms: (B, 3, H, W) float in [0, 1).
    """
    thresholds, lookup = _poisson_tables(photons, images.device)
    buckets = images.int().mul_(BUCKETS).add_(uniforms.mul(BUCKETS).int())
    counts = lookup.index_select(0, buckets.reshape(-1))
    rest = (counts == UNRESOLVED).nonzero().squeeze(1)
    greys = images.reshape(-1).index_select(0, rest)
    keys = greys.double().add_(uniforms.reshape(-1).index_select(0, rest))
    found = torch.searchsorted(thresholds, keys, right=True) - greys.long().mul_(photons)
    return counts.index_copy_(0, rest, found.short()).view(images.shape)


@lru_cache(maxsize=8)
def _poisson_tables(photons: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return every grey level's distribution function in one rising row, and the counts of the slices that hold one.

    The row is g + F(k) for g in 0 … 255 and k in 0 … photons − 1: one sorted search serves all grey levels, and float64
    leaves 45 bits of F beside g.
    """
    greys = np.arange(256)[:, None]
    distribution = stats.poisson.cdf(np.arange(photons), greys / 255 * photons)
    thresholds = (greys + distribution.clip(max=1)).ravel()
    edges = greys + np.arange(BUCKETS + 1) / BUCKETS
    first = np.searchsorted(thresholds, edges[:, :-1], side="right")
    last = np.searchsorted(thresholds, edges[:, 1:], side="left")
    lookup = np.where(first == last, first - greys * photons, UNRESOLVED).astype(np.int16).ravel()
    return torch.from_numpy(thresholds).to(device), torch.from_numpy(lookup).to(device)
