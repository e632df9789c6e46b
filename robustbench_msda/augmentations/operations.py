"""The operations of AutoAugment and AugMix on batches of bytes: equal to Pillow's within one grey level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations import enhancements, lookups, warps
from robustbench_msda.errors import pick

IDENTITY = "identity"
# They overlap the corruptions of ImageNet-C (Hendrycks et al.: AugMix, ICLR 2020, §3), and so does cutout, which is
# no operation here.
OVERLAPPING = frozenset({"color", "contrast", "brightness", "sharpness"})


@dataclass(frozen=True)
class Geometric:
    """An operation that warps the image: the (B, 6) matrices of its magnitudes."""

    matrices: warps.Matrices


@dataclass(frozen=True)
class Lookup:
    """An operation that changes grey values one by one: the (B, 1 or C, 256) tables of images and magnitudes."""

    tables: lookups.Tables


@dataclass(frozen=True)
class Direct:
    """Any other operation: the new images of images and magnitudes."""

    change: Callable[[Tensor, NDArray[np.float64]], Tensor]


Operation = Geometric | Lookup | Direct

OPERATIONS: dict[str, Operation] = {
    "autocontrast": Lookup(lookups.autocontrast),
    "equalize": Lookup(lookups.equalize),
    "invert": Lookup(lookups.invert),
    "posterize": Lookup(lookups.posterize),
    "solarize": Lookup(lookups.solarize),
    "rotate": Geometric(warps.rotation),
    "shear_x": Geometric(warps.shear_x),
    "shear_y": Geometric(warps.shear_y),
    "translate_x": Geometric(warps.translate_x),
    "translate_y": Geometric(warps.translate_y),
    "hflip": Direct(warps.hflip),
    "vflip": Direct(warps.vflip),
    "color": Direct(enhancements.color),
    "contrast": Lookup(lookups.contrast),
    "brightness": Lookup(lookups.brightness),
    "sharpness": Direct(enhancements.sharpness),
}


def as_bytes(images: Tensor) -> Tensor:
    """Return ``images`` of [0, 1] rounded to uint8: exact where they came from bytes, as the recipe's crops do."""
    return (images * 255).round_().to(torch.uint8)


def apply(images: Tensor, names: Sequence[str], magnitudes: NDArray[np.float64]) -> Tensor:
    """Return ``images`` with row b put through operation ``names[b]`` at ``magnitudes[b]``, (B, C, H, W) uint8.

    Args:
        images: (B, C, H, W) uint8, left untouched; C is 1 or 3 where colour counts.
        names: B keys of ``OPERATIONS``, or ``identity``.
        magnitudes: (B,) degrees for rotate (counter-clockwise), a factor for the shears, pixels for the translations,
            1 to 8 bits for posterize, a threshold in [0, 256] for solarize, the share of the image for color, contrast,
            brightness and sharpness (1 is the identity); the others ignore theirs.

    Raises:
        ValueError: the lengths differ or the images are no bytes.
        UnknownName: a name is no operation.
    """
    if images.dtype != torch.uint8 or not len(images) == len(names) == len(magnitudes):
        raise ValueError(
            f"expected uint8 images, one name and one magnitude an image, got {images.dtype}, "
            f"{len(images)} images, {len(names)} names, {len(magnitudes)} magnitudes"
        )
    changed = images.clone()
    column = np.asarray(names)
    moved: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for name in sorted(set(names) - {IDENTITY}):
        operation, rows = pick(OPERATIONS, name, "operation"), np.flatnonzero(column == name)
        if isinstance(operation, Geometric):
            moved.append((rows, operation.matrices(magnitudes[rows], *images.shape[2:])))
        else:
            index = torch.from_numpy(rows).to(images.device)
            changed[index] = _changed(operation, images[index], magnitudes[rows])
    if moved:
        index = torch.from_numpy(np.concatenate([rows for rows, _ in moved])).to(images.device)
        changed[index] = warps.warp(images[index], np.concatenate([matrices for _, matrices in moved]))
    return changed


def _changed(operation: Lookup | Direct, images: Tensor, magnitudes: NDArray[np.float64]) -> Tensor:
    if isinstance(operation, Lookup):
        return lookups.look_up(images, operation.tables(images, magnitudes))
    return operation.change(images, magnitudes)
