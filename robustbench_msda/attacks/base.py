"""What an attack is, and the checks every attack passes through."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

# Float32 rounding of x + (x' - x), with room for the last bit of ε itself.
ROUNDING = 1e-6


class Attack(Protocol):
    """An attack in the L∞ ball, a frozen dataclass.

    Attributes:
        passes: forward passes of the network an image costs, a gradient counted as three.
    """

    @property
    def passes(self) -> int:
        """Forward passes an image costs."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return what one image of ``shape`` (C, H, W) draws: uniform in [−1, 1], or an empty array."""

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Tensor:
        """Return the attacked images, (B, C, H, W) in [0, 1], within ``epsilon`` of ``images``.

        Args:
            model: in evaluation mode, its parameters frozen; takes images in [0, 1].
            images: (B, C, H, W) in [0, 1], left untouched.
            labels: (B,) int64.
            epsilon: in pixel units, 8/255 not 8.
            start: what ``draw`` returned for each image, stacked.
        """


def check_ball(images: Tensor, attacked: Tensor, epsilon: float) -> Tensor:
    """Return (B,) the largest change of each image.

    Raises:
        ValueError: an attacked image is not finite, or left [0, 1] or the ball.
    """
    delta = (attacked - images).abs().flatten(1).amax(1)
    inside = attacked.isfinite().all() and (attacked >= 0).all() and (attacked <= 1).all()
    if not inside or not (delta <= epsilon + ROUNDING).all():
        raise ValueError(
            f"expected images in [0, 1] within {epsilon:.6g}, got a change of {float(delta.max()):.6g} "
            f"and values in [{float(attacked.min()):.6g}, {float(attacked.max()):.6g}]"
        )
    return delta
