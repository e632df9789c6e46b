"""Saliency of images by the gradient of the loss, as PuzzleMix and Co-Mixup measure it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Criterion
from robustbench_msda.models.evaluation_mode import evaluation_mode
from robustbench_msda.records import Batch


def input_gradient(model: nn.Module, batch: Batch, criterion: Criterion) -> Tensor:
    """Return the gradient of the loss with respect to the images, (B, C, H, W), float32; parameters get none.

    The network answers in evaluation mode, so batch statistics stay as they are (PuzzleMix, its released code: a
    saliency pass whose gradient is thrown away).
    """
    with evaluation_mode(model):
        images = batch.images.detach().requires_grad_()
        loss = criterion(model(images), batch.targets)
        (gradient,) = torch.autograd.grad(loss, images)
    return gradient.float()


def gradient_saliency(gradient: Tensor) -> Tensor:
    """Return (B, H, W) the root of the mean over channels of the squared ``gradient`` (B, C, H, W)."""
    return gradient.square().mean(1).sqrt()
