"""The seam of evaluation: a benchmark lists its cells, makes their stimuli and turns predictions into scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.data.datasets import Dataset
from robustbench_msda.records import PART_SIZE, Batch, Cell, Predictions, Score, limited, parts

RGB = 3


@dataclass(frozen=True)
class Missing:
    """Why a benchmark cannot run here, and the command or step that would change that."""

    reason: str
    remedy: str


@dataclass(frozen=True)
class Setting:
    """Where stimuli are made: shared by the cells of a run, and no part of any result's identity but the limit.

    Attributes:
        dataset: what the checkpoint classifies.
        data_dir: where official benchmark files lie.
        device: where images are made and networks run.
        limit: how many images (or videos), 0 for all.
        batch_size: images a batch.
        allow_partial: take what is there of official files that are not all there.
        adversarial: where attacked images are kept that several cells read; None to make them anew for each.
        substitutes: networks that are attacked in place of the evaluated one, by fingerprint: each a call that gives
            it, on the device and ready to be attacked.
    """

    dataset: Dataset
    data_dir: Path
    device: torch.device
    limit: int = 0
    batch_size: int = 250
    allow_partial: bool = False
    adversarial: Path | None = None
    substitutes: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """Another checkpoint, whose errors normalise.

    Attributes:
        name: how it is named in flags.
        errors: (condition, level) to its error, or to its flip probability, on the same benchmark and limit.
        clean_error: its error on the clean images of the same limit; None where that was not predicted.
    """

    name: str
    errors: Mapping[tuple[str, str], float]
    clean_error: float | None = None


@dataclass(frozen=True)
class Basis:
    """What aggregates rest on beside the predictions of their benchmark.

    Attributes:
        clean_error: of the same checkpoint on the clean images of the same limit; None where that was not predicted.
        baseline: whose errors normalise, besides published constants; None for none.
        allow_partial: aggregate what is there, and say of what.
        clean: its answers to the clean images of the same limit; None where these were not predicted.
        checks: of each condition, how many images failed a check of how they were made, by its name (see ``Batch``).
        boxes: of each substitute that attacked images were made of, which box that is: ``gray_box`` for another network
            of the same model source, ``black_box`` for one of another.
    """

    clean_error: float | None = None
    baseline: Baseline | None = None
    allow_partial: bool = False
    clean: Predictions | None = None
    checks: Mapping[Cell, Mapping[str, int]] = field(default_factory=dict)
    boxes: Mapping[str, str] = field(default_factory=dict)


class Benchmark(Protocol):
    """A frozen value in the table of ``benchmarks_of``.

    Attributes:
        name: its stored name, snake_case.
        version: raised whenever its stimuli change.
        keeps_logits: whether predictions hold all logits.
    """

    @property
    def name(self) -> str:
        """Its stored name."""

    @property
    def version(self) -> int:
        """Raised whenever its stimuli change."""

    @property
    def keeps_logits(self) -> bool:
        """Whether predictions hold all logits."""

    def data(self, setting: Setting) -> str:
        """Return the fingerprint of what its stimuli are made of: a part of the world."""

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing to run any of it here; None where nothing is."""

    def unasked(self, setting: Setting) -> Missing | None:
        """Return why it is not run unless it is asked for by name; None where it is."""

    def lacks(self, setting: Setting) -> Sequence[str]:
        """Return the conditions, each with its levels, that are not here though others are; ``cells`` leaves them out.

        Looks at names of files only: what is in them is checked as it is read.
        """

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield the cells of a checkpoint that can be done here, in the order they are best done."""

    def parts(self, cell: Cell, setting: Setting) -> int:
        """Return how many parts the condition of ``cell`` falls into."""

    def images(self, cell: Cell, setting: Setting) -> int:
        """Return how many images, or frames, the part that ``cell`` is holds."""

    def passes(self, cell: Cell, setting: Setting) -> int:
        """Return the forward passes an image of ``cell`` costs, a gradient counted as three: for estimates."""

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:
        """Yield the images of ``cell`` in canonical order, with their classes as targets.

        Raises:
            DamagedData: a file of this cell is incomplete or not what it claims to be; other cells may still be done.
        """

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield scores from the complete conditions of one world, whose parts are joined already (part 0)."""


class OnTestImages:
    """What benchmarks share whose cells hold the clean test images, each once, however they are changed."""

    def data(self, setting: Setting) -> str:
        """Return the fingerprint of the test images."""
        return setting.dataset.fingerprint("test")

    def needs(self, setting: Setting) -> Missing | None:  # noqa: ARG002
        """Return None: the data set is all it takes."""
        return None

    def unasked(self, setting: Setting) -> Missing | None:  # noqa: ARG002
        """Return None: it is run."""
        return None

    def lacks(self, setting: Setting) -> Sequence[str]:  # noqa: ARG002
        """Return nothing: what the data set is enough for is all there."""
        return ()

    def parts(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return how many parts the test images fall into."""
        return len(parts(test_count(setting)))

    def images(self, cell: Cell, setting: Setting) -> int:
        """Return how many test images the part holds."""
        return min(PART_SIZE, test_count(setting) - cell.part * PART_SIZE)

    def passes(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return 1: making a stimulus costs little beside the network."""
        return 1


def colour_missing(what: str, setting: Setting) -> Missing | None:
    """Return that ``what`` is not defined for grey images, where the data set's are."""
    if setting.dataset.channels == RGB:
        return None
    return Missing(
        f"no {what} for grey images, they are defined on RGB",
        "prepare the pictures as RGB, which class folders make them, under a name of your own",
    )


def size_missing(what: str, tables: Iterable[Collection[int]], setting: Setting) -> Missing | None:
    """Return that ``what`` is not defined for these images: it is for RGB, of the sides every one of ``tables`` has."""
    if missing := colour_missing(what, setting):
        return missing
    side, sides = setting.dataset.side, sorted(set.intersection(*map(set, tables)))
    if side in sides:
        return None
    return Missing(f"no {what} for images of {side} px", f"prepare the data set at {sides} px")


def official_is_here(official: Benchmark, setting: Setting) -> Missing | None:
    """Return that the files of ``official`` are here, so that what is made in their place is not asked for."""
    if official.needs(setting):
        return None
    return Missing(f"{official.name} is here", "name it in --benchmarks to run it too")


def test_count(setting: Setting) -> int:
    """Return how many test images the limit leaves."""
    return len(limited(len(setting.dataset.labels("test")), setting.limit))


def part_cells(cell: Cell, benchmark: Benchmark, setting: Setting) -> Iterator[Cell]:
    """Yield ``cell`` once for every part of its condition."""
    yield from (cell._replace(part=part) for part in range(benchmark.parts(cell, setting)))


def test_batches(cell: Cell, setting: Setting) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the clean test images of a part: (B, C, H, W) uint8, labels (B,), index (B,), on the CPU."""
    positions = limited(len(setting.dataset.labels("test")), setting.limit)
    yield from batches_at(positions[cell.part * PART_SIZE : (cell.part + 1) * PART_SIZE], setting)


def batches_at(positions: NDArray[np.int64], setting: Setting) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the clean test images at ``positions``, as ``test_batches`` does."""
    images, labels = setting.dataset.images("test"), setting.dataset.labels("test")
    for first in range(0, len(positions), setting.batch_size):
        index = positions[first : first + setting.batch_size]
        pixels = torch.from_numpy(np.ascontiguousarray(np.asarray(images[index]).transpose(0, 3, 1, 2)))
        yield pixels, torch.from_numpy(np.asarray(labels[index], dtype=np.int64)), torch.from_numpy(index)


def as_network_input(pixels: Tensor, device: torch.device) -> Tensor:
    """Return uint8 ``pixels`` as float32 in [0, 1] on ``device``."""
    return pixels.to(device).float().div_(255)
