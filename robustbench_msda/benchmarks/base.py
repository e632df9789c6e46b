"""The seam of evaluation: a benchmark lists its cells, makes their stimuli and turns predictions into scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.data.datasets import Dataset
from robustbench_msda.records import PART_SIZE, Batch, Cell, Predictions, Score, limited, parts


@dataclass(frozen=True)
class Missing:
    """Why a benchmark cannot run here, and the command or step that would change that."""

    reason: str
    remedy: str


@dataclass(frozen=True)
class Setting:
    """Where stimuli are made: shared by the cells of a run, and no part of any result's identity but the limit.

    Attributes:
        dataset: what the checkpoint classifies.
        data_dir: where official benchmark files lie.
        device: where images are made and networks run.
        limit: how many images, 0 for all.
        batch_size: images a batch.
    """

    dataset: Dataset
    data_dir: Path
    device: torch.device
    limit: int = 0
    batch_size: int = 250


class Benchmark(Protocol):
    """A frozen value in the table of ``benchmarks_of``.

    Attributes:
        name: its stored name, snake_case.
        version: raised whenever its stimuli change.
        keeps_logits: whether predictions hold all logits.
    """

    @property
    def name(self) -> str:
        """Its stored name."""

    @property
    def version(self) -> int:
        """Raised whenever its stimuli change."""

    @property
    def keeps_logits(self) -> bool:
        """Whether predictions hold all logits."""

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing to run it here; None where nothing is."""

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield the cells of a checkpoint, in the order they are best done."""

    def passes(self, cell: Cell) -> int:
        """Return the forward passes an image of ``cell`` costs, a gradient counted as three: for estimates."""

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:
        """Yield the images of ``cell`` in canonical order, with their classes as targets."""

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str]) -> Iterator[Score]:
        """Yield scores from the complete conditions of one world, whose parts are joined already (part 0)."""


def part_cells(cell: Cell, setting: Setting) -> Iterator[Cell]:
    """Yield ``cell`` once for every part of the test images."""
    n = len(limited(len(setting.dataset.labels("test")), setting.limit))
    yield from (cell._replace(part=part) for part in parts(n))


def test_batches(cell: Cell, setting: Setting) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the clean test images of a part: (B, C, H, W) uint8, labels (B,), index (B,), on the CPU."""
    images, labels = setting.dataset.images("test"), setting.dataset.labels("test")
    positions = limited(len(labels), setting.limit)[cell.part * PART_SIZE : (cell.part + 1) * PART_SIZE]
    for first in range(0, len(positions), setting.batch_size):
        index = positions[first : first + setting.batch_size]
        pixels = torch.from_numpy(np.ascontiguousarray(np.asarray(images[index]).transpose(0, 3, 1, 2)))
        yield pixels, torch.from_numpy(np.asarray(labels[index], dtype=np.int64)), torch.from_numpy(index)


def as_network_input(pixels: Tensor, device: torch.device) -> Tensor:
    """Return uint8 ``pixels`` as float32 in [0, 1] on ``device``."""
    return pixels.to(device).float().div_(255)
