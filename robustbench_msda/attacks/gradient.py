"""Gradient attacks in the L∞ and the L2 ball, by foolbox; only chance is ours.

Goodfellow, Shlens, Szegedy: Explaining and Harnessing Adversarial Examples, ICLR 2015, arXiv:1412.6572.
Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, arXiv:1706.06083.
Kurakin, Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, arXiv:1607.02533.
Rauber et al.: Foolbox Native, JOSS 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.gradient_descent_base import (
    BaseGradientDescent,
    L2BaseGradientDescent,
    LinfBaseGradientDescent,
)
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.attacks.base import Moved, Norm, is_flat


class Descent(BaseGradientDescent):
    """foolbox's gradient attack, started where it is told instead of where torch's global generator says."""

    def __init__(self, start: Tensor, steps: int, rel_stepsize: float) -> None:
        super().__init__(steps=steps, rel_stepsize=rel_stepsize, random_start=start.numel() > 0)
        self.start = start
        self.flat: Tensor | None = None

    def get_random_start(self, x0: EagerTensor, epsilon: float) -> EagerTensor:
        """Return ``x0`` moved by ``epsilon`` times the start."""
        return x0 + astensor(self.start) * epsilon

    def value_and_grad(
        self, loss_fn: Callable[[EagerTensor], EagerTensor], x: EagerTensor
    ) -> tuple[EagerTensor, EagerTensor]:
        """Return the loss and its gradient; the first is looked at for images that it leaves where they are."""
        loss, gradients = super().value_and_grad(loss_fn, x)
        if self.flat is None:
            self.flat = is_flat(gradients.raw)
        return loss, gradients


class LinfDescent(Descent, LinfBaseGradientDescent):
    """Steps along the sign of the gradient, projected to the L∞ ball."""


class L2Descent(Descent, L2BaseGradientDescent):
    """Steps along the gradient at unit length, projected to the L2 ball."""


DESCENTS: dict[Norm, type[Descent]] = {"linf": LinfDescent, "l2": L2Descent}


@dataclass(frozen=True)
class FGSM:
    """One step of size ε along the sign of the gradient; sign(0) = 0, no random start."""

    norm: ClassVar[Norm] = "linf"
    once: ClassVar[bool] = False

    @property
    def passes(self) -> int:
        """Forward passes an image costs: one gradient, and the answer to the result."""
        return 4

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ARG002
        """Return an empty array: nothing is drawn."""
        return np.empty(0, np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Moved:
        """Return the moved images (Goodfellow et al. 2015, §4)."""
        return descended(DESCENTS[self.norm](start, 1, 1.0), model, images, labels, epsilon)


class L2FGSM(FGSM):
    """One step of length ε along the gradient, in the L2 ball; no random start."""

    norm: ClassVar[Norm] = "l2"


@dataclass(frozen=True)
class BIM:
    """Steps of ``rel_stepsize`` · ε along the sign of the gradient from the image itself, each projected.

    Kurakin et al. 2017; the defaults are foolbox's 10 steps of 0.2 ε, the "standard gradient descent" of seed 004.
    """

    norm: ClassVar[Norm] = "linf"
    once: ClassVar[bool] = False
    steps: int = 10
    rel_stepsize: float = 0.2

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise ValueError(f"expected steps >= 1, got {self.steps!r}")
        if not self.rel_stepsize > 0:
            raise ValueError(f"expected rel_stepsize > 0, got {self.rel_stepsize!r}")

    @property
    def passes(self) -> int:
        """Forward passes an image costs: a gradient a step, and the answer to the result."""
        return 3 * self.steps + 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ARG002
        """Return an empty array: nothing is drawn."""
        return np.empty(0, np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Moved:
        """Return the moved images."""
        return descended(DESCENTS[self.norm](start, self.steps, self.rel_stepsize), model, images, labels, epsilon)


class L2BIM(BIM):
    """Steps of ``rel_stepsize`` · ε along the gradient at unit length, from the image itself, in the L2 ball."""

    norm: ClassVar[Norm] = "l2"


@dataclass(frozen=True)
class PGD(BIM):
    """Steps of ``rel_stepsize`` · ε from a uniform start, each projected to the ball and to [0, 1].

    Madry et al. 2018, §2.1. The default is foolbox's 40 steps of ε/30; ``pgd(steps=10, rel_stepsize=0.25)`` is the
    common 10 steps of 2/255 at ε = 8/255.
    """

    steps: int = 40
    rel_stepsize: float = 0.0333

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the start of one image, uniform in [−1, 1], in units of ε."""
        return rng.uniform(-1, 1, size=shape).astype(np.float32)


@dataclass(frozen=True)
class L2PGD(PGD):
    """Steps along the gradient at unit length from a start that is uniform in the L2 ball, each projected.

    The default is foolbox's 50 steps of ε/40.
    """

    norm: ClassVar[Norm] = "l2"
    steps: int = 50
    rel_stepsize: float = 0.025

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the start of one image, uniform in the ball, in units of ε.

        The first n of the coordinates of a point on the sphere in n + 2 dimensions (Voelker et al. 2017).
        """
        n = int(np.prod(shape))
        point = rng.standard_normal(n + 2)
        return (point[:n] / np.linalg.norm(point)).reshape(shape).astype(np.float32)


def descended(attack: Descent, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Moved:
    """Return what ``attack`` makes of ``images``.

    Not through its ``__call__``, which asks the network once more what it says to the result.
    """
    moved: Tensor = attack.run(as_foolbox(model, images), images, Misclassification(labels), epsilon=epsilon)
    return Moved(moved, attack.flat)


def as_foolbox(model: nn.Module, images: Tensor) -> PyTorchModel:
    """Return ``model``, of images in [0, 1], as foolbox wants it."""
    return PyTorchModel(model, bounds=(0, 1), device=images.device)
