"""CutMix. Yun et al.: CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019, arXiv:1905.04899."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from robustbench_msda.augmentations.base import InputMixing, draw_partner, mixed, require
from robustbench_msda.records import Batch


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Its number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


def box_around(height: int, width: int, lam: float, row: int, column: int) -> Box:
    """Return the box of sides ``sqrt(1 - lam)`` times the image's, centred on a pixel and clipped to the image.

    As in the authors' code the side is truncated to whole pixels, and an odd side loses one more (ibid., eq. 2).
    """
    ratio = np.sqrt(1.0 - lam)
    half_height, half_width = int(height * ratio) // 2, int(width * ratio) // 2
    return Box(
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )


def cutmix(images: Tensor, partner: Tensor, box: Box) -> tuple[Tensor, float]:
    """Return ``images`` with ``box`` pasted from ``images[partner]``, and the share of the first image that is left.

    The share is counted from the pixels of the box, after clipping (Yun et al. 2019, eq. 1).

    Args:
        images: (B, C, H, W), left untouched.
        partner: (B,) the index of the second image.
        box: what is pasted.
    """
    height, width = images.shape[-2:]
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    pasted = images.clone()
    pasted[:, :, rows, columns] = images[:, :, rows, columns][partner]
    return pasted, 1.0 - box.area / (height * width)


@dataclass(frozen=True)
class CutMix(InputMixing):
    """CutMix with one box and one permutation a batch, λ ~ Beta(α, α) before clipping.

    The ``cutmix_prob`` p of the authors' code is ``dropmix(1 - p, of=cutmix)`` here.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with one box of every image pasted from its partner; targets follow the pixels."""
        height, width = batch.images.shape[-2:]
        lam = float(rng.beta(self.alpha, self.alpha))
        box = box_around(height, width, lam, int(rng.integers(height)), int(rng.integers(width)))
        partner = draw_partner(batch, rng)
        images, share = cutmix(batch.images, partner, box)
        return mixed(batch, images, partner, share)
