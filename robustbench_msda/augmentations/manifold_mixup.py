"""Manifold Mixup. Verma et al.: Manifold Mixup: Better Representations by Interpolating Hidden States, ICML 2019."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation, Criterion, draw_partner, mix_targets, require
from robustbench_msda.augmentations.mixup import mixup
from robustbench_msda.models.stages import answers_once, stages
from robustbench_msda.records import Batch

LAYERS = 3


@dataclass(frozen=True)
class ManifoldMixup(Augmentation):
    """Mixup of the input, of what the first stage answers, or of what the second answers: drawn once a batch.

    λ ~ Beta(α, α); α is 2 for CIFAR (ibid., §5.1). Layers before the mixed one see clean data, layers after it mixed
    data. Networks whose stages cannot be told by their names, or do not answer with one tensor, are refused.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)

    def refusal(self, model: nn.Module, side: tuple[int, int]) -> str | None:
        """Return why hidden features of ``model`` cannot be mixed; None where they can."""
        found = stages(model)
        if len(found) < LAYERS - 1:
            return (
                f"manifold_mixup needs a network with stages such as layer1 and layer2, found {len(found)}: use mixup"
            )
        images = torch.zeros(2, len(model.get_buffer("mean")), *side, device=model.get_buffer("mean").device)
        if answers_once(model, found[: LAYERS - 1], images):
            return None
        return "manifold_mixup needs a network whose first two stages each answer once with one tensor: use mixup"

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the network whose features are mixed at the layer that was drawn."""
        lam = float(rng.beta(self.alpha, self.alpha))
        partner = draw_partner(batch, rng)
        logits = mixed_at(model, batch.images, int(rng.integers(LAYERS)), partner, lam)
        return criterion(logits, mix_targets(batch.targets, partner, lam))


def mixed_at(model: nn.Module, images: Tensor, layer: int, partner: Tensor, lam: float) -> Tensor:
    """Return the logits (B, K) of ``images`` (B, C, H, W) with features mixed at ``layer``: 0 is the input.

    Args:
        model: a network with at least ``layer`` stages.
        images: left untouched.
        layer: 1 is the answer of the first stage.
        partner: (B,) the index of the second image.
        lam: the share of the first image.
    """
    if layer == 0:
        logits: Tensor = model(mixup(images, partner, lam))
        return logits
    stage = stages(model)[layer - 1]
    hook = stage.register_forward_hook(lambda _module, _inputs, hidden: mixup(hidden, partner, lam))
    try:
        # What torch.compile made of the network does not know of the hook.
        with torch.compiler.set_stance("force_eager"):
            answer: Tensor = model(images)
    finally:
        hook.remove()
    return answer
