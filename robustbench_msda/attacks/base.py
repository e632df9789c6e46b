"""What an attack is, and the checks every attack passes through."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from foolbox.distances import l2, linf
from numpy.typing import NDArray
from torch import Tensor, nn

Norm = Literal["linf", "l2"]
DISTANCES = {"linf": linf, "l2": l2}
# Float32 rounding of x + (x' - x), with room for the last bit of ε itself.
ROUNDING = 1e-6
# The same of one pixel of many, below 1: half the distance to the next number.
PIXEL_ROUNDING = 6e-8


class Moved(NamedTuple):
    """What an attack makes of images, before they are clipped to the ball.

    Attributes:
        images: (B, C, H, W).
        flat: (B,) whether the first gradient the attack asked for was zero or not finite; None where it asks for none.
    """

    images: Tensor
    flat: Tensor | None = None


class Attack(Protocol):
    """An attack on a classifier, a frozen dataclass.

    Attributes:
        norm: of the ball it stays in.
        passes: forward passes of the network an image costs, a gradient counted as three.
        once: whether its images are the same for every ε but for the last clipping, so that they are made once.
    """

    @property
    def norm(self) -> Norm:
        """Of the ball it stays in."""

    @property
    def passes(self) -> int:
        """Forward passes an image costs, the answer to the result among them."""

    @property
    def once(self) -> bool:
        """Whether its images do not depend on ε."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return all chance of one image of ``shape`` (C, H, W), an empty array where there is none."""

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Moved:
        """Return what becomes of ``images``: in [0, 1], not yet clipped to the ball.

        Args:
            model: in evaluation mode, its parameters frozen; takes images in [0, 1].
            images: (B, C, H, W) in [0, 1], left untouched.
            labels: (B,) int64.
            epsilon: the radius of the ball in pixel units, 8/255 not 8.
            start: what ``draw`` returned for each image, stacked.
        """


def perform(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Tensor:
    """Return the images that ``attack`` makes, (B, C, H, W), within ``epsilon`` of ``images`` (see ``Attack.run``)."""
    return clip_to_ball(images, attack.run(model, images, labels, epsilon, start).images, epsilon, attack.norm)


def clip_to_ball(images: Tensor, moved: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """Return ``moved`` with its change of ``images`` clipped to ``epsilon``, as foolbox does before it judges."""
    clipped: Tensor = DISTANCES[norm].clip_perturbation(images, moved, epsilon)
    return clipped


def check_ball(images: Tensor, attacked: Tensor, epsilon: float, norm: Norm = "linf") -> Tensor:
    """Return (B,) the size of the change of each image, in ``norm``.

    Raises:
        ValueError: an attacked image is not finite, or left [0, 1] or the ball.
    """
    delta = change(images, attacked, norm)
    inside = attacked.isfinite().all() and (attacked >= 0).all() and (attacked <= 1).all()
    if not inside or not (delta <= epsilon + rounding(images[0].numel(), norm)).all():
        raise ValueError(
            f"expected images in [0, 1] within {epsilon:.6g}, got a change of {float(delta.max()):.6g} "
            f"and values in [{float(attacked.min()):.6g}, {float(attacked.max()):.6g}]"
        )
    return delta


def change(images: Tensor, attacked: Tensor, norm: Norm) -> Tensor:
    """Return (B,) the norm of ``attacked`` minus ``images``, float32."""
    delta = (attacked - images).abs().flatten(1)
    return delta.amax(1) if norm == "linf" else delta.double().square().sum(1).sqrt().float()


def rounding(pixels: int, norm: Norm) -> float:
    """Return by how much a change of ``pixels`` numbers may exceed its ball for rounding alone."""
    return ROUNDING if norm == "linf" else float(ROUNDING + PIXEL_ROUNDING * np.sqrt(pixels))


def is_flat(gradients: Tensor) -> Tensor:
    """Return (B,) whether the gradients (B, ...) of an image lead nowhere: all exactly zero, or one of them not finite.

    The sign of NaN is 0 in torch, at which an L∞ attack stays where it is.
    """
    of_image = gradients.flatten(1)
    return torch.logical_not(of_image.any(1) & of_image.isfinite().all(1))
