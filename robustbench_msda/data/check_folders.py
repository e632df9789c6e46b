"""Benchmarks of class folders: ImageNet-C, Tiny-ImageNet-C, ImageNet-3DCC, and ImageNet-P of videos."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from robustbench_msda.data.check_survey import CHECKSUM_DIGITS, Row, Survey, named
from robustbench_msda.data.members import hidden
from robustbench_msda.data.stored import one_line
from robustbench_msda.engines.local import cores
from robustbench_msda.progress import Progress

READERS = 4
GROUPS = ("noise", "blur", "weather", "digital", "extra")
VIDEO = ".mp4"


@dataclass(frozen=True)
class FolderLayout:
    """``[<group>/]<condition>/[<level>/]<class>/<file>``.

    Source: the readers of hendrycks/robustness 8190fe3 and google-research/augmix 9b9824c; EPFL-VILAB/
    3DCommonCorruptions 4fc007b, ``download_imagenet_3dcc.sh``.

    Attributes:
        name: snake_case.
        official: the authors' name of the folder.
        required: the conditions that scores need.
        extra: the conditions that may be left out.
        levels: the names of the folders of severities; one empty name where there are none.
        classes: how many class folders there are.
        images: how many files each level of a condition has, the same in every class.
        suffix: of the files, in small letters.
        side: height and width of the images.
    """

    name: str
    official: str
    required: tuple[str, ...]
    extra: tuple[str, ...]
    levels: tuple[str, ...]
    classes: int
    images: int
    suffix: str = ".jpeg"
    side: int = 224

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of all its conditions."""
        return (*self.required, *self.extra)

    def lacking(self, folder: Path, tops: Sequence[str]) -> list[str]:
        """Return which of the conditions ``tops``, or levels of them, are not there."""
        found: list[str] = []
        for top in tops:
            absent = [level for level in self.levels if not (place(folder, top) / level).is_dir()]
            found += [top] if len(absent) == len(self.levels) else [f"{top}/{level}" for level in absent]
        return found

    def quick(self, folder: Path, data_dir: Path) -> Survey:  # noqa: ARG002
        """Return what the folders and one file of each cell tell: conditions, levels, classes, the side."""
        cells = {(name, level): _folders(place(folder, name) / level) for name, level in self._present(folder)}
        wrong = []
        classes = _usual(list(cells.values()))
        for (name, level), found in cells.items():
            where = place(folder, name) / level
            wrong += [*self._class_faults(where, found, classes), *self._file_faults(where, found)]
        if cells and len(classes) != self.classes:
            wrong.append(f"{folder}: expected {self.classes:,} class folders, found {len(classes):,}; get it again")
        conditions = len({name for name, _ in cells})
        kind = "videos" if self.suffix == VIDEO else f"images of {self.side} px"
        return Survey(
            missing=tuple(self.lacking(folder, self.required)),
            absent=tuple(self.lacking(folder, self.extra)),
            wrong=tuple(wrong),
            detail=f"{conditions} conditions, {len(cells)} cells, {len(classes):,} classes, {kind}",
        )

    def full(self, folder: Path, data_dir: Path, progress: Progress) -> Survey:
        """Return also the count of every class and a checksum of every cell.

        The checksum is over the sorted (path, size) of its files: the many gigabytes in them are not read.
        """
        survey = self.quick(folder, data_dir)
        cells = self._present(folder)
        rows: list[Row] = []
        wrong = list(survey.wrong)
        with ThreadPoolExecutor(min(READERS, cores())) as pool:
            listings = pool.map(lambda cell: listing(place(folder, cell[0]) / cell[1]), cells)
            for done, ((name, level), files) in enumerate(zip(cells, listings, strict=True), 1):
                wrong += self._count_faults(place(folder, name) / level, files)
                rows.append(Row(name, level, f"{len(files):,} files", _digest(files)))
                progress(done, len(cells), f"{name} {level}".strip())
        return replace(survey, wrong=tuple(wrong), rows=tuple(rows))

    def _present(self, folder: Path) -> list[tuple[str, str]]:
        cells = [(name, level) for name in self.tops for level in self.levels]
        return [(name, level) for name, level in cells if (place(folder, name) / level).is_dir()]

    def _class_faults(self, where: Path, found: frozenset[str], usual: frozenset[str]) -> Iterator[str]:
        lost, strange = sorted(usual - found), sorted(found - usual)
        if not (lost or strange):
            return
        texts = [f"lacks {named(lost)}"] if lost else []
        texts += [f"has {named(strange)} beside the classes"] if strange else []
        yield f"{where}: {' and '.join(texts)}: classes are numbered by sorted folder, so labels shift; mend the names"

    def _file_faults(self, where: Path, classes: frozenset[str]) -> Iterator[str]:
        """Yield what is wrong with the first file of the first class that has any."""
        for name in sorted(classes):
            files = sorted(file for file in (where / name).iterdir() if not hidden(file.name))
            if files:
                yield from self._sample_faults(files[0])
                return
        yield f"{where}: expected {self.images:,} files, found none; get it again"

    def _sample_faults(self, path: Path) -> Iterator[str]:
        expected = f"expected {'a video' if self.suffix == VIDEO else f'an image of {self.side}×{self.side}'}"
        try:
            if self.suffix == VIDEO:
                with path.open("rb") as file:
                    found = "" if file.read(8)[4:] == b"ftyp" else "none"
            else:
                with Image.open(path) as image:
                    found = "" if image.size == (self.side, self.side) else f"{image.width}×{image.height}"
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            found = f"none ({one_line(error)})"
        if found:
            yield f"{path}: {expected}, found {found}; get it again"

    def _count_faults(self, where: Path, files: Sequence[tuple[str, int]]) -> Iterator[str]:
        """Yield what is wrong with the number of files in each class, and which are empty or of another kind."""
        if strange := [path for path, _ in files if not path.lower().endswith(self.suffix)]:
            yield f"{where}: expected files *{self.suffix}, found {named(strange)}; remove what is of no use here"
        if empty := [path for path, size in files if size == 0]:
            yield f"{where}: {len(empty):,} empty files: {named(empty)}; get them again"
        each = self.images // self.classes
        counts = Counter(path.partition("/")[0] for path, _ in files)
        if odd := [f"{name} has {count:,}" for name, count in sorted(counts.items()) if count != each]:
            found = f"{len(files):,} in all: {named(odd)}"
            yield f"{where}: expected {each:,} files in every class, found {found}; get them again"


def place(folder: Path, condition: str) -> Path:
    """Return where a condition lies: in the folder, or in that of its group, which some people keep."""
    below = [folder / group / condition for group in GROUPS]
    return next((path for path in below if path.is_dir() and not (folder / condition).is_dir()), folder / condition)


def listing(cell: Path) -> list[tuple[str, int]]:
    """Return the sorted (class/file, size in bytes) of a cell, hidden files left out."""
    return sorted(
        (f"{name}/{entry.name}", entry.stat().st_size)
        for name in _folders(cell)
        for entry in os.scandir(cell / name)
        if not hidden(entry.name)
    )


def _digest(files: Sequence[tuple[str, int]]) -> str:
    text = "".join(f"{path} {size}\n" for path, size in files)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:CHECKSUM_DIGITS]


def _folders(path: Path) -> frozenset[str]:
    return frozenset(entry.name for entry in os.scandir(path) if entry.is_dir() and not hidden(entry.name))


def _usual(sets: Sequence[frozenset[str]]) -> frozenset[str]:
    """Return the class folders that most cells have."""
    return Counter(sets).most_common(1)[0][0] if sets else frozenset()
