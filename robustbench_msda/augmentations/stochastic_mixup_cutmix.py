"""Stochastic Mixup & CutMix. Park, Yun, Chun: A Unified Analysis of Mixed Sample Data Augmentation, NeurIPS 2022."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_msda.augmentations.base import InputMixing, require
from robustbench_msda.augmentations.cutmix import CutMix
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class StochasticMixupCutMix(InputMixing):
    """CutMix with probability ``cutmix_prob``, else Mixup, drawn once a batch."""

    mixup_alpha: float = 1.0
    cutmix_alpha: float = 1.0
    cutmix_prob: float = 0.5

    def __post_init__(self) -> None:
        require(self.mixup_alpha > 0, "mixup_alpha > 0", self.mixup_alpha)
        require(self.cutmix_alpha > 0, "cutmix_alpha > 0", self.cutmix_alpha)
        require(0 <= self.cutmix_prob <= 1, "cutmix_prob in [0, 1]", self.cutmix_prob)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch mixed by the method that was drawn."""
        cut = rng.random() < self.cutmix_prob
        method: InputMixing = CutMix(self.cutmix_alpha) if cut else Mixup(self.mixup_alpha)
        return method.mix(batch, rng)
