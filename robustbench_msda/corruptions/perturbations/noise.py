"""Perturbations by noise: the clean image, then frames of fresh noise of one strength."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions import noise
from robustbench_msda.corruptions.severities import Parameter


def gaussian_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` and frames of them with Gaussian noise.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, then that of the corruption.
        draws: (B, F − 1, 3, S, S), see ``corruptions.noise.slices``.
    """
    return _after_the_clean(images, noise.gaussian_noise, parameter, draws)


def speckle_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` and frames of them with speckle noise; arguments as for ``gaussian_noise``."""
    return _after_the_clean(images, noise.speckle_noise, parameter, draws)


def shot_noise(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` and frames of them with shot noise; arguments as for ``gaussian_noise``."""
    return _after_the_clean(images, noise.shot_noise, parameter, draws)


def draw_frames(rng: np.random.Generator, side: int, parameter: Parameter) -> tuple[NDArray[np.uint16]]:
    """Return one image's (F − 1, 3, side, side) slices."""
    return (noise.draw_slices(rng, (int(parameter[0]) - 1, 3, side, side)),)


def _after_the_clean(
    images: Tensor, corrupt: Callable[[Tensor, Parameter, Tensor], Tensor], parameter: Parameter, draws: Tensor
) -> Tensor:
    repeated = images.unsqueeze(1).expand(draws.shape)
    noisy = corrupt(repeated.flatten(0, 1), parameter[1:], draws.flatten(0, 1))
    return torch.cat((images.unsqueeze(1), noisy.view(draws.shape)), 1)
