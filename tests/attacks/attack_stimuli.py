"""A small network and images to attack."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.attacks.base import Attack
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.streams import stream

EPSILON = 8 / 255


def small_network() -> nn.Module:
    """Return a network of five classes, frozen, as ``network`` returns them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bare = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, 5))
    return Normalised(bare, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)).eval().requires_grad_(False)


def stimuli(n: int = 6) -> tuple[Tensor, Tensor]:
    """Return images with black and white pixels, where the ball leaves [0, 1], and labels."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(n, 3, 8, 8, generator=generator) * 1.4 - 0.2).clamp(0, 1), torch.arange(n) % 5


def starts(attack: Attack, n: int = 6) -> Tensor:
    """Return what ``attack`` draws for each of ``stimuli``."""
    return torch.from_numpy(np.stack([attack.draw(stream("test", "start", i), (3, 8, 8)) for i in range(n)]))


def gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the summed cross-entropy with respect to ``images``."""
    leaf = images.clone().requires_grad_(True)
    (grad,) = torch.autograd.grad(functional.cross_entropy(model(leaf), labels, reduction="sum"), leaf)
    return grad
