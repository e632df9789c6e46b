"""The seam of training methods: one question, the loss of this batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.errors import UserError
from robustbench_msda.records import Batch

Criterion = Callable[[Tensor, Tensor], Tensor]


class Augmentation:
    """The base class of training methods, which are frozen dataclasses.

    ``loss`` returns the scalar loss of ``batch``, whose images are (B, C, H, W) in [0, 1] and whose targets are (B, K);
    it edits neither. ``criterion`` takes logits and (B, K) targets. All chance comes from ``rng``; what depends on how
    far the run is comes from ``batch.step``, so that a resumed run goes on as it would have.
    """

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the scalar loss of this batch."""
        raise NotImplementedError

    def refusal(self, model: nn.Module, side: tuple[int, int]) -> str | None:
        """Return why the method cannot train ``model`` on images of ``side`` (H, W); None where it can.

        The trainer asks before the first step. A method made of others is refused where one of them is.
        """
        parts: list[object] = [getattr(self, field.name) for field in fields(self)] if is_dataclass(self) else []
        reasons = (part.refusal(model, side) for part in parts if isinstance(part, Augmentation))
        return next(filter(None, reasons), None)


class InputMixing(Augmentation):
    """The base class of methods that answer with a mixed batch; ``lam`` is everywhere the share of the first image."""

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the mixed batch: images in [0, 1], targets (B, K) whose rows sum to 1."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the mixed batch."""
        mixed = self.mix(batch, rng)
        return criterion(model(mixed.images), mixed.targets)


def draw_partner(batch: Batch, rng: np.random.Generator) -> Tensor:
    """Return (B,) int64, a random permutation: the second image of each pair. It may hold fixed points."""
    return torch.from_numpy(rng.permutation(len(batch.images))).to(batch.images.device)


def mix_targets(targets: Tensor, partner: Tensor, lam: float) -> Tensor:
    """Return ``lam * targets + (1 - lam) * targets[partner]``, (B, K)."""
    return lam * targets + (1 - lam) * targets[partner]


def mixed(batch: Batch, images: Tensor, partner: Tensor, lam: float) -> Batch:
    """Return ``batch`` with mixed ``images`` and with targets mixed by the share ``lam`` of the first image."""
    return replace(batch, images=images, targets=mix_targets(batch.targets, partner, lam))


def require(condition: bool, expected: str, found: object) -> None:
    """Raise ``ValueError`` unless ``condition``: for the fields of a method."""
    if not condition:
        raise ValueError(f"expected {expected}, got {found!r}")


def require_method(method: object, field: str) -> None:
    """Raise ``ValueError`` unless ``method`` is an augmentation: for the fields of methods made of others."""
    require(isinstance(method, Augmentation), f"an augmentation such as {field}=cutmix", method)


def require_fit(method: Augmentation, model: nn.Module, images: Tensor) -> None:
    """Raise ``UserError`` where ``method`` refuses ``images`` (B, C, H, W): for those who did not ask before."""
    if reason := method.refusal(model, (images.shape[-2], images.shape[-1])):
        raise UserError(reason)
