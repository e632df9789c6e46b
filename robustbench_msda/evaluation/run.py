"""Evaluating a checkpoint: the cells that are not yet done, in order."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from robustbench_msda import __version__, augmentations
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation.planning import Plan, Task
from robustbench_msda.models.checkpoints import Checkpoint, network
from robustbench_msda.prediction import predict
from robustbench_msda.progress import Progress, silent
from robustbench_msda.recipes import make_recipe
from robustbench_msda.records import Batch, Cell, Predictions
from robustbench_msda.results.store import CheckpointRecord, Results, Sidecar, check_writable, read_cost, world_facts


def evaluate(
    planned: Plan,
    checkpoint: Checkpoint,
    path: Path,
    results: Results,
    *,
    trusted: Collection[str] = (),
    progress: Progress = silent,
) -> dict[Cell, UserError]:
    """Do the missing cells of ``planned`` and return those that could not be done, with the reason.

    Each cell is written whole when it is done; a kill loses the one under way. A cell whose files are damaged, or that
    the network refuses, leaves the others to be done.

    Args:
        planned: made of ``checkpoint`` and ``results``.
        checkpoint: what to evaluate.
        path: where it lies: kept in its record, so that selections can name it.
        results: where predictions are kept.
        trusted: model sources the user typed: only such a source may be a file that is run.
        progress: told in images.

    Raises:
        UserError: the results folder cannot be written, or all cells failed for one reason.
    """
    check_writable(results.root)
    results.add_checkpoint(record_of(checkpoint, path))
    todo = planned.missing
    if not todo:
        return {}
    model = network(checkpoint, todo[0].setting.device, trusted)
    failed: dict[Cell, UserError] = {}
    total, done = planned.images, 0
    for task in todo:
        note = " ".join(filter(None, (task.cell.benchmark, task.cell.condition, task.cell.level)))

        def advance(images: int, base: int = done, note: str = note) -> None:
            progress(base + images, total, note)

        # Another process may have done it meanwhile.
        if not results.has(task.cell, task.world):
            try:
                do(task, model, results, advance)
            except CellError as error:
                failed[task.cell] = error.reason
        done += task.images
    progress(total, total)
    if len(failed) == len(todo) and len({str(reason) for reason in failed.values()}) == 1:
        raise next(iter(failed.values()))
    return failed


class CellError(Exception):
    """A cell cannot be done, for a reason that need not be every cell's."""

    def __init__(self, reason: UserError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def do(task: Task, model: nn.Module, results: Results, advance: Callable[[int], None]) -> None:
    """Predict one cell and keep the answer.

    Raises:
        CellError: its stimuli cannot be read, or the network cannot answer them.
        UserError: the answer cannot be kept.
    """
    began = time.perf_counter()
    checks: Counter[str] = Counter()
    try:
        predictions = predicted(task, model, advance, checks)
    except UserError as error:
        raise CellError(error) from error
    sidecar = Sidecar(
        cell=task.cell,
        world=world_facts(task.world),
        n=len(predictions),
        parts=task.benchmark.parts(task.cell, task.setting),
        seconds=round(time.perf_counter() - began, 3),
        batch_size=task.setting.batch_size,
        device=device_name(task.setting.device),
        threads=torch.get_num_threads(),
        host=socket.gethostname(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"robustbench_msda": __version__, "torch": torch.__version__, "numpy": np.__version__},
        checks=dict(checks),
    )
    results.write(task.world, predictions, sidecar)


def predicted(task: Task, model: nn.Module, advance: Callable[[int], None], checks: Counter[str]) -> Predictions:
    """Return what ``model`` answers to the stimuli of ``task``, which are made ahead of it.

    Images that failed a check are counted in ``checks``, by its name.
    """
    made = task.benchmark.stimuli(task.cell, task.setting, model)
    stimuli = ahead(counted(tallied(made, checks), advance))
    classes = len(task.setting.dataset.classes)
    return predict(model, stimuli, keep_logits=task.benchmark.keeps_logits, classes=classes)


def tallied(batches: Iterable[Batch], checks: Counter[str]) -> Iterator[Batch]:
    """Yield ``batches``, adding to ``checks`` how many of their images failed each."""
    for batch in batches:
        checks.update(batch.checks)
        yield batch


def counted(batches: Iterable[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    """Yield ``batches``, telling ``advance`` how many images have gone by."""
    images = 0
    for batch in batches:
        yield batch
        images += len(batch.images)
        advance(images)


def ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield ``batches``, the next one made in a thread while the network works on this one."""
    iterator = iter(batches)
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, iterator, None)
        while (batch := upcoming.result()) is not None:
            upcoming = pool.submit(next, iterator, None)
            yield batch


def record_of(checkpoint: Checkpoint, path: Path) -> CheckpointRecord:
    """Return what the results keep of ``checkpoint``, which lies at ``path``.

    Raises:
        UserError: what it says of its recipe is none.
    """
    recipe = make_recipe(checkpoint.recipe, f"the recipe in {path}") if checkpoint.recipe else None
    here = path.resolve()
    return CheckpointRecord(
        fingerprint=checkpoint.fingerprint,
        source=checkpoint.source,
        options=dict(checkpoint.options),
        dataset=checkpoint.dataset,
        classes=checkpoint.classes,
        mean=checkpoint.mean,
        std=checkpoint.std,
        path=str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here),
        recipe=dict(checkpoint.recipe) if checkpoint.recipe else None,
        recipe_id=recipe.id if recipe else "",
        group=recipe.group if recipe else "",
        seed=recipe.seed if recipe else None,
        augmentation=augmentations.short(recipe.augmentation) if recipe else "",
        cost=read_cost(path.parent) if recipe else None,
    )


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
