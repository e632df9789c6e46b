"""Adversarial training. Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, require
from robustbench_msda.augmentations.gradients import input_gradient
from robustbench_msda.records import Batch


@dataclass(frozen=True)
class AdversarialTraining(Augmentation):
    """The loss of attacked images alone: PGD in the L∞ ball from a uniform start.

    The Dynamic Mixup paper names the method and none of its settings: ten steps of 2/255 at ε = 8/255 are the usual
    ones. ``epsilon`` and ``step`` are in pixel units of images in [0, 1]. Differs from the paper:
    the network is attacked in evaluation mode, so that batch statistics are those of the images it is trained on.
    """

    epsilon: float = 8 / 255
    step: float = 2 / 255
    steps: int = 10

    def __post_init__(self) -> None:
        require(0 < self.epsilon <= 1, "epsilon in (0, 1], such as 0.0314", self.epsilon)
        require(self.step > 0, "step > 0", self.step)
        require(isinstance(self.steps, int) and self.steps >= 1, "steps >= 1", self.steps)

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the attacked batch; targets stay as they are."""
        generator = torch.Generator(batch.images.device).manual_seed(int(rng.integers(2**63)))
        start = torch.empty_like(batch.images).uniform_(-self.epsilon, self.epsilon, generator=generator)
        attacked = self.attack(model, batch, criterion, start)
        return criterion(model(attacked), batch.targets)

    def attack(self, model: nn.Module, batch: Batch, criterion: Criterion, start: Tensor) -> Tensor:
        """Return the images that raise the loss, (B, C, H, W) in [0, 1], within ``epsilon`` of the batch's.

        Args:
            model: left in the mode it is in.
            batch: what is attacked.
            criterion: what rises.
            start: (B, C, H, W) where the attack begins, a change within ``epsilon``.
        """
        low, high = (batch.images - self.epsilon).clamp(min=0), (batch.images + self.epsilon).clamp(max=1)
        attacked = (batch.images + start).clamp(low, high)
        for _ in range(self.steps):
            gradient = input_gradient(model, replace(batch, images=attacked), criterion)
            attacked = (attacked + self.step * gradient.sign()).clamp(low, high)
        return attacked
