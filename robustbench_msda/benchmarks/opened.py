"""What benchmarks share that show a network images as they lie on disk, condition by condition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from robustbench_msda.benchmarks.base import Basis, Missing, Setting
from robustbench_msda.benchmarks.official import batches
from robustbench_msda.data.stimuli import Condition
from robustbench_msda.records import PART_SIZE, Batch, Cell, Predictions, Score, digest, limited


@dataclass(frozen=True)
class OpenedImages(ABC):
    """Every condition is a sequence of images.

    Attributes:
        name: the benchmark's stored name.
        keeps_logits: whether predictions hold all logits.
    """

    name: str
    version: int = 1
    keeps_logits: bool = True

    @abstractmethod
    def open(self, cell: Cell, setting: Setting) -> Condition:
        """Return the images of a cell's condition, whatever the limit, or raise ``DamagedData``."""

    @abstractmethod
    def count(self, cell: Cell, setting: Setting) -> int:
        """Return how many images a condition has, whatever the limit."""

    @abstractmethod
    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield scores from the complete conditions of one world."""

    def unasked(self, setting: Setting) -> Missing | None:  # noqa: ARG002
        """Return None: files that are there are for use."""
        return None

    def lacks(self, setting: Setting) -> Sequence[str]:  # noqa: ARG002
        """Return nothing: the conditions are what is there."""
        return ()

    def parts(self, cell: Cell, setting: Setting) -> int:
        """Return how many parts a condition falls into."""
        return max(1, -(-self._chosen(cell, setting) // PART_SIZE))

    def images(self, cell: Cell, setting: Setting) -> int:
        """Return how many images the part holds."""
        return min(PART_SIZE, self._chosen(cell, setting) - cell.part * PART_SIZE)

    def passes(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return 1: reading an image costs little beside the network."""
        return 1

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the images; ``index`` counts them in the condition's own order.

        Raises:
            DamagedData: the files of the condition are incomplete or not what they claim to be.
        """
        opened = self.open(cell, setting)
        positions = limited(len(opened.labels), setting.limit)
        own = positions[cell.part * PART_SIZE : (cell.part + 1) * PART_SIZE]
        for first in range(0, len(own), setting.batch_size):
            yield from batches(opened, own[first : first + setting.batch_size], 0, setting)

    def _chosen(self, cell: Cell, setting: Setting) -> int:
        return len(limited(self.count(cell, setting), setting.limit))


def identified(name: str, content: object) -> str:
    """Return the condition of what a user named: what is in it may change, and is then another condition."""
    return f"{name}={digest(content)[:8]}"


def unidentified(condition: str) -> str:
    """Return the name in a condition that ``identified`` made."""
    return condition.rpartition("=")[0]


def as_score(cell: Cell, n: int) -> Score:
    """Return the score of a condition over ``n`` images that has no metric and value yet."""
    return Score(cell.benchmark, "", np.nan, n, "", "", cell.condition, cell.level, cell.source)
