"""Benchmarks that are one NumPy file a condition: CIFAR-10-C, CIFAR-100-C, CIFAR-10-P, CIFAR-100-P."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.check_survey import CHECKSUM_DIGITS, Row, Survey
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.stimuli import check_labels
from robustbench_msda.data.stored import read_array
from robustbench_msda.engines.local import cores
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.progress import Progress

LABELS = "labels.npy"
CHUNK = 2**20
READERS = 4


@dataclass(frozen=True)
class ArrayLayout:
    """``<condition>.npy``, uint8, severity after severity in the order of the test images; and their labels.

    Source: hendrycks/robustness 8190fe3, ``make_cifar_c.py`` and ``make_cifar_p.py``.

    Attributes:
        name: snake_case.
        official: the authors' name of the folder.
        required: the conditions that scores need.
        extra: the conditions that may be left out.
        levels: the severities in each file, in order; one, without a name, for videos.
        dataset: the clean data set, of which each level has all test images.
        images: how many those are.
        classes: how many classes there are.
        frames: the frames a video of each condition has; nothing for stills, which have ``labels.npy`` instead.
        md5: of the official files.
        side: of the images.
    """

    name: str
    official: str
    required: tuple[str, ...]
    extra: tuple[str, ...]
    levels: tuple[str, ...]
    dataset: str
    classes: int
    frames: Mapping[str, int] = field(default_factory=dict)
    md5: Mapping[str, str] = field(default_factory=dict)
    images: int = 10_000
    side: int = 32

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of all its files."""
        labels = () if self.frames else (LABELS,)
        return (*(f"{condition}.npy" for condition in (*self.required, *self.extra)), *labels)

    def shape(self, condition: str) -> tuple[int, ...]:
        """Return the shape of a condition's array."""
        frames = (self.frames[condition],) if self.frames else ()
        return (self.images * len(self.levels), *frames, self.side, self.side, 3)

    def lacking(self, folder: Path, tops: Sequence[str]) -> list[str]:
        """Return which of the files ``tops`` are not there."""
        return [top for top in tops if not (folder / top).is_file()]

    def quick(self, folder: Path, data_dir: Path) -> Survey:
        """Return what headers and labels tell: files, shapes, types, lengths, the order of the labels."""
        must = [top for top in self.tops if top.removesuffix(".npy") not in self.extra]
        present = self._present(folder)
        wrong = [fault for condition in present for fault in self._array_faults(folder / f"{condition}.npy")]
        order = ""
        if LABELS in self.tops and (folder / LABELS).is_file():
            try:
                order = self._label_order(folder / LABELS, data_dir)
            except DamagedData as error:
                wrong.append(str(error))
        shapes = sorted({self.shape(condition) for condition in present}, reverse=True)
        detail = f"{len(present)} conditions, uint8 {' or '.join(map(str, shapes))}"
        return Survey(
            missing=tuple(self.lacking(folder, must)),
            absent=tuple(self.lacking(folder, [f"{condition}.npy" for condition in self.extra])),
            wrong=tuple(wrong),
            detail=f"{detail}; {order}" if order else detail,
        )

    def full(self, folder: Path, data_dir: Path, progress: Progress) -> Survey:
        """Return also whether every file is the official one, and the checksum of every level in it; reads all."""
        survey = self.quick(folder, data_dir)
        names = [f"{condition}.npy" for condition in self._present(folder)]
        names = [name for name in names if not any(str(folder / name) in fault for fault in survey.wrong)]
        rows: list[Row] = []
        wrong = list(survey.wrong)
        with ThreadPoolExecutor(min(READERS, cores())) as pool:
            sums = pool.map(lambda name: checksums(folder / name, len(self.levels)), names)
            for done, (name, (md5, slices)) in enumerate(zip(names, sums, strict=True), 1):
                wrong += self._md5_faults(folder / name, md5)
                rows += self._rows(name.removesuffix(".npy"), md5, slices)
                progress(done, len(names), name)
        return replace(survey, wrong=tuple(wrong), rows=tuple(rows))

    def _present(self, folder: Path) -> list[str]:
        return [name for name in (*self.required, *self.extra) if (folder / f"{name}.npy").is_file()]

    def _rows(self, condition: str, md5: str, slices: Sequence[str]) -> Iterator[Row]:
        official = "official" if self.md5.get(f"{condition}.npy") == md5 else f"md5 {md5}"
        for level, checksum in zip(self.levels, slices, strict=True):
            shape = (self.images, *self.shape(condition)[1:])
            yield Row(condition, level, f"{shape} {official}", checksum)

    def _array_faults(self, path: Path) -> Iterator[str]:
        """Yield what is wrong with a file, by its header and length."""
        expected = self.shape(path.stem)
        try:
            array = read_array(path)
        except DamagedData as error:
            yield str(error)
            return
        if array.shape != expected or array.dtype != np.uint8 or not array.flags.c_contiguous:
            yield f"{path}: expected {expected} uint8, found {array.shape} {array.dtype}; get it again"

    def _md5_faults(self, path: Path, found: str) -> Iterator[str]:
        expected = self.md5.get(path.name, found)
        if found != expected:
            yield f"{path}: expected md5 {expected} of the official file, found {found}; get it again"

    def _label_order(self, path: Path, data_dir: Path) -> str:
        """Return how the labels were found to be right, or raise ``DamagedData``."""
        labels = read_array(path)
        expected = (self.images * len(self.levels),)
        if labels.shape != expected or labels.dtype.kind not in "iu":
            raise DamagedData(
                f"{path}: expected {expected} whole numbers, found {labels.shape} {labels.dtype}; get it again"
            )
        rows = np.asarray(labels, dtype=np.int64).reshape(len(self.levels), self.images)
        if rows.min() < 0 or rows.max() >= self.classes:
            raise DamagedData(
                f"{path}: expected 0 to {self.classes - 1}, found {rows.min()} to {rows.max()}; get it again"
            )
        clean = self._clean_labels(data_dir)
        check_labels(path, rows[0] if clean is None else clean, len(rows))
        if clean is not None:
            return f"labels as in {self.dataset}"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if fault := next(self._md5_faults(path, found), None):
            raise DamagedData(f"{fault}, or prepare {self.dataset} to compare them")
        return "official labels" if path.name in self.md5 else f"labels not compared: {self.dataset} is not prepared"

    def _clean_labels(self, data_dir: Path) -> NDArray[np.int64] | None:
        """Return the labels of the clean test images, where they can be had."""
        try:
            return open_dataset(self.dataset, data_dir).labels("test")
        except UserError:  # what is wrong with the clean data is said where they are checked
            return None


def checksums(path: Path, slices: int) -> tuple[str, tuple[str, ...]]:
    """Return the MD5 of a ``.npy`` file and the SHA-256, 12 digits, of each of ``slices`` equal runs of its rows."""
    array = read_array(path)
    size, header = array.nbytes // slices, path.stat().st_size - array.nbytes
    md5, found = hashlib.md5(usedforsecurity=False), []
    with path.open("rb") as file:
        md5.update(file.read(header))
        for _ in range(slices):
            sha = hashlib.sha256()
            for start in range(0, size, CHUNK):
                chunk = file.read(min(CHUNK, size - start))
                md5.update(chunk)
                sha.update(chunk)
            found.append(sha.hexdigest()[:CHECKSUM_DIGITS])
    return md5.hexdigest(), tuple(found)
