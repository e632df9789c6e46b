"""What an evaluation has to do: every cell, done or missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from robustbench_msda.benchmarks import Benchmark, Missing, Setting, benchmarks_of
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import UserError, pick
from robustbench_msda.evaluation.place import Place
from robustbench_msda.models.checkpoints import Checkpoint
from robustbench_msda.records import Cell, World
from robustbench_msda.results.store import Results

# A call that gives a network, on the device and ready to be attacked.
Substitute = Callable[[], nn.Module]
NO_SUBSTITUTES: Mapping[str, Substitute] = {}


@dataclass(frozen=True)
class Task:
    """A cell that an evaluation needs, and whether it is done."""

    benchmark: Benchmark
    cell: Cell
    setting: Setting
    world: World
    done: bool

    @property
    def images(self) -> int:
        """Images, or frames, of its part."""
        return self.benchmark.images(self.cell, self.setting)

    @property
    def passes(self) -> int:
        """Forward passes it costs."""
        return self.benchmark.passes(self.cell, self.setting) * self.images


@dataclass(frozen=True)
class Plan:
    """All that an evaluation of one checkpoint would do.

    Attributes:
        tasks: every cell, in order.
        skipped: the benchmarks that cannot run here, and why.
        lacking: of the benchmarks that can, the conditions that are not here.
    """

    tasks: tuple[Task, ...]
    skipped: Mapping[str, Missing]
    lacking: Mapping[str, Sequence[str]]

    @property
    def missing(self) -> tuple[Task, ...]:
        """The cells that are not done."""
        return tuple(task for task in self.tasks if not task.done)

    @property
    def passes(self) -> int:
        """Forward passes that the missing cells cost."""
        return sum(task.passes for task in self.missing)

    @property
    def images(self) -> int:
        """Images, or frames, that the missing cells hold."""
        return sum(task.images for task in self.missing)


def plan(
    checkpoint: Checkpoint,
    limits: Mapping[str, int] | int,
    place: Place,
    substitutes: Mapping[str, Substitute] = NO_SUBSTITUTES,
) -> Plan:
    """Return the cells of ``checkpoint`` on the benchmarks of ``limits``, done and missing.

    Args:
        checkpoint: what to evaluate.
        limits: benchmark name to how many test images, 0 for all; a number is that of every benchmark but those that
            are run only where they are named.
        place: where data sets and predictions are, and the device.
        substitutes: networks, by fingerprint, whose attacked images it is shown too (see ``Setting``).

    Raises:
        UnknownName: there is no such benchmark for the checkpoint's data set.
        MissingData: its data set is not in ``data_dir``.
        UserError: it answers with other classes, or takes images of other channels, than the data set has.
    """
    dataset = open_dataset(checkpoint.dataset, Path(place.data_dir))
    check_classes(checkpoint, dataset)
    check_channels(checkpoint, dataset)
    table = benchmarks_of(dataset.name)
    chosen = dict.fromkeys(table, limits) if isinstance(limits, int) else limits
    tasks: list[Task] = []
    skipped: dict[str, Missing] = {}
    lacking: dict[str, Sequence[str]] = {}
    for name, limit in chosen.items():
        benchmark = pick(table, name, f"benchmark of {dataset.name}")
        setting = setting_of(dataset, place, limit, substitutes)
        asked = not isinstance(limits, int)
        if missing := benchmark.needs(setting) or (None if asked else benchmark.unasked(setting)):
            skipped[benchmark.name] = missing
            continue
        if lacks := benchmark.lacks(setting):
            lacking[benchmark.name] = lacks
        tasks += tasks_of(benchmark, checkpoint.fingerprint, setting, place.store)
    return Plan(tuple(tasks), skipped, lacking)


def setting_of(
    dataset: Dataset, place: Place, limit: int = 0, substitutes: Mapping[str, Substitute] = NO_SUBSTITUTES
) -> Setting:
    """Return where the stimuli of an evaluation at ``place`` are made."""
    return Setting(
        dataset,
        Path(place.data_dir),
        torch.device(place.device),
        limit,
        place.batch_size,
        place.allow_partial,
        place.store.adversarial,
        substitutes,
    )


def tasks_of(benchmark: Benchmark, fingerprint: str, setting: Setting, results: Results) -> Iterator[Task]:
    """Yield every cell of ``benchmark`` for a checkpoint."""
    world = World(benchmark.data(setting), benchmark.version, setting.limit)
    for cell in benchmark.cells(fingerprint, setting):
        yield Task(benchmark, cell, setting, world, results.has(cell, world))


def check_channels(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Raise ``UserError`` unless ``checkpoint`` takes images of as many channels as those of ``dataset``."""
    if len(checkpoint.mean) != dataset.channels:
        raise UserError(
            f"the checkpoint takes images of {len(checkpoint.mean)} channels, the data set {dataset.name} has "
            f"{dataset.channels} (3: RGB, 1: grey); give the data it was trained on, and as many numbers to --mean"
        )


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
