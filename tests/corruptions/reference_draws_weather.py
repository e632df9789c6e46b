"""The reference's draws for speckle noise, frost, fog and spatter, replayed from its seeds: one image's at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from reference_draws import batch
from torch import Tensor

from robustbench_msda.corruptions import fog, frost, noise, spatter
from robustbench_msda.corruptions.severities import Parameter

NAMES = ("frost", "fog", "speckle_noise", "spatter")
Draw = NDArray[np.generic]


def draw(name: str, rng: np.random.RandomState, side: int, textures: tuple[NDArray[np.uint8], ...] = ()) -> Draw:
    """Return what the reference draws for the next image; ``textures`` are of the size for this side."""
    if name == "frost":
        return _crop(rng, side, textures)
    if name == "fog":
        return rng.random_sample(4 ** (side - 1).bit_length() - 1)
    return rng.normal(size=(side, side, 3) if name == "speckle_noise" else (side, side))


def _crop(rng: np.random.RandomState, side: int, textures: tuple[NDArray[np.uint8], ...]) -> NDArray[np.uint8]:
    texture = textures[rng.randint(5)]
    row = rng.randint(0, texture.shape[1] - side)
    column = rng.randint(0, texture.shape[2] - side)
    return texture[:, row : row + side, column : column + side]


def apply(name: str, images: Tensor, parameter: Parameter, draws: list[Draw]) -> Tensor:
    """Return the (B, 3, S, S) images that ours makes of these draws, in float64."""
    stacked = np.stack(draws)
    if name == "speckle_noise":
        return noise.scale(images, 1 + parameter[0] * batch(stacked))
    function = {"frost": frost.frost, "fog": fog.fog, "spatter": spatter.splash}[name]
    return function(images, parameter, torch.from_numpy(stacked))
