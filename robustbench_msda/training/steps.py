"""One step of training: the gradient of a global batch, and the rate at which it is followed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.recipes import Recipe
from robustbench_msda.training.batches import GlobalBatch
from robustbench_msda.training.distributed import ALONE, Group
from robustbench_msda.training.losses import LOSSES
from robustbench_msda.training.replicas import Replica, Statistics, drawing_for
from robustbench_msda.training.state import Run


def train_step(
    run: Run,
    recipe: Recipe,
    augmentation: Augmentation,
    whole: GlobalBatch,
    replicas: list[Replica],
    group: Group = ALONE,
) -> Tensor:
    """Take one step on a global batch, of which ``group`` says what is this process's, and return its mean loss."""
    device = whole.batches[0].images.device
    set_learning_rate(run.optimizer, learning_rate(recipe, whole.batches[0].progress))
    run.optimizer.zero_grad(set_to_none=True)
    statistics = Statistics(run.model.network, recipe.replicas)
    total = torch.zeros((), device=device)
    for batch, replica in zip(whole.batches, replicas, strict=True):
        with statistics.noted(), drawing_for(replica, device):
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = augmentation.loss(run.model, batch, LOSSES[recipe.loss], replica.rng)
            share = loss * (len(batch.images) / whole.size)
            share.backward()
            total += share.detach()
    statistics.keep(group)
    group.add_gradients(list(run.model.parameters()))
    if recipe.clip_norm:
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_norm)
    run.optimizer.step()
    if run.average is not None:
        run.average.update_parameters(run.model)
    return group.add(total)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate of the step that begins when the share ``progress``, in [0, 1), of the run is done."""
    if progress < recipe.warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * progress / recipe.warmup
    if recipe.schedule == "multi_step":
        return recipe.lr * recipe.gamma ** sum(progress >= milestone - 1e-9 for milestone in recipe.milestones)
    done = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.final_lr + (recipe.lr - recipe.final_lr) * (1 + math.cos(math.pi * done)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
