"""Gradient attacks in the L∞ ball, by foolbox; only chance is ours.

Goodfellow, Shlens, Szegedy: Explaining and Harnessing Adversarial Examples, ICLR 2015, arXiv:1412.6572.
Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, arXiv:1706.06083.
Rauber et al.: Foolbox Native, JOSS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.base import Attack as FoolboxAttack
from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from numpy.typing import NDArray
from torch import Tensor, nn


class StartedPGD(LinfProjectedGradientDescentAttack):
    """foolbox's attack, started where it is told instead of where torch's global generator says."""

    def __init__(self, start: Tensor, steps: int, rel_stepsize: float) -> None:
        super().__init__(steps=steps, rel_stepsize=rel_stepsize, random_start=True)
        self.start = start

    def get_random_start(self, x0: EagerTensor, epsilon: float) -> EagerTensor:
        """Return ``x0`` moved by ``epsilon`` times the start."""
        return x0 + astensor(self.start) * epsilon


@dataclass(frozen=True)
class FGSM:
    """One step of size ε along the sign of the gradient; sign(0) = 0, no random start."""

    @property
    def passes(self) -> int:
        """Forward passes an image costs: one gradient, foolbox's own check, and the answer to the result."""
        return 5

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ARG002
        """Return an empty array: nothing is drawn."""
        return np.empty(0, np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Tensor:  # noqa: ARG002
        """Return the attacked images (Goodfellow et al. 2015, §4)."""
        return attacked(LinfFastGradientAttack(), model, images, labels, epsilon)


@dataclass(frozen=True)
class PGD:
    """Steps of ``rel_stepsize`` · ε from a uniform start, each projected to the ball and to [0, 1].

    The default is foolbox's 40 steps of ε/30; ``pgd(steps=10, rel_stepsize=0.25)`` is the common 10 steps of 2/255 at
    ε = 8/255.
    """

    steps: int = 40
    rel_stepsize: float = 0.0333

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise ValueError(f"expected steps >= 1, got {self.steps!r}")
        if not self.rel_stepsize > 0:
            raise ValueError(f"expected rel_stepsize > 0, got {self.rel_stepsize!r}")

    @property
    def passes(self) -> int:
        """Forward passes an image costs: a gradient a step, foolbox's own check, and the answer to the result."""
        return 3 * self.steps + 2

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the start of one image, uniform in [−1, 1], in units of ε."""
        return rng.uniform(-1, 1, size=shape).astype(np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Tensor:
        """Return the attacked images (Madry et al. 2018, §2.1)."""
        return attacked(StartedPGD(start, self.steps, self.rel_stepsize), model, images, labels, epsilon)


def attacked(attack: FoolboxAttack, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Return what foolbox's ``attack`` makes of ``images``, clipped to the ball around them."""
    wrapped = PyTorchModel(model, bounds=(0, 1), device=images.device)
    _, clipped, _ = attack(wrapped, images, Misclassification(labels), epsilons=epsilon)
    result: Tensor = clipped
    return result
