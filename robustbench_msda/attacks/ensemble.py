"""AutoAttack, by its authors' package, which is on no registry; imported only where it runs.

Croce, Hein: Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-Free Attacks, ICML
2020, arXiv:2003.01690.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.attacks.base import Moved, Norm

PACKAGE = "autoattack"
# Of the targeted attacks of the standard version, beside the image's own class.
FEWEST_CLASSES = 10
NAMES: dict[Norm, str] = {"linf": "Linf", "l2": "L2"}


def is_installed() -> bool:
    """Return whether the package can be imported."""
    return find_spec(PACKAGE) is not None


@dataclass(frozen=True)
class AutoAttack:
    """The standard version in the L∞ ball: APGD-CE, APGD-T, FAB-T and Square, each on the images still correct.

    Unlike the other attacks' its draws depend on the images of a batch together: they are the package's own, seeded by
    the first image, so that the same batches give the same result. The interface is that of fra31/auto-attack 1b76134.
    """

    norm: ClassVar[Norm] = "linf"
    once: ClassVar[bool] = False

    @property
    def passes(self) -> int:
        """Forward passes an image costs that withstands all four: 100 + 900 + 900 gradients and 5,000 queries."""
        return 3 * 1900 + 5000

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ARG002
        """Return (1,) a seed: whole, and small enough for a float32 to hold."""
        return rng.integers(1 << 24, size=1).astype(np.float32)

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Moved:
        """Return the moved images; torch's global generator is left as it was."""
        from autoattack import AutoAttack as Theirs  # type: ignore[import-not-found]

        device = images.device
        # What it prints is no data.
        with torch.random.fork_rng([device] if device.type == "cuda" else []), redirect_stdout(sys.stderr):
            attack = Theirs(
                model,
                norm=NAMES[self.norm],
                eps=epsilon,
                seed=int(start[0]),
                verbose=False,
                version="standard",
                device=str(device),
            )
            return Moved(attack.run_standard_evaluation(images, labels, bs=len(images)))


class L2AutoAttack(AutoAttack):
    """The same in the L2 ball."""

    norm: ClassVar[Norm] = "l2"
