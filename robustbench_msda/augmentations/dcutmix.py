"""DCutMix: nested boxes of K images. Paper: Observations on K-image Expansion of Image-Mixing Augmentation, eqs. 3-5.

The paper's Algorithm 1 shuffles images it has already pasted into, and at K = 2 leaves the last label out; the authors'
code (clovaai/DCutMix 33b882b) does neither, and is what is meant here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations.rectangles import patchwork, visible_shares
from robustbench_msda.augmentations.several_images import SeveralImages, blend_targets, draw_partners, draw_shares
from robustbench_msda.records import Batch


def broken_sticks(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (B, K - 1) in [0, 1]: the part of what is left that each share but the last takes (K-image, eq. 3)."""
    left = 1 - np.cumsum(shares[:, :-1], axis=1)
    later = shares[:, 1:-1] / (left[:, :-1] + 1e-10)  # The authors' guard against 0 / 0.
    return np.clip(np.hstack([shares[:, :1], later]), 0, 1)


def nested_boxes(
    shares: NDArray[np.float64], places: NDArray[np.float64], height: int, width: int
) -> NDArray[np.int64]:
    """Return (K, B, 4) boxes, each inside the one before it; the first is the whole image (K-image, eqs. 4 and 5).

    Both sides of a box are those of the one before times ``sqrt(1 - v)``, rounded half to even. As in the authors' code
    a box with a side as long as before stays in the top left corner of the one before.

    Args:
        shares: (B, K) the share of each image; rows sum to 1.
        places: (K - 1, 2, B) uniform in [0, 1): where each box lies among its whole-pixel places, rows then columns.
        height: of the images.
        width: of the images.
    """
    n = len(shares)
    corner = np.zeros((2, n), np.int64)
    sides = np.repeat([[height], [width]], n, axis=1)
    boxes = [np.stack([corner, corner + sides], 1).reshape(4, n)]
    for v, place in zip(broken_sticks(shares).T, places, strict=True):
        smaller = np.rint(sides * np.sqrt(1 - v)).astype(np.int64)
        offset = (place * (sides - smaller + 1)).astype(np.int64)
        corner = corner + np.where((smaller < sides).all(0), offset, 0)
        sides = smaller
        boxes.append(np.stack([corner, corner + sides], 1).reshape(4, n))
    return np.stack(boxes).transpose(0, 2, 1)


def draw_boxes(batch: Batch, k: int, alpha: float, rng: np.random.Generator) -> Tensor:
    """Return (k, B, 4) nested boxes of shares ~ Dirichlet(alpha), each uniform among its places in the one before."""
    n, _, height, width = batch.images.shape
    shares, places = draw_shares(n, k, alpha, rng), rng.random((k - 1, 2, n))
    return torch.from_numpy(nested_boxes(shares, places, height, width)).to(batch.images.device)


@dataclass(frozen=True)
class DCutMix(SeveralImages):
    """CutMix of k images by nested boxes per image, areas ~ Dirichlet(α, ..., α); labels follow the exact areas.

    The probability p of the authors' code is ``dropmix(1 - p, of=dcutmix)`` here.
    """

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with the boxes of k - 1 partners pasted one into the other."""
        partners = draw_partners(batch, self.k, rng)
        boxes = draw_boxes(batch, self.k, self.alpha, rng)
        targets = blend_targets(batch.targets, partners, visible_shares(boxes))
        return replace(batch, images=patchwork(batch.images, partners, boxes), targets=targets)
