"""The only training loop. ``augmentation.loss`` is the one line that knows which method runs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from robustbench_msda import augmentations
from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.errors import UserError
from robustbench_msda.files import write_text, write_whole
from robustbench_msda.models.checkpoints import Checkpoint, save
from robustbench_msda.prediction import predict
from robustbench_msda.progress import Progress, silent
from robustbench_msda.recipes import Recipe
from robustbench_msda.records import Batch
from robustbench_msda.streams import seed, stream
from robustbench_msda.training.batches import TrainingData, epoch_batches, epoch_steps, resident, training_sets
from robustbench_msda.training.losses import LOSSES
from robustbench_msda.training.state import (
    Run,
    finished,
    finished_checkpoint,
    kept_model,
    log_text,
    resume,
    save_state,
    start,
)

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"
STATE = "state.pt"
TEST_BATCH = 500
BAD_BATCH = "not_finite.safetensors"
BATCH_FIELDS = ("images", "targets", "index")


def train(recipe: Recipe, data_dir: Path, out: Path, *, device: str = "cpu", progress: Progress = silent) -> Checkpoint:
    """Return the checkpoint of ``recipe``, trained into the folder ``out``, from where an earlier call was stopped.

    The folder holds ``checkpoint.safetensors`` (self-describing), ``log.csv`` (a row an epoch) and, until it is done,
    ``state.pt``, from which the same call goes on to the same weights bit for bit.

    Raises:
        MissingData: the data set is not in ``data_dir``.
        UserError: the augmentation cannot train this network on these images, ``out`` belongs to another recipe or
            cannot be written, or the loss is not finite.
    """
    augmentation = augmentations.parse(recipe.augmentation)
    if (out / CHECKPOINT).exists():
        checkpoint = finished(recipe, out / CHECKPOINT)
        (out / STATE).unlink(missing_ok=True)
        return checkpoint
    datasets = training_sets(recipe, data_dir)
    dataset = datasets[0]
    run = start(recipe, dataset, torch.device(device))
    data = resident(datasets, recipe.crop_padding, torch.device(device))
    resume(run, recipe, out / STATE)
    while run.epoch < recipe.epochs:
        began = time.perf_counter()
        try:
            loss = train_epoch(run, recipe, augmentation, data, progress)
        except LossNotFinite as stopped:
            raise kept_batch(stopped, recipe, out) from None
        seconds = time.perf_counter() - began
        error = checked_error(run, dataset, recipe, out)
        run.epoch += 1
        run.rows.append(
            {
                "epoch": run.epoch,
                "train_loss": loss,
                "test_error": error,
                "images_per_s": len(data.labels) / seconds,
                "seconds": seconds,
            }
        )
        # The log first: after a kill between the two, the epoch is done again and its row replaced.
        write_text(out / LOG, log_text(run.rows))
        save_state(run, recipe, out / STATE)
    checkpoint = finished_checkpoint(run, recipe, dataset)
    save(checkpoint, out / CHECKPOINT)
    (out / STATE).unlink(missing_ok=True)
    return checkpoint


class LossNotFinite(Exception):
    """The loss of a global batch was not finite.

    Attributes:
        batches: the batch, a part a replica, before the augmentation.
    """

    def __init__(self, batches: list[Batch]) -> None:
        super().__init__(f"step {batches[0].step}")
        self.batches = batches


def kept_batch(stopped: LossNotFinite, recipe: Recipe, out: Path) -> UserError:
    """Return what to tell the user of a loss that is not finite, after the batch was written to ``out``."""
    first = stopped.batches[0]
    tensors = {name: torch.cat([getattr(batch, name) for batch in stopped.batches]) for name in BATCH_FIELDS}
    write_whole(
        out / BAD_BATCH, lambda path: save_file({name: each.cpu().contiguous() for name, each in tensors.items()}, path)
    )
    return UserError(
        f"{out}: the loss of step {first.step + 1} is not finite; its batch is in {BAD_BATCH}; "
        f"lower lr (it is {recipe.lr}) or set clip_norm"
    )


def train_epoch(run: Run, recipe: Recipe, augmentation: Augmentation, data: TrainingData, progress: Progress) -> float:
    """Train ``run`` for one pass over ``data`` and return the mean loss of its images.

    Raises:
        LossNotFinite: the loss of a batch is not; it is noticed a step later, so that no step waits for the last one.
    """
    run.model.train()
    device = data.padded.device
    rngs = [stream("augmentation", recipe.seed, run.epoch, replica) for replica in range(recipe.replicas)]
    unseen: list[tuple[list[Batch], Tensor]] = []
    total, count = torch.zeros((), device=device), 0
    last = epoch_steps(recipe, len(data.labels)) * recipe.epochs
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # What models draw for themselves (dropout) must not depend on where a run was resumed.
        torch.manual_seed(seed("model", recipe.seed, run.epoch))
        for batches in epoch_batches(recipe, data, run.epoch):
            size = sum(len(batch.images) for batch in batches)
            loss = train_step(run, recipe, augmentation, batches, rngs)
            total += loss * size
            count += size
            unseen.append((batches, loss))
            if len(unseen) > 1:
                check_finite(*unseen.pop(0))
            progress(batches[0].step + 1, last, f"epoch {run.epoch + 1}/{recipe.epochs}")
    for batches, loss in unseen:
        check_finite(batches, loss)
    return float(total) / count


def check_finite(batches: list[Batch], loss: Tensor) -> None:
    """Raise ``LossNotFinite`` for these batches if their ``loss`` is not finite."""
    if not math.isfinite(float(loss)):
        raise LossNotFinite(batches)


def train_step(
    run: Run, recipe: Recipe, augmentation: Augmentation, batches: list[Batch], rngs: list[np.random.Generator]
) -> Tensor:
    """Take one step on a global batch, given as one batch a replica, and return its mean loss."""
    set_learning_rate(run.optimizer, learning_rate(recipe, batches[0].progress))
    run.optimizer.zero_grad(set_to_none=True)
    size = sum(len(batch.images) for batch in batches)
    total = torch.zeros((), device=batches[0].images.device)
    for batch, rng in zip(batches, rngs, strict=True):
        with torch.autocast(total.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss = augmentation.loss(run.model, batch, LOSSES[recipe.loss], rng)
        share = loss * (len(batch.images) / size)
        share.backward()
        total += share.detach()
    if recipe.clip_norm:
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_norm)
    run.optimizer.step()
    if run.average is not None:
        run.average.update_parameters(run.model)
    return total


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate of the step that begins when the share ``progress``, in [0, 1), of the run is done."""
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    if recipe.schedule == "multi_step":
        return recipe.lr * recipe.gamma ** sum(progress >= milestone - 1e-9 for milestone in recipe.milestones)
    done = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.final_lr + (recipe.lr - recipe.final_lr) * (1 + math.cos(math.pi * done)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def checked_error(run: Run, dataset: Dataset, recipe: Recipe, out: Path) -> float:
    """Return the test error after an epoch, or raise ``UserError``: an answer is not finite."""
    try:
        return test_error(run, dataset, recipe)
    except UserError as error:
        raise UserError(f"{out}: {error}; in epoch {run.epoch + 1}; lower lr (it is {recipe.lr})") from None


def test_error(run: Run, dataset: Dataset, recipe: Recipe) -> float:
    """Return the test error of the kept weights in the recipe's precision: a figure for the log, not a result."""
    model = kept_model(run).eval()
    device = model.get_buffer("mean").device
    images, labels = dataset.images("test"), torch.from_numpy(np.array(dataset.labels("test"), dtype=np.int64))

    def batches() -> Iterator[Batch]:
        for index in torch.arange(len(labels)).split(TEST_BATCH):
            pixels = torch.from_numpy(np.array(images[index[0] : index[-1] + 1])).to(device)
            yield Batch(pixels.permute(0, 3, 1, 2).float().div_(255), labels[index], index)

    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        return 1.0 - float(predict(model, batches()).correct.mean())
