"""Additive uniform noise, by foolbox: no attack on the network, but what every attack on it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.additive_noise import (
    BaseAdditiveNoiseAttack,
    L2AdditiveUniformNoiseAttack,
    LinfAdditiveUniformNoiseAttack,
)
from foolbox.criteria import Misclassification
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.attacks.base import Moved, Norm
from robustbench_msda.attacks.gradient import as_foolbox


class LinfNoise(LinfAdditiveUniformNoiseAttack):
    """foolbox's noise, from draws it is given."""

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws

    def sample_noise(self, x: EagerTensor) -> EagerTensor:  # noqa: ARG002
        """Return the draws."""
        return astensor(self.draws)


class L2Noise(L2AdditiveUniformNoiseAttack):
    """foolbox's noise, from draws it is given."""

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws

    def sample_noise(self, x: EagerTensor) -> EagerTensor:  # noqa: ARG002
        """Return the draws."""
        return astensor(self.draws)


@dataclass(frozen=True)
class UniformNoise:
    """One draw of uniform noise in [−1, 1], scaled by ε over its largest value, then clipped to the ball.

    Differs from the largest absolute value that one may expect: where a draw is lowest below 0, clipping cuts it at −ε
    (foolbox 3.3.4, attacks/additive_noise.py, which is what seed 004 ran).
    """

    norm: ClassVar[Norm] = "linf"
    once: ClassVar[bool] = False

    @property
    def passes(self) -> int:
        """Forward passes an image costs: the answer to the result."""
        return 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the noise of one image before it is scaled."""
        return rng.uniform(-1, 1, size=shape).astype(np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Moved:
        """Return the moved images."""
        noise: BaseAdditiveNoiseAttack = LinfNoise(start) if self.norm == "linf" else L2Noise(start)
        return Moved(noise.run(as_foolbox(model, images), images, Misclassification(labels), epsilon=epsilon))


class L2UniformNoise(UniformNoise):
    """One draw of uniform noise in [−1, 1], scaled to length ε, then clipped to [0, 1]."""

    norm: ClassVar[Norm] = "l2"
