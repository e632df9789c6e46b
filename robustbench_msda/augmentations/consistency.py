"""Jensen–Shannon consistency between views of an image. Hendrycks et al.: AugMix, ICLR 2020, arXiv:1912.02781."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Criterion, require
from robustbench_msda.records import Batch

# google-research/augmix 9b9824c, cifar.py: keeps the logarithm of the mean finite.
SMALLEST_MEAN = 1e-7


def jensen_shannon(logits: Tensor) -> Tensor:
    """Return the scalar divergence of views: KL from their mean, averaged over views and over the batch, in nats.

    It lies in [0, log V] and is 0 where all views agree (Hendrycks et al. 2020, eq. 1 and 2). As in the authors' code
    the mean is kept above 1e-7, which may lower it by up to 4e-8 a class, below 0 even.

    Args:
        logits: (V, B, K). Half precision is raised to float32 first; float64 stays.
    """
    log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    probs = log_probs.exp()
    log_mean = probs.mean(0).clamp(SMALLEST_MEAN, 1).log()
    return (probs * (log_probs - log_mean)).sum(-1).mean()


def require_views(views: int, js_weight: float) -> None:
    """Raise ``ValueError`` unless these fields of a method go together."""
    require(isinstance(views, int) and views >= 1, "whole views >= 1", views)
    require(js_weight >= 0, "js_weight >= 0", js_weight)
    require(js_weight > 0 or views == 1, "views=1 where js_weight=0, which trains on one view and no clean copy", views)


def consistent_loss(model: nn.Module, batch: Batch, views: Tensor, criterion: Criterion, js_weight: float) -> Tensor:
    """Return ``criterion`` on the clean images plus ``js_weight`` times the divergence of clean images and views.

    One forward pass sees all of them, so they share batch statistics. Without a ``js_weight`` there is no clean copy:
    ``criterion`` judges the one view, as the authors' code does without its consistency loss.

    Args:
        model: the network.
        batch: the clean images (B, C, H, W) and their targets.
        views: (V·B, C, H, W), row ``v * B + b`` a view of image b.
        criterion: takes logits (B, K) and targets (B, K).
        js_weight: the weight of the consistency, 12 in the authors' code.
    """
    if js_weight == 0:
        return criterion(model(views), batch.targets)
    logits = model(torch.cat([batch.images, views])).unflatten(0, (-1, len(batch.images)))
    return criterion(logits[0], batch.targets) + js_weight * jensen_shannon(logits)
