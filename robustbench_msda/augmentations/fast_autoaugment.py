"""Fast AutoAugment. Lim et al.: Fast AutoAugment, NeurIPS 2019, arXiv:1905.00397; its policies are files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import require
from robustbench_msda.augmentations.enhancements import grey
from robustbench_msda.augmentations.operations import IDENTITY, apply
from robustbench_msda.augmentations.policies import (
    PUBLISHED_NAMES,
    SIGNED,
    Floats,
    ImagePolicy,
    Names,
    draw_signs,
)
from robustbench_msda.augmentations.policy_files import CUTOUT, SOURCE, Entry, digest_of, policy_of, read_policy

HOLE = "cutout"
FILL = (125, 123, 114)
# Lowest and highest magnitude: translations and holes as shares of the side (kakaobrain/fast-autoaugment 35b482a,
# augmentations.py); operations that are not here have none.
RANGES = {
    "shear_x": (-0.3, 0.3),
    "shear_y": (-0.3, 0.3),
    "translate_x": (-0.45, 0.45),
    "translate_y": (-0.45, 0.45),
    "rotate": (-30.0, 30.0),
    "solarize": (0.0, 256.0),
    "posterize": (4.0, 8.0),
    "contrast": (0.1, 1.9),
    "color": (0.1, 1.9),
    "brightness": (0.1, 1.9),
    "sharpness": (0.1, 1.9),
    HOLE: (0.0, 0.2),
}


class Column(NamedTuple):
    """The first, second, ... operation of every sub-policy."""

    names: Names
    probabilities: Floats
    values: Floats


@cache
def columns(policy: str, digest: str) -> tuple[Column, ...]:
    """Return the policy's operations, one column a step; shorter sub-policies end in identities."""
    sub_policies = policy_of(policy, digest)
    steps = range(max(map(len, sub_policies)))
    rows = [[sub[step] if step < len(sub) else None for sub in sub_policies] for step in steps]
    return tuple(_column(entries) for entries in rows)


def _column(entries: list[Entry | None]) -> Column:
    ours = PUBLISHED_NAMES | {CUTOUT: HOLE}
    names = [ours[entry.name] if entry else IDENTITY for entry in entries]
    probabilities = [entry.probability if entry else 0.0 for entry in entries]
    ranges = np.array([RANGES.get(name, (0.0, 0.0)) for name in names])
    levels = np.array([entry.level if entry else 0.0 for entry in entries])
    values = ranges[:, 0] + levels * (ranges[:, 1] - ranges[:, 0])
    return Column(np.array(names), np.array(probabilities), values)


def cut(images: Tensor, rows: Floats, columns: Floats, sides: Floats) -> Tensor:
    """Return ``images`` with a hole of the published colour, as the published code places it.

    It starts half a side before the centre, clipped at the border, and a whole side later: near the border it is no
    smaller. Both ends are filled, so it is a pixel larger than its side.

    Args:
        images: (B, C, H, W) uint8, left untouched; C is 1 or 3.
        rows: (B,) each centre's row, in [0, H).
        columns: (B,) its column.
        sides: (B,) in pixels; 0 is no hole.
    """
    channels, height, width = images.shape[1:]

    def inside(centres: Floats, extent: int) -> Tensor:
        first = np.trunc(np.maximum(0, centres - sides / 2))
        last = np.trunc(np.minimum(extent, first + sides))
        pixels = np.arange(extent)
        return torch.from_numpy((pixels >= first[:, None]) & (pixels <= last[:, None]) & (sides[:, None] > 0))

    hole = (inside(rows, height)[:, None, :, None] & inside(columns, width)[:, None, None, :]).to(images.device)
    colour = torch.tensor(FILL, dtype=torch.uint8, device=images.device).reshape(1, 3, 1, 1)
    return torch.where(hole, grey(colour) if channels == 1 else colour, images)


@dataclass(frozen=True)
class FastAutoAugment(ImagePolicy):
    """Fast AutoAugment with the policy of a file: one sub-policy an image, its operations each with their probability.

    Differs from the paper: bilinear and not nearest pixels; after the crop, not before; no Cutout on top.

    Attributes:
        policy: a JSON file ``[[["ShearX", 0.4, 0.7], ["Invert", 0.1, 0.2]], ...]``, or ``archive.py:function`` of the
            published Python file (github.com/kakaobrain/fast-autoaugment, Apache-2.0) such as ``fa_reduced_cifar10``,
            which is read and not run.
        digest: of what the file holds: filled in when empty; when given, the file must hold it still.
    """

    policy: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.policy:
            raise ValueError(f"expected policy='FILE.json' or policy='archive.py:fa_reduced_cifar10' ({SOURCE})")
        require(isinstance(self.policy, str) and isinstance(self.digest, str), "text", (self.policy, self.digest))
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(read_policy(self.policy)))
        elif self.is_here:  # elsewhere the text of a result can still be read, and ``refusal`` says what is missing
            policy_of(self.policy, self.digest)

    @property
    def is_here(self) -> bool:
        """Whether the file of the policy is on this disk."""
        return Path(self.policy.rpartition(":")[0] if ".py:" in self.policy else self.policy).exists()

    def refusal(self, model: nn.Module, side: tuple[int, int]) -> str | None:
        """Return why the policy cannot be read, None where it can."""
        try:
            policy_of(self.policy, self.digest)
        except ValueError as error:
            return str(error)
        return super().refusal(model, side)

    def change(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the changed images, (B, C, H, W) uint8 as they came."""
        n, _, height, width = images.shape
        steps = columns(self.policy, self.digest)
        chosen = rng.integers(len(steps[0].names), size=n)
        for step in steps:
            applied = np.where(rng.random(n) < step.probabilities[chosen], step.names[chosen], IDENTITY)
            values = step.values[chosen]
            magnitudes = np.where(np.isin(applied, SIGNED), draw_signs(n, rng) * values, values)
            magnitudes *= np.select(
                [np.isin(applied, ("translate_x", HOLE)), applied == "translate_y"], [width, height], 1
            )
            holes = applied == HOLE
            images = apply(images, np.where(holes, IDENTITY, applied).tolist(), magnitudes)
            rows, across = rng.random((2, n))
            if holes.any():
                images = cut(images, rows * height, across * width, np.where(holes, magnitudes, 0))
        return images
