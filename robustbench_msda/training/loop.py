"""The only training loop. ``augmentation.loss`` is the one line that knows which method runs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
from robustbench_msda.training.batches import TrainingImages, epoch_batches, epoch_steps, training_sets
from robustbench_msda.training.board import board
from robustbench_msda.training.cost import write_cost
from robustbench_msda.training.distributed import ALONE, Group, joined
from robustbench_msda.training.execution import PLAIN, Execution
from robustbench_msda.training.images import training_images
from robustbench_msda.training.replicas import replicas_of
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
from robustbench_msda.training.steps import train_step

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"
STATE = "state.pt"
TEST_BATCH = 500
BAD_BATCH = "not_finite.safetensors"
BATCH_FIELDS = ("images", "targets", "index")
# Waiting for less of an epoch is not worth a word.
LONG_WAIT = 0.1


@dataclass(frozen=True)
class Work:
    """What is trained on what, and by whom.

    Attributes:
        recipe: what is trained.
        augmentation: of the recipe.
        dataset: whose test images are answered after each epoch.
        data: the training images.
        group: the processes that share the work.
    """

    recipe: Recipe
    augmentation: Augmentation
    dataset: Dataset
    data: TrainingImages
    group: Group = ALONE


class Epoch(NamedTuple):
    """What came of one pass over the training images.

    Attributes:
        loss: the mean over the images.
        seconds: wall time of the training steps.
        waiting: the share of it that the network waited for images.
    """

    loss: float
    seconds: float
    waiting: float


def train(
    recipe: Recipe,
    data_dir: Path,
    out: Path,
    *,
    device: str = "cpu",
    how: Execution = PLAIN,
    progress: Progress = silent,
) -> Checkpoint:
    """Return the checkpoint of ``recipe``, trained into the folder ``out``, from where an earlier call was stopped.

    The folder holds ``checkpoint.safetensors`` (self-describing), ``log.csv`` (a row an epoch), ``cost.json`` and,
    until it is done, ``state.pt``, from which the same call goes on to the same weights bit for bit. Under torchrun the
    processes share the replicas of each global batch, and the first keeps the files.

    Args:
        recipe: what is trained.
        data_dir: where its data set is.
        out: the run folder; under torchrun on several machines, one they share.
        device: ``cpu``, ``cuda``, ``cuda:1`` …; under torchrun ``cuda`` is each process's own.
        how: what changes the speed alone.
        progress: told in steps.

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
    with joined(device) as (group, own):
        run = start(recipe, datasets[0], own, compiled=how.compiled)
        with training_images(recipe, datasets, own, how.workers) as data:
            work = Work(recipe, augmentation, datasets[0], data, group)
            resume(run, recipe, out / STATE)
            with board(out, run.epoch, how.tensorboard and group.leads) as show:
                while run.epoch < recipe.epochs:
                    run_epoch(run, work, out, progress)
                    show(run.rows[-1])
        checkpoint = finished_checkpoint(run, recipe, datasets[0])
        if group.leads:
            steps = epoch_steps(recipe, len(data.labels))
            write_cost(kept_model(run), datasets[0].side, run.rows, steps, group.size, out)
            save(checkpoint, out / CHECKPOINT)
            (out / STATE).unlink(missing_ok=True)
    return checkpoint


def run_epoch(run: Run, work: Work, out: Path, progress: Progress) -> None:
    """Train ``run`` for an epoch, test it, and keep the log and the state in ``out``.

    Raises:
        UserError: the loss or an answer is not finite.
    """
    try:
        epoch = train_epoch(run, work, progress)
    except LossNotFinite as stopped:
        raise kept_batch(stopped, work, out) from None
    error = checked_error(run, work, out)
    run.epoch += 1
    run.rows.append(
        {
            "epoch": run.epoch,
            "train_loss": epoch.loss,
            "test_error": error,
            "images_per_s": len(work.data.labels) / epoch.seconds,
            "seconds": epoch.seconds,
            "waiting": epoch.waiting,
        }
    )
    if work.group.leads:
        # The log first: after a kill between the two, the epoch is done again and its row replaced.
        write_text(out / LOG, log_text(run.rows))
        save_state(run, work.recipe, out / STATE)


class LossNotFinite(Exception):
    """The loss of a global batch was not finite.

    Attributes:
        batches: what this process had of it, a part a replica, before the augmentation.
    """

    def __init__(self, batches: list[Batch]) -> None:
        super().__init__(f"step {batches[0].step}")
        self.batches = batches


def kept_batch(stopped: LossNotFinite, work: Work, out: Path) -> UserError:
    """Return what to tell the user of a loss that is not finite, after the batch was written to ``out``."""
    first = stopped.batches[0]
    tensors = {name: torch.cat([getattr(batch, name) for batch in stopped.batches]) for name in BATCH_FIELDS}
    kept = {name: each.cpu().contiguous() for name, each in tensors.items()}
    if work.group.leads:
        write_whole(out / BAD_BATCH, lambda path: save_file(kept, path))
    return UserError(
        f"{out}: the loss of step {first.step + 1} is not finite; its batch is in {BAD_BATCH}; "
        f"lower lr (it is {work.recipe.lr}) or set clip_norm"
    )


def train_epoch(run: Run, work: Work, progress: Progress = silent) -> Epoch:
    """Train ``run`` for one pass over the training images.

    Raises:
        LossNotFinite: the loss of a batch is not; it is noticed a step later, so that no step waits for the last one.
    """
    run.model.train()
    recipe, data, device = work.recipe, work.data, work.data.labels.device
    unseen: list[tuple[list[Batch], Tensor]] = []
    total, count, waited, began = torch.zeros((), device=device), 0, 0.0, time.perf_counter()
    last = epoch_steps(recipe, len(data.labels)) * recipe.epochs
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        replicas = replicas_of(recipe, run.epoch, device, work.group)
        batches = epoch_batches(recipe, data, run.epoch, work.group)
        while True:
            asked = time.perf_counter()
            whole = next(batches, None)
            waited += time.perf_counter() - asked
            if whole is None:
                break
            loss = train_step(run, recipe, work.augmentation, whole, replicas, work.group)
            total += loss * whole.size
            count += whole.size
            unseen.append((whole.batches, loss))
            if len(unseen) > 1:
                check_finite(*unseen.pop(0))
            share = waited / (time.perf_counter() - began)
            note = f", {share:.0%} of the time waiting for images" if share > LONG_WAIT else ""
            progress(whole.batches[0].step + 1, last, f"epoch {run.epoch + 1}/{recipe.epochs}{note}")
    for batches_seen, loss in unseen:
        check_finite(batches_seen, loss)
    seconds = time.perf_counter() - began
    return Epoch(float(total) / count, seconds, waited / seconds)


def check_finite(batches: list[Batch], loss: Tensor) -> None:
    """Raise ``LossNotFinite`` for these batches if their ``loss`` is not finite."""
    if not math.isfinite(float(loss)):
        raise LossNotFinite(batches)


def checked_error(run: Run, work: Work, out: Path) -> float:
    """Return the test error after an epoch, or raise ``UserError``: an answer is not finite."""
    try:
        return test_error(run, work)
    except UserError as error:
        raise UserError(f"{out}: {error}; in epoch {run.epoch + 1}; lower lr (it is {work.recipe.lr})") from None


def test_error(run: Run, work: Work) -> float:
    """Return the test error of the kept weights in the recipe's precision: a figure for the log, not a result."""
    model = kept_model(run).eval()
    device = model.mean.device
    images = work.dataset.images("test")
    labels = torch.from_numpy(np.array(work.dataset.labels("test"), dtype=np.int64))
    own = torch.arange(len(labels)).tensor_split(work.group.size)[work.group.rank]

    def batches() -> Iterator[Batch]:
        for index in own.split(TEST_BATCH):
            pixels = torch.from_numpy(np.array(images[int(index[0]) : int(index[-1]) + 1])).to(device)
            yield Batch(pixels.permute(0, 3, 1, 2).float().div_(255), labels[index], index)

    with torch.autocast(device.type, torch.bfloat16, enabled=work.recipe.precision == "bfloat16"):
        correct = torch.tensor(predict(model, batches()).correct.sum(), dtype=torch.float64, device=device)
    return 1.0 - float(work.group.add(correct)) / len(labels)
