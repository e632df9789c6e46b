"""DeepFool, by foolbox: the way to the nearest class boundary, found once and clipped to every ε.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, CVPR 2016, arXiv:1511.04599.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.deepfool import DeepFoolAttack, L2DeepFoolAttack, LinfDeepFoolAttack
from foolbox.criteria import Misclassification
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.attacks.base import Moved, Norm, is_flat
from robustbench_msda.attacks.gradient import as_foolbox

# Until every image of a batch of 250 is fooled; measured on ResNet-20 and CIFAR-10 (see the tests).
TYPICAL_STEPS = 6


class Watched(DeepFoolAttack):
    """foolbox's attack; its first step is looked at for images that it leaves where they are."""

    flat: Tensor | None = None

    def get_perturbations(self, distances: EagerTensor, grads: EagerTensor) -> EagerTensor:
        """Return the step of every image; ``grads`` belong to its nearest class, zero only where all are."""
        if self.flat is None:
            self.flat = is_flat(grads.raw)
        # The classes below put a norm's own between this and the abstract one.
        step: EagerTensor = super().get_perturbations(distances, grads)  # type: ignore[safe-super]
        return step


class LinfWatched(Watched, LinfDeepFoolAttack):
    """The L∞ attack."""


class L2Watched(Watched, L2DeepFoolAttack):
    """The L2 attack."""


@dataclass(frozen=True)
class DeepFool:
    """Steps to the nearest of the boundaries to ``candidates`` classes until it is crossed, in the L∞ metric.

    The logit-difference loss; the defaults are foolbox's, which seed 004 ran. An image that is wrong already stays.
    """

    norm: ClassVar[Norm] = "linf"
    once: ClassVar[bool] = True
    steps: int = 50
    candidates: int = 10
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise ValueError(f"expected steps >= 1, got {self.steps!r}")
        if not (isinstance(self.candidates, int) and self.candidates >= 2):
            raise ValueError(f"expected candidates >= 2, got {self.candidates!r}")
        if not self.overshoot >= 0:
            raise ValueError(f"expected overshoot >= 0, got {self.overshoot!r}")

    @property
    def passes(self) -> int:
        """Forward passes an image costs, about: a gradient a step and candidate, and the answer to the result."""
        return 3 * min(self.steps, TYPICAL_STEPS) * (self.candidates - 1) + 2

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ARG002
        """Return an empty array: nothing is drawn."""
        return np.empty(0, np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Moved:  # noqa: ARG002
        """Return the moved images, however far they had to go."""
        made = LinfWatched if self.norm == "linf" else L2Watched
        attack: Watched = made(steps=self.steps, candidates=self.candidates, overshoot=self.overshoot)
        moved = attack.run(as_foolbox(model, images), images, Misclassification(labels))
        # No step was taken where every image is wrong already.
        return Moved(moved, labels.new_zeros(len(labels)).bool() if attack.flat is None else attack.flat)


class L2DeepFool(DeepFool):
    """Steps to the nearest of the boundaries to ``candidates`` classes until it is crossed, in the L2 metric."""

    norm: ClassVar[Norm] = "l2"
