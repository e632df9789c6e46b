"""The noise corruptions of ImageNet-C (Hendrycks & Dietterich 2019, section 3), and the draws they are made of.

A draw is a slice of the unit interval, one of 2¹⁶ of the same width; what it means, a normal value or a photon count,
is looked up. That is a fifth of the time of drawing and transforming floats, and finer than a grey level.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from robustbench_msda.corruptions.pixels import truncated
from robustbench_msda.corruptions.severities import Parameter

SLICES = 2**16
# Photon counts are looked up by the upper bits of a draw; what the lower bits decide between, by a sum that carries.
LOW_BITS = 6
LOW = 2**LOW_BITS


def gaussian_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` plus Gaussian noise.

    A pixel is a whole number of grey levels, so truncating the sum is truncating the noise: that is in a table.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the standard deviation, as a fraction of full brightness.
        draws: (B, 3, H, W), see ``slices``.
    """
    (std,) = parameter
    return add_levels(images, _look_up(_gaussian_levels(std, images.device), slices(draws)))


def speckle_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` plus Gaussian noise in proportion to their brightness.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the standard deviation of the noise as a fraction of the brightness.
        draws: (B, 3, H, W), see ``slices``.
    """
    (std,) = parameter
    return scale(images, normals(draws).mul_(std).add_(1))


def shot_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` as a sensor would count their photons: Poisson(x·c) / c.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: c, the mean count of a fully bright pixel, a whole number.
        draws: (B, 3, H, W), see ``slices``.
    """
    (photons,) = parameter
    return from_counts(poisson_counts(images, int(photons), draws), photons)


def impulse_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` with a share of their values, each channel by itself, made black or white with equal chance.

    Differs from the reference: one field of draws decides both what is replaced and by what.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the share of values that are replaced.
        draws: (B, 3, H, W), see ``slices``: below half the share makes white, from there to the share black.
    """
    (share,) = parameter
    number = slices(draws)
    replaced, white = (_below(number, round(part * SLICES)) for part in (share, share / 2))
    return images.bitwise_and(replaced.bitwise_not_()).bitwise_or_(white)


def draw_image(
    rng: np.random.Generator,
    side: int,
    parameter: Parameter,  # noqa: ARG001
) -> tuple[NDArray[np.uint16]]:
    """Return one image's (3, side, side) slices."""
    return (draw_slices(rng, (3, side, side)),)


def draw_slices(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return slices of the unit interval, each of the 2¹⁶ as likely: four to a raw 64-bit draw."""
    count = math.prod(shape)
    raw: NDArray[np.uint64] = rng.bit_generator.random_raw(-(-count // 4))
    return raw.astype("<u8", copy=False).view("<u2")[:count].reshape(shape)


def slices(draws: Tensor) -> Tensor:
    """Return which slice each draw is in, 0 … 2¹⁶ − 1, as int32.

    Args:
        draws: the slices themselves as uint16, or floats in [0, 1).
    """
    return (draws * SLICES if draws.is_floating_point() else draws).int()


def middles(draws: Tensor) -> Tensor:
    """Return ``draws`` that are floats in [0, 1) as they are, of slices their middles as float32."""
    return draws if draws.is_floating_point() else draws.float().add_(0.5).div_(SLICES)


def normals(draws: Tensor) -> Tensor:
    """Return float32 N(0, 1) at the middles of the slices of ``draws``: within ±4.33."""
    return _look_up(_normal_table(draws.device), slices(draws))


def add_levels(images: Tensor, levels: Tensor) -> Tensor:
    """Return uint8 ``images`` plus whole grey ``levels``, int16, clipped."""
    return images.short().add_(levels).clamp_(0, 255).to(torch.uint8)


def scale(images: Tensor, factors: Tensor) -> Tensor:
    """Return uint8 ``images`` times ``factors``, multiplied in the factors' precision and truncated."""
    return truncated(images.to(factors.dtype).mul_(factors))


def from_counts(counts: Tensor, photons: float) -> Tensor:
    """Return the uint8 image of photon ``counts``, of which ``photons`` and more are full brightness."""
    return _look_up(_count_levels(photons, counts.device), counts.clamp(max=int(photons)).int())


def poisson_counts(images: Tensor, photons: int, draws: Tensor) -> Tensor:
    """Return the counts k with F(k − 1) ≤ u < F(k), F being the Poisson distribution of mean x·``photons``, as int32.

    Here u is the middle of a slice. Counts above ``photons`` look the same and are returned as ``photons``. A grey
    level has few counts, so few stretches of 64 slices hold more than two: those are searched, the others looked up.

    Args:
        images: (B, 3, H, W) uint8.
        photons: the mean count of a fully bright pixel.
        draws: (B, 3, H, W), see ``slices``.
    """
    starts, table = _poisson_tables(photons, images.device)
    keys = images.int().mul_(SLICES).add_(slices(draws)).view(-1)
    counts = table.index_select(0, keys >> LOW_BITS).add_(keys & (LOW - 1)) >> LOW_BITS
    rest = (counts < 0).nonzero().squeeze(1)
    searched = keys.index_select(0, rest)
    found = torch.searchsorted(starts, searched, right=True, out_int32=True).sub_((searched >> 16) * photons)
    return counts.index_copy_(0, rest, found).view(images.shape)


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    # A seventh of the time of table[index].
    return table.index_select(0, index.reshape(-1)).view(index.shape)


def _below(numbers: Tensor, limit: int) -> Tensor:
    """Return uint8: 255 where int32 ``numbers`` are below ``limit``, else 0; twice as fast as a comparison."""
    return (numbers - limit).bitwise_right_shift_(31).to(torch.uint8)


@lru_cache(maxsize=4)
def _normal_table(device: torch.device) -> Tensor:
    """Return the normal quantile at the middle of every slice."""
    return torch.from_numpy(stats.norm.ppf((np.arange(SLICES) + 0.5) / SLICES).astype(np.float32)).to(device)


@lru_cache(maxsize=16)
def _gaussian_levels(std: float, device: torch.device) -> Tensor:
    """Return what every slice adds to a pixel, in whole grey levels, int16."""
    quantiles = stats.norm.ppf((np.arange(SLICES) + 0.5) / SLICES)
    return torch.from_numpy(np.floor(255 * std * quantiles).astype(np.int16)).to(device)


@lru_cache(maxsize=16)
def _count_levels(photons: float, device: torch.device) -> Tensor:
    """Return the grey level of every count up to ``photons``, uint8."""
    return truncated(torch.arange(int(photons) + 1, dtype=torch.float64).div_(photons).mul_(255)).to(device)


@lru_cache(maxsize=16)
def _poisson_tables(photons: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where every count starts and, for stretches of slices, the count they begin with and where it rises.

    The starts are g·2¹⁶ + the first slice of count k + 1, for g in 0 … 255 and k in 0 … photons − 1, in one rising row:
    one sorted search serves all grey levels. An entry of the table is the count, then what the lower bits of a slice
    must be added to for a carry into the count where that rises; negative where it rises more than once.
    """
    greys = np.arange(256)[:, None]
    distribution = stats.poisson.cdf(np.arange(photons), greys / 255 * photons).clip(max=1)
    starts = (greys * SLICES + np.ceil(distribution * SLICES - 0.5)).astype(np.int32).ravel()
    stretches = np.arange(0, 256 * SLICES, LOW, dtype=np.int32)
    first = np.searchsorted(starts, stretches, side="right")
    rises = np.searchsorted(starts, stretches + LOW - 1, side="right") - first
    start = starts[np.minimum(first, len(starts) - 1)] - stretches
    counts = first - (stretches // SLICES) * photons
    table = counts * LOW + np.where(rises == 1, LOW - start, 0)
    table = np.where(rises > 1, -LOW, table).astype(np.int32)
    return torch.from_numpy(starts).to(device), torch.from_numpy(table).to(device)
