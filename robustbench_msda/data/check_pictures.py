"""Benchmarks that are class folders of pictures of any size: ImageNet-A, -O, -R and ImageNetV2."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robustbench_msda.data.check_folders import listing
from robustbench_msda.data.check_survey import CHECKSUM_DIGITS, Row, Survey, named
from robustbench_msda.data.class_folders import Listing, check_total, list_classes
from robustbench_msda.data.decoding import opened
from robustbench_msda.data.members import hidden
from robustbench_msda.data.stored import one_line
from robustbench_msda.errors import DamagedData
from robustbench_msda.progress import Progress
from robustbench_msda.records import digest

AGAIN = "get it again"


@dataclass(frozen=True)
class PictureLayout:
    """``<class>/<picture>``.

    Source: the readers of hendrycks/natural-adv-examples 0777070, ``eval.py``, and hendrycks/imagenet-r 44d3a1d,
    ``eval.py``; of ImageNetV2, tensorflow/datasets 88c0647, ``imagenet_v2_dataset_builder.py``.

    Attributes:
        name: snake_case.
        official: the authors' name of the folder.
        wnids: the classes it has pictures of, in label order.
        images: how many pictures there are in all; classes differ.
        folders: the names of the class folders, in the order of ``wnids``; empty where these are the names.
    """

    name: str
    official: str
    wnids: tuple[str, ...]
    images: int
    folders: tuple[str, ...] = ()

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of all its class folders."""
        return self.folders or self.wnids

    def lacking(self, folder: Path, tops: Sequence[str]) -> list[str]:
        """Return which of the class folders ``tops`` are not there."""
        return [top for top in tops if not (folder / top).is_dir()]

    def quick(self, folder: Path, data_dir: Path) -> Survey:  # noqa: ARG002
        """Return what the names of folders and one picture tell."""
        missing = tuple(self.lacking(folder, self.tops))
        found = len(self.tops) - len(missing)
        wrong = (*self._strange(folder), *self._sample_faults(folder)) if found else ()
        return Survey(missing=missing, wrong=wrong, detail=f"{found:,} of {len(self.tops):,} class folders")

    def full(self, folder: Path, data_dir: Path, progress: Progress) -> Survey:
        """Return also the count of pictures, and a checksum over the sorted (path, size): their bytes are not read."""
        survey = self.quick(folder, data_dir)
        files = contents(folder)
        progress(1, 1, self.name)
        rows = (Row("", "", f"{len(files):,} files", digest(files)[:CHECKSUM_DIGITS]),)
        return replace(survey, wrong=(*survey.wrong, *self._count_faults(folder, files)), rows=rows)

    def read(self, folder: Path) -> Listing:
        """Return the pictures by class, in the order of ``wnids``.

        Raises:
            DamagedData: a folder is no class, or a file no picture by its name.
        """
        return list_classes(folder, self.tops)

    def check_whole(self, folder: Path, found: Listing) -> None:
        """Raise ``DamagedData`` unless ``found`` is as many pictures as there should be."""
        remedy = f"{AGAIN}, or take what is there with --allow-partial"
        check_total(folder, found.labels, self.images, self.tops, remedy)

    def check_some(self, folder: Path, found: Listing) -> None:
        """Raise ``DamagedData`` where ``found`` is nothing, or more than there should be."""
        if not 0 < len(found.files) <= self.images:
            raise DamagedData(f"{folder}: expected 1 to {self.images:,} files, found {len(found.files):,}; {AGAIN}")

    def _strange(self, folder: Path) -> Iterator[str]:
        present = {entry.name for entry in os.scandir(folder) if entry.is_dir() and not hidden(entry.name)}
        if strange := sorted(present.difference(self.tops)):
            yield f"{folder}: has {named(strange)} beside the {len(self.tops):,} classes; rename or move them away"

    def _sample_faults(self, folder: Path) -> Iterator[str]:
        """Yield what is wrong with the first picture."""
        for top in self.tops:
            files = sorted(folder.glob(f"{top}/[!.]*"))
            if files:
                try:
                    with opened(files[0]) as picture:
                        picture.load()
                except DamagedData as error:
                    yield str(error)
                return
        yield f"{folder}: expected {self.images:,} files, found none; {AGAIN}"

    def _count_faults(self, folder: Path, files: Sequence[tuple[str, int]]) -> Iterator[str]:
        """Yield what is wrong with the number of pictures, and which are empty or of another kind."""
        try:
            self.check_whole(folder, self.read(folder))
        except DamagedData as error:
            yield str(error)
        if empty := [path for path, size in files if size == 0]:
            yield f"{folder}: {len(empty):,} empty files: {named(empty)}; get them again"


def contents(folder: Path) -> list[tuple[str, int]]:
    """Return the sorted (class/file, size in bytes) of class folders, hidden files left out.

    Raises:
        DamagedData: a folder cannot be read.
    """
    try:
        return listing(folder)
    except OSError as error:
        raise DamagedData(f"{folder}: cannot be read ({one_line(error)}); mend the permissions or the link") from None
