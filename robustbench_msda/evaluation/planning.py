"""What an evaluation has to do: every cell, done or missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from robustbench_msda.benchmarks import Benchmark, Missing, Setting, benchmarks_of
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import UserError, pick
from robustbench_msda.models.checkpoints import Checkpoint
from robustbench_msda.records import PART_SIZE, Cell, World, limited
from robustbench_msda.results.store import Results

BATCH_SIZE = 250


@dataclass(frozen=True)
class Task:
    """A cell that an evaluation needs, and whether it is done."""

    benchmark: Benchmark
    cell: Cell
    setting: Setting
    world: World
    done: bool


@dataclass(frozen=True)
class Plan:
    """All that an evaluation of one checkpoint would do.

    Attributes:
        tasks: every cell, in order.
        skipped: the benchmarks that cannot run here, and why.
    """

    tasks: tuple[Task, ...]
    skipped: Mapping[str, Missing]

    @property
    def missing(self) -> tuple[Task, ...]:
        """The cells that are not done."""
        return tuple(task for task in self.tasks if not task.done)

    @property
    def passes(self) -> int:
        """Forward passes that the missing cells cost."""
        return sum(task.benchmark.passes(task.cell) * images_of(task) for task in self.missing)


def plan(
    checkpoint: Checkpoint,
    limits: Mapping[str, int] | int,
    data_dir: Path,
    results: Results,
    *,
    device: str = "cpu",
    batch_size: int = BATCH_SIZE,
) -> Plan:
    """Return the cells of ``checkpoint`` on the benchmarks of ``limits``, done and missing.

    Args:
        checkpoint: what to evaluate.
        limits: benchmark name to how many test images, 0 for all; a number is that of every benchmark.
        data_dir: where data sets are.
        results: where predictions are kept.
        device: ``cpu``, ``cuda``, ``cuda:1`` …
        batch_size: images a batch.

    Raises:
        UnknownName: there is no such benchmark for the checkpoint's data set.
        MissingData: its data set is not in ``data_dir``.
        UserError: it answers with other classes than the data set has.
    """
    dataset = open_dataset(checkpoint.dataset, data_dir)
    check_classes(checkpoint, dataset)
    table = benchmarks_of(dataset.name)
    chosen = dict.fromkeys(table, limits) if isinstance(limits, int) else limits
    tasks: list[Task] = []
    skipped = {}
    for name, limit in chosen.items():
        benchmark = pick(table, name, f"benchmark of {dataset.name}")
        setting = Setting(dataset, data_dir, torch.device(device), limit, batch_size)
        missing = benchmark.needs(setting)
        if missing:
            skipped[benchmark.name] = missing
            continue
        world = World(dataset.fingerprint("test"), benchmark.version, limit)
        for cell in benchmark.cells(checkpoint.fingerprint, setting):
            tasks.append(Task(benchmark, cell, setting, world, results.has(cell, world)))
    return Plan(tuple(tasks), skipped)


def test_size(task: Task) -> int:
    """Return how many test images the world of ``task`` takes."""
    return len(limited(len(task.setting.dataset.labels("test")), task.setting.limit))


def images_of(task: Task) -> int:
    """Return how many images the part of ``task`` holds."""
    return min(PART_SIZE, test_size(task) - task.cell.part * PART_SIZE)


def check_classes(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Raise ``UserError`` unless ``checkpoint`` answers with the classes of ``dataset``."""
    if len(checkpoint.classes) != len(dataset.classes):
        raise UserError(
            f"the checkpoint has {len(checkpoint.classes)} classes, the data set {dataset.name} has "
            f"{len(dataset.classes)}; give the --dataset it was trained for"
        )
    for k, (ours, theirs) in enumerate(zip(checkpoint.classes, dataset.classes, strict=True)):
        if ours != theirs:
            raise UserError(
                f"class {k} is {ours!r} to the checkpoint and {theirs!r} in the data set {dataset.name}; "
                "prepare the data set with the classes in the checkpoint's order"
            )
