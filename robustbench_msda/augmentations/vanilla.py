"""No mixing: the recipe's crop and flip alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_msda.augmentations.base import InputMixing
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class Vanilla(InputMixing):
    """The identity: the baseline every method is compared with."""

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:  # noqa: ARG002
        """Return ``batch`` itself."""
        return batch
