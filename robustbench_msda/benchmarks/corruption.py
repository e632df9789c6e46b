"""Corrupted test images, made on the fly. Hendrycks, Dietterich: Benchmarking Neural Network Robustness, ICLR 2019."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from robustbench_msda.benchmarks.base import Missing, Setting, as_network_input, part_cells, test_batches
from robustbench_msda.benchmarks.rows import condition_scores
from robustbench_msda.corruptions import CORRUPTIONS, FIFTEEN, corrupt
from robustbench_msda.metrics.corruption import mean_corruption_error
from robustbench_msda.records import Batch, Cell, Predictions, Score
from robustbench_msda.streams import stream

LEVELS = ("1", "2", "3", "4", "5")


@dataclass(frozen=True)
class MadeCorruptions:
    """Every corruption at five severities, made from the clean test images of ``dataset``.

    A stimulus is a function of the benchmark, its version, the condition, the level and the image, and of nothing else.
    """

    dataset: str
    version: int = 1
    keeps_logits: bool = False

    @property
    def name(self) -> str:
        """``<dataset>_c_made``: never to be mistaken for the official files."""
        return f"{self.dataset}_c_made"

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where no severity table fits the images."""
        side = setting.dataset.side
        sides = sorted(set.intersection(*(set(corruption.severities) for corruption in CORRUPTIONS.values())))
        if side in sides:
            return None
        return Missing(f"no severities for images of {side} px", f"prepare the data set at {sides} px")

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every corruption at every severity, part by part."""
        for condition in CORRUPTIONS:
            for level in LEVELS:
                yield from part_cells(Cell(fingerprint, self.name, condition, level), setting)

    def passes(self, cell: Cell) -> int:  # noqa: ARG002
        """Return 1: making a stimulus costs little beside the network."""
        return 1

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the corrupted test images."""
        random = CORRUPTIONS[cell.condition].draw is not None
        for pixels, labels, index in test_batches(cell, setting):
            drawn = index if random else ()
            rngs = [stream(self.name, self.version, cell.condition, cell.level, int(i)) for i in drawn]
            corrupted = corrupt(pixels.to(setting.device), cell.condition, int(cell.level), rngs)
            yield Batch(as_network_input(corrupted, setting.device), labels, index)

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str]) -> Iterator[Score]:
        """Yield the scores of every condition, the mean error of each corruption, and the mean over corruptions."""
        errors: dict[str, dict[str, Score]] = {}
        for cell, predictions in cells.items():
            for score in condition_scores(cell, predictions, classes):
                if score.metric == "error":
                    errors.setdefault(cell.condition, {})[cell.level] = score
                yield score
        whole = {name: levels for name, levels in errors.items() if set(levels) == set(LEVELS)}
        for name, levels in whole.items():
            value = float(np.mean([score.value for score in levels.values()]))
            n = sum(score.n for score in levels.values())
            yield Score(self.name, "corruption_error", value, n, condition=name)
        if common := [name for name in FIFTEEN if name in whole]:
            table = np.array([[whole[name][level].value for level in LEVELS] for name in common])
            yield Score(
                self.name,
                "mean_corruption_error",
                mean_corruption_error(table),
                len(common),
                flags=f"made; {len(common)} of {len(FIFTEEN)} corruptions",
            )
