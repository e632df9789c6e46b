"""The clean test set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from robustbench_msda.benchmarks.base import Basis, OnTestImages, Setting, as_network_input, part_cells, test_batches
from robustbench_msda.benchmarks.rows import condition_scores, detail_scores
from robustbench_msda.records import Batch, Cell, Predictions, Score


@dataclass(frozen=True)
class Clean(OnTestImages):
    """The test images as they are."""

    name: str = "clean"
    version: int = 1
    keeps_logits: bool = True

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield the one condition, part by part."""
        yield from part_cells(Cell(fingerprint, self.name), self, setting)

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the test images."""
        for pixels, labels, index in test_batches(cell, setting):
            yield Batch(as_network_input(pixels, setting.device), labels, index)

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],
        basis: Basis,  # noqa: ARG002
    ) -> Iterator[Score]:
        """Yield errors, calibration, counts of each class, confusions and reliability bins."""
        for cell, predictions in cells.items():
            yield from condition_scores(cell, predictions, classes)
            yield from detail_scores(cell, predictions, classes)
