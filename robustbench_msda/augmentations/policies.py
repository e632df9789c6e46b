"""What the single-image policies share: bytes in and out, the published names, AutoAugment's ten levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion
from robustbench_msda.augmentations.operations import as_bytes
from robustbench_msda.records import Batch

Names = NDArray[np.str_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS = 10
PUBLISHED_NAMES = {
    "ShearX": "shear_x",
    "ShearY": "shear_y",
    "TranslateX": "translate_x",
    "TranslateY": "translate_y",
    "Rotate": "rotate",
    "AutoContrast": "autocontrast",
    "Invert": "invert",
    "Equalize": "equalize",
    "Solarize": "solarize",
    "Posterize": "posterize",
    "Contrast": "contrast",
    "Color": "color",
    "Brightness": "brightness",
    "Sharpness": "sharpness",
}
# Their magnitude is negated with probability one half.
SIGNED = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


class ImagePolicy(Augmentation):
    """The base class of methods that change every image by itself, as bytes; the labels stay."""

    def change(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the changed images, (B, C, H, W) uint8 as they came."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the changed images; targets stay as they are."""
        changed = self.change(as_bytes(batch.images), rng)
        return criterion(model(as_floats(changed)), batch.targets)


def as_floats(images: Tensor) -> Tensor:
    """Return uint8 ``images`` as float32 in [0, 1]."""
    return images.float().div_(255)


def level_values(height: int, width: int) -> dict[str, Floats]:
    """Return the ten magnitudes of every operation that has one and does not overlap ImageNet-C.

    AutoAugment's (Cubuk et al., CVPR 2019, Table 6), read as torchvision reads them: translations of a 331-pixel image
    scaled to this one and cut off to whole pixels, posterize from 8 bits down to 4.
    """
    share = np.arange(LEVELS) / (LEVELS - 1)
    return {
        "shear_x": 0.3 * share,
        "shear_y": 0.3 * share,
        "translate_x": np.trunc(150 / 331 * width * share),
        "translate_y": np.trunc(150 / 331 * height * share),
        "rotate": 30 * share,
        "posterize": 8 - np.round(4 * share),
        "solarize": 255 - 255 * share,
    }


def level_magnitudes(names: Names, levels: Integers, signs: Integers, side: tuple[int, int]) -> Floats:
    """Return (B,) the magnitude of each operation at its level, negated where it may be and its sign is -1.

    Args:
        names: (B,) operations.
        levels: (B,) in 0..9.
        signs: (B,) of 1 and -1.
        side: height and width of the images.
    """
    magnitudes = np.zeros(len(names))
    for name, values in level_values(*side).items():
        rows = names == name
        magnitudes[rows] = values[levels[rows]]
    return np.where(np.isin(names, SIGNED), signs * magnitudes, magnitudes)


def draw_signs(n: int, rng: np.random.Generator) -> Integers:
    """Return (n,) of 1 and -1, each with probability one half."""
    return 1 - 2 * rng.integers(2, size=n)
