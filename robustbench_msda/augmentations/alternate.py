"""Alternating methods. Harris et al.: FMix: Enhancing Mixed Sample Data Augmentation, arXiv:2002.12047, table 3."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, require_method
from robustbench_msda.augmentations.fmix import FMix
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class Alternate(Augmentation):
    """Two methods in turn, a batch each, beginning with the first; the turn runs on across epochs.

    A method that takes turns itself does so each time its own turn comes.
    """

    first: Augmentation = field(default_factory=FMix)
    second: Augmentation = field(default_factory=Mixup)

    def __post_init__(self) -> None:
        require_method(self.first, "first")
        require_method(self.second, "second")

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the method whose turn it is, by ``batch.step``."""
        turn, second = divmod(batch.step, 2)
        method = self.second if second else self.first
        return method.loss(model, replace(batch, step=turn), criterion, rng)
