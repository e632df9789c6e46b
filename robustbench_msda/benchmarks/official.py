"""What benchmarks share whose stimuli lie in official files: which are there, their cells, and reading them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robustbench_msda.benchmarks.base import Basis, Missing, Setting, as_network_input, colour_missing, part_cells
from robustbench_msda.data.check_folders import listing, place
from robustbench_msda.data.check_survey import benchmark_folder
from robustbench_msda.data.downloads import DOWNLOADS
from robustbench_msda.data.stimuli import Accept, Condition, all_there, some_there
from robustbench_msda.records import PART_SIZE, Batch, Cell, Predictions, Score, digest, limited


@dataclass(frozen=True)
class OfficialFiles(ABC):
    """Stimuli in files of ``data_dir/<files>``, or of the folder as its authors named it.

    Each condition is an array ``<condition>.npy``, or class folders ``[<group>/]<condition>/[<level>/]<class>/``.

    Attributes:
        name: the benchmark's stored name.
        files: the folder's name.
        official: its authors' name of the folder; empty where the data set is the user's own.
        conditions: that it can have.
        levels: of each condition.
        part_size: how many images, or videos, a part holds.
    """

    name: str
    files: str
    official: str
    conditions: tuple[str, ...]
    levels: tuple[str, ...]
    part_size: int = PART_SIZE
    version: int = 1
    keeps_logits: bool = False

    @abstractmethod
    def frames(self, cell: Cell, setting: Setting) -> int:
        """Return how many frames a video has; 0 for stills."""

    @abstractmethod
    def open(self, cell: Cell, setting: Setting) -> Condition:
        """Return the images or videos of a cell's condition, or raise ``DamagedData``."""

    @abstractmethod
    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield scores from the complete conditions of one world."""

    def folder(self, setting: Setting) -> Path:
        """Return where the files lie, or would."""
        return benchmark_folder(setting.data_dir, self.files, self.official or self.files)

    def array(self, condition: str, setting: Setting) -> Path:
        """Return where the array of a condition lies, or would."""
        return self.folder(setting) / f"{condition}.npy"

    def pictures(self, condition: str, level: str, setting: Setting) -> Path:
        """Return where the class folders of a condition lie, or would."""
        return place(self.folder(setting), condition) / level

    def has(self, condition: str, level: str, setting: Setting) -> bool:
        """Return whether there are files of a condition."""
        return self.array(condition, setting).is_file() or self.pictures(condition, level, setting).is_dir()

    def data(self, setting: Setting) -> str:
        """Return the fingerprint of the clean test images: a download completed later adds cells to the same world.

        Where partial files will do, the names and sizes of all files are a part of it: such worlds meet no other.
        """
        clean = setting.dataset.fingerprint("test")
        return digest([clean, self.contents(setting)]) if setting.allow_partial else clean

    def contents(self, setting: Setting) -> list[tuple[str, list[tuple[str, int]]]]:
        """Return the path and size of every file, by condition and level; where they lie is left out."""
        found = []
        for condition in self.conditions:
            if (array := self.array(condition, setting)).is_file():
                found.append((condition, [(array.name, array.stat().st_size)]))
                continue
            folders = {level: self.pictures(condition, level, setting) for level in self.levels}
            found += [(f"{condition}/{level}", listing(path)) for level, path in folders.items() if path.is_dir()]
        return found

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where there are no files of any condition, or the data set is grey and they RGB."""
        if missing := colour_missing("official files", setting):
            return missing
        if any(self.has(condition, level, setting) for condition in self.conditions for level in self.levels):
            return None
        names = dict.fromkeys(filter(None, (self.files, self.official)))
        looked = " and ".join(str(setting.data_dir / name) for name in names)
        return Missing(f"its files are not there: looked for {looked}", self.remedy())

    def unasked(self, setting: Setting) -> Missing | None:  # noqa: ARG002
        """Return None: files that are there are for use."""
        return None

    def remedy(self) -> str:
        """Return how to get the files."""
        if self.files not in DOWNLOADS:
            return f"put {self.layouts()} there; or leave it out"
        instruction = DOWNLOADS[self.files].instruction
        return instruction or f"run: robustbench-msda data fetch {self.files}"

    def layouts(self) -> str:
        """Return how files may lie in the folder."""
        levels = "1 … 5/" if len(self.levels) > 1 else ""
        return f"arrays {self.conditions[0]}.npy … or folders {self.conditions[0]}/{levels}CLASS/ …"

    def lacks(self, setting: Setting) -> Sequence[str]:
        """Return the conditions, or levels of them, that are not here though others are."""
        found: list[str] = []
        for condition in self.conditions:
            absent = [level for level in self.levels if not self.has(condition, level, setting)]
            whole = len(absent) == len(self.levels)
            found += [condition] if whole else [f"{condition}/{level}" for level in absent]
        return found

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every condition that is there, at every level, part by part."""
        for condition in self.conditions:
            for level in self.levels:
                if self.has(condition, level, setting):
                    yield from part_cells(Cell(fingerprint, self.name, condition, level), self, setting)

    def count(self, cell: Cell, setting: Setting) -> int:
        """Return how many images, or videos, of a condition the limit leaves."""
        n = len(setting.dataset.labels("test"))
        if setting.allow_partial and not self.array(cell.condition, setting).is_file():
            n = min(n, file_count(self.pictures(cell.condition, cell.level, setting)))
        return len(limited(n, setting.limit))

    def parts(self, cell: Cell, setting: Setting) -> int:
        """Return how many parts a condition falls into."""
        return max(1, -(-self.count(cell, setting) // self.part_size))

    def images(self, cell: Cell, setting: Setting) -> int:
        """Return how many images, or frames, the part holds."""
        stimuli = min(self.part_size, self.count(cell, setting) - cell.part * self.part_size)
        return stimuli * max(1, self.frames(cell, setting))

    def passes(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return 1: reading a stimulus costs little beside the network."""
        return 1

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the images, or the frames of video after video; ``index`` counts them in the condition's own order.

        Raises:
            DamagedData: the files of the condition are incomplete or not what they claim to be.
        """
        opened, frames = self.open(cell, setting), self.frames(cell, setting)
        positions = limited(len(opened.labels), setting.limit)
        own = positions[cell.part * self.part_size : (cell.part + 1) * self.part_size]
        each = max(1, setting.batch_size // max(1, frames))
        for first in range(0, len(own), each):
            yield from batches(opened, own[first : first + each], frames, setting)


def batches(opened: Condition, positions: NDArray[np.int64], frames: int, setting: Setting) -> Iterator[Batch]:
    """Yield the images at ``positions``, or the frames of the videos there; a video may fall into several batches."""
    pixels = opened.read(positions)
    index = np.repeat(positions, max(1, frames))
    frame = np.tile(np.arange(frames), len(positions))
    labels = np.asarray(opened.labels[index], dtype=np.int64)
    for first in range(0, len(pixels), setting.batch_size):
        rows = slice(first, first + setting.batch_size)
        # Contiguous: the layout decides the kernels, and with them the last bits of a logit.
        images = torch.from_numpy(np.ascontiguousarray(pixels[rows].transpose(0, 3, 1, 2)))
        yield Batch(
            as_network_input(images, setting.device),
            torch.from_numpy(labels[rows]),
            torch.from_numpy(index[rows]),
            torch.from_numpy(frame[rows]) if frames else None,
        )


@lru_cache(maxsize=1024)
def file_count(folder: Path) -> int:
    """Return how many files are in class folders, as when this process first looked: a plan asks it often."""
    return len(listing(folder))


def accepts(setting: Setting) -> Accept:
    """Return what decides whether class folders hold enough."""
    return some_there if setting.allow_partial else all_there
