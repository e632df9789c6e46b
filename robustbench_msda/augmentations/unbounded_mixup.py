"""Mixup with shares outside [0, 1]. Park, Yun, Chun: A Unified Analysis of MSDA, NeurIPS 2022, figure 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_msda.augmentations.base import InputMixing, draw_partner, mixed, require
from robustbench_msda.augmentations.mixup import mixup
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class UnboundedMixup(InputMixing):
    """Mixup with λ uniform in [−bound, bound], so that an image may be taken away from its partner.

    The paper draws pictures with it and trains nothing. Where λ < 0 the mixed image leaves [0, 1] and its target is the
    partner's alone: the cross-entropy of a negative target has no minimum.
    """

    bound: float = 0.75

    def __post_init__(self) -> None:
        require(0 < self.bound <= 1, "bound in (0, 1]", self.bound)

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return ``λ·x + (1 − λ)·x[partner]``, not clipped, with targets of share ``max(λ, 0)``."""
        lam = float(rng.uniform(-self.bound, self.bound))
        partner = draw_partner(batch, rng)
        return mixed(batch, mixup(batch.images, partner, lam), partner, max(lam, 0.0))
