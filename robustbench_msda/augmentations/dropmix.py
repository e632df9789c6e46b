"""DropMix. Lee, Lee, Kim: The Effects of Mixed Sample Data Augmentation Are Class Dependent, 2023; its Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, require, require_method
from robustbench_msda.augmentations.cutmix import CutMix
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class DropMix(Augmentation):
    """Any method, applied to a batch with probability ``1 - rate``; a coin a batch, as the algorithm is printed.

    ``rate=1`` never mixes and ``rate=0`` is the method itself, draw for draw: neither tosses a coin.
    """

    rate: float = 0.5
    of: Augmentation = field(default_factory=CutMix)

    def __post_init__(self) -> None:
        require(isinstance(self.rate, int | float) and 0 <= self.rate <= 1, "a rate in [0, 1]", self.rate)
        require_method(self.of, "of")

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the batch as it is, or the method's."""
        drop = self.rate == 1 or (self.rate > 0 and rng.random() < self.rate)
        if drop:
            return criterion(model(batch.images), batch.targets)
        return self.of.loss(model, batch, criterion, rng)
