"""Normalisation as the first layer: every model eats images in [0, 1], so ε = 8/255 means the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """``network`` behind the subtraction of ``mean`` and the division by ``std``.

    The two are buffers that no state dict holds: what is kept is the state dict of ``network``, with its own names.

    Attributes:
        network: the bare network, which takes normalised images.
        mean: (C, 1, 1) float32.
        std: (C, 1, 1) float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        check_normalisation(mean, std)
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of ``images`` (B, C, H, W) in [0, 1].

        Raises:
            ValueError: they have another number of channels, which the subtraction would hide.
        """
        if images.shape[1] != len(self.mean):
            raise ValueError(f"expected images of {len(self.mean)} channels, got {images.shape[1]}")
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def check_normalisation(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raise ``ValueError`` unless ``mean`` and ``std`` are finite, one number a channel, and ``std`` is positive."""
    if not 0 < len(mean) == len(std):
        raise ValueError(f"expected one mean and one std a channel, got {len(mean)} and {len(std)}")
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"expected finite means and positive stds, got mean {tuple(mean)} and std {tuple(std)}")
