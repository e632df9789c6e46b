"""Chains of image operations as AugMix draws them. google-research/augmix 9b9824c, augmentations.py and cifar.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations.base import require
from robustbench_msda.augmentations.operations import apply, as_bytes

# In the authors' order. Colour, contrast, brightness and sharpness are left out: ImageNet-C tests them.
OPERATIONS = (
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
LOWEST_LEVEL = 0.1
HIGHEST_LEVEL = 10.0


class Chains(NamedTuple):
    """Operations of many chains, (rows, steps) both: their names and their magnitudes, "identity" past the end."""

    names: NDArray[np.str_]
    magnitudes: NDArray[np.float64]


def require_severity(severity: float) -> None:
    """Raise ``ValueError`` unless ``severity`` can bound a level from above."""
    require(LOWEST_LEVEL <= severity <= HIGHEST_LEVEL, f"severity in [{LOWEST_LEVEL}, {HIGHEST_LEVEL:g}]", severity)


def magnitudes_of(
    names: NDArray[np.str_], levels: NDArray[np.float64], signs: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the magnitudes that ``levels`` in [0.1, 10] mean, truncated to whole numbers as the authors do.

    Level 10 is 30 degrees, a shear of 0.3, a third of the image, no bits left, or a threshold of 0.
    The authors translate by a fixed image size of 32 or 224; here it is the image's own.

    Args:
        names: operations, of any shape; those without a magnitude get 0.
        levels: of that shape.
        signs: of that shape, ±1, the direction of geometric operations.
        size: height and width in pixels.
    """
    height, width = size
    amounts = {
        "posterize": 4 - np.trunc(levels * 4 / 10),
        "rotate": signs * np.trunc(levels * 30 / 10),
        "solarize": 256 - np.trunc(levels * 256 / 10),
        "shear_x": signs * levels * 0.3 / 10,
        "shear_y": signs * levels * 0.3 / 10,
        "translate_x": signs * np.trunc(levels * (width / 3) / 10),
        "translate_y": signs * np.trunc(levels * (height / 3) / 10),
    }
    return np.select([names == name for name in amounts], list(amounts.values()), 0.0)


def draw_chains(
    rng: np.random.Generator,
    operations: Sequence[str],
    depths: NDArray[np.int64],
    severity: float,
    size: tuple[int, int],
) -> Chains:
    """Return one chain for each of ``depths``: operations uniform with replacement, levels ~ U(0.1, severity).

    Draws in this order, each (rows, longest depth): operations, levels, signs.
    """
    shape = (len(depths), int(depths.max()))
    names = np.asarray(operations)[rng.integers(len(operations), size=shape)]
    levels = rng.uniform(LOWEST_LEVEL, severity, size=shape)
    signs = rng.choice([-1.0, 1.0], size=shape)
    names = np.where(np.arange(shape[1]) < depths[:, None], names, "identity")
    return Chains(names, magnitudes_of(names, levels, signs, size))


def run_chains(images: Tensor, chains: Chains) -> Tensor:
    """Return (rows, C, H, W) uint8, row r the image ``r % B`` at the end of chain r.

    Args:
        images: (B, C, H, W) in [0, 1], rounded to grey levels here; rows are a multiple of B.
        chains: what each row goes through.
    """
    rows = as_bytes(images).repeat(len(chains.names) // len(images), 1, 1, 1)
    for names, magnitudes in zip(chains.names.T, chains.magnitudes.T, strict=True):
        rows = apply(rows, names.tolist(), magnitudes)
    return rows
