"""White-box attacks on the test images: the gradients are the evaluated network's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from robustbench_msda.benchmarks.base import Basis, OnTestImages, Setting, as_network_input, part_cells, test_batches
from robustbench_msda.benchmarks.rows import condition_scores
from robustbench_msda.records import Batch, Cell, Predictions, Score, level_value
from robustbench_msda.streams import stream

if TYPE_CHECKING:
    from robustbench_msda.attacks.base import Attack


@dataclass(frozen=True)
class WhiteBox(OnTestImages):
    """One attack at several ε; an image the network gets wrong unattacked counts as wrong.

    Attributes:
        name: its stored name.
        attack: canonical text of the attack, the condition of its cells.
        levels: ε in pixel units, as text.
    """

    name: str
    attack: str
    levels: tuple[str, ...] = ("1/255", "2/255", "4/255", "8/255")
    version: int = 1
    keeps_logits: bool = False

    def parsed(self) -> Attack:
        """Return the attack; foolbox is imported only here."""
        from robustbench_msda import attacks

        return attacks.parse(self.attack)

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every ε, part by part."""
        for level in self.levels:
            yield from part_cells(Cell(fingerprint, self.name, self.attack, level), self, setting)

    def passes(self, cell: Cell) -> int:  # noqa: ARG002
        """Return what the attack costs."""
        return self.parsed().passes

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:
        """Yield the attacked test images, each with its largest change."""
        from robustbench_msda.attacks.base import check_ball

        attack, epsilon = self.parsed(), level_value(cell.level)
        for pixels, labels, index in test_batches(cell, setting):
            images = as_network_input(pixels, setting.device)
            keys = ((self.name, self.version, cell.condition, cell.level, int(i)) for i in index)
            draws = np.stack([attack.draw(stream(*key), tuple(pixels.shape[1:])) for key in keys])
            start = torch.from_numpy(draws).to(setting.device)
            with torch.enable_grad():
                attacked = attack.run(model, images, labels.to(setting.device), epsilon, start)
            yield Batch(attacked, labels, index, delta_max=check_ball(images, attacked, epsilon))

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],
        basis: Basis,  # noqa: ARG002
    ) -> Iterator[Score]:
        """Yield the scores of every ε: ``error`` is the share of images that are wrong after the attack."""
        for cell, predictions in cells.items():
            yield from condition_scores(cell, predictions, classes)
