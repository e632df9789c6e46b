"""FMix. Harris et al.: FMix: Enhancing Mixed Sample Data Augmentation, 2020, arXiv:2002.12047."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.augmentations.base import InputMixing, draw_partner, mixed, require
from robustbench_msda.augmentations.masks import Mask, mix_by_mask
from robustbench_msda.records import Batch

Grey = NDArray[np.float64]
GreyImage = Callable[[tuple[int, ...], float, np.random.Generator], Grey]


def low_frequency_image(shape: tuple[int, ...], decay_power: float, rng: np.random.Generator) -> Grey:
    """Return an array of ``shape`` whose expected power falls as frequency to the ``-2 * decay_power``.

    The real part of the inverse transform of complex white noise over the full grid, divided by frequency to the
    ``decay_power``; frequencies are no lower than one cycle over the longest side, as in the authors' code, since the
    paper's formula has no value at 0. Scale is arbitrary: only the order of the entries matters.

    Args:
        shape: one side (text), two (images) or three (voxels) or more.
        decay_power: δ; 0 gives white noise, a large one a single cycle.
        rng: where the noise comes from.
    """
    squares = np.meshgrid(*(np.fft.fftfreq(side) ** 2 for side in shape), indexing="ij", sparse=True)
    real, imaginary = rng.standard_normal((2, *shape))
    spectrum = (real + 1j * imaginary) * _damping(np.sqrt(sum(squares)), 1 / max(shape), decay_power)
    return np.asarray(np.fft.ifftn(spectrum, axes=range(len(shape))).real)


def code_image(shape: tuple[int, ...], decay_power: float, rng: np.random.Generator) -> Grey:
    """Return a (H, W) array as the authors' released code makes it (ecs-vlc/FMix e5991dc, fmix.py).

    Differs from the paper: real and imaginary parts are taken along the first axis of frequencies, not the last axis
    of the noise. What is left of the spectrum is one-sided down the rows and holds the mean and one cycle along them.

    Args:
        shape: (H, W).
        decay_power: δ.
        rng: where the noise comes from.
    """
    height, width = shape
    # The code keeps one frequency too many of an odd width.
    across = np.fft.fftfreq(width)[: width // 2 + 1 + width % 2]
    frequency = np.hypot(np.array([[0.0], [1 / height]]), across)
    real, imaginary = (
        rng.standard_normal((*frequency.shape, 2)) * _damping(frequency, 1 / max(shape), decay_power)[..., None]
    )
    return np.fft.irfft(np.fft.ifft(real + 1j * imaginary, n=height, axis=0), n=width, axis=1)


def _damping(frequency: Grey, lowest: float, decay_power: float) -> Grey:
    """Return the factors 1/f^δ, the largest of them 1: no power overflows."""
    return (lowest / np.maximum(frequency, lowest)) ** decay_power


SPECTRA: dict[str, GreyImage] = {"paper": low_frequency_image, "code": code_image}


def binarise(grey: Grey, lam: float, up: bool) -> Mask:
    """Return the mask of ``grey``'s shape that is 1 at its largest entries and 0 elsewhere.

    Args:
        grey: any shape, N entries.
        lam: the share of ones asked for, in [0, 1].
        up: whether the ceiling or the floor of ``lam * N`` entries are 1.
    """
    ones = math.ceil(lam * grey.size) if up else math.floor(lam * grey.size)
    mask = np.zeros(grey.size, np.float32)
    if ones:
        mask[np.argpartition(grey, grey.size - ones, axis=None)[grey.size - ones :]] = 1
    return mask.reshape(grey.shape)


def fmix_mask(
    shape: tuple[int, ...],
    lam: float,
    decay_power: float,
    rng: np.random.Generator,
    image: GreyImage = low_frequency_image,
) -> Mask:
    """Return a random mask of 0 and 1 whose mean is within one entry of ``lam``, rounded up or down by a coin.

    Args:
        shape: one side (text), two (images) or three (voxels) or more; two where ``image`` is ``code_image``.
        lam: the share of ones, in [0, 1].
        decay_power: δ of the spectrum.
        rng: where the image and the coin come from.
        image: what draws the grey image.
    """
    return binarise(image(shape, decay_power, rng), lam, rng.random() < 0.5)


@dataclass(frozen=True)
class FMix(InputMixing):
    """FMix: one mask of low-frequency shapes, one λ ~ Beta(α, α) and one permutation a batch.

    ``decay_power`` is δ, 3 in the paper. ``spectrum="code"`` draws the masks of the authors' released code, whose
    spectrum is indexed along the wrong axis: their published tables were made with it.

    Differs from the paper: targets are mixed by the mask's mean, not by λ, which differ by less than one pixel.
    """

    alpha: float = 1.0
    decay_power: float = 3.0
    spectrum: str = "paper"

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)
        require(self.decay_power >= 0, "decay_power >= 0", self.decay_power)
        require(self.spectrum in SPECTRA, f"a spectrum of {', '.join(SPECTRA)}", self.spectrum)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with each image seen through one mask and its partner around it."""
        height, width = batch.images.shape[-2:]
        lam = float(rng.beta(self.alpha, self.alpha))
        mask = fmix_mask((height, width), lam, self.decay_power, rng, SPECTRA[self.spectrum])
        partner = draw_partner(batch, rng)
        images, share = mix_by_mask(batch.images, partner, mask)
        return mixed(batch, images, partner, share)
