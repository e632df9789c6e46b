"""Folders of ``<class>/<picture>`` that are read where they lie: what is in them, and whether all of it is there."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.decoding import IMAGENET_VIEW, View
from robustbench_msda.data.members import hidden
from robustbench_msda.data.pictures import SUFFIXES
from robustbench_msda.data.stored import one_line
from robustbench_msda.errors import DamagedData
from robustbench_msda.records import digest

VIDEOS = (".mp4",)


class Listing(NamedTuple):
    """The files of class folders below a folder, sorted by class, then by name; and the class of each, (N,) int64."""

    files: tuple[str, ...]
    labels: NDArray[np.int64]


def list_classes(
    folder: Path, classes: Sequence[str], suffixes: tuple[str, ...] = SUFFIXES, others: Collection[str] = ()
) -> Listing:
    """Return the files of the class folders in ``folder``; a class may have none.

    Args:
        folder: what is in it beside folders, and what is hidden, is left aside.
        classes: the names of the folders, in label order.
        suffixes: what the names of files end in, in small letters.
        others: the names of folders that may lie beside them and are left aside.

    Raises:
        DamagedData: a folder is no class, or a file is of another kind.
    """
    try:
        found = {entry.name for entry in os.scandir(folder) if entry.is_dir() and not hidden(entry.name)}
        check_names(folder, found, classes, others)
        by_class = [_names(folder / name) if name in found else [] for name in classes]
    except OSError as error:
        raise DamagedData(f"{folder}: cannot be read ({one_line(error)}); mend the permissions or the link") from None
    files = tuple(f"{name}/{file}" for name, names in zip(classes, by_class, strict=True) for file in names)
    if strange := next((file for file in files if not file.lower().endswith(suffixes)), None):
        raise DamagedData(f"{folder / strange}: expected a file *{' or *'.join(suffixes)}; move it away")
    return Listing(files, np.repeat(np.arange(len(classes)), [len(names) for names in by_class]))


@lru_cache(maxsize=8)
def clean_listing(folder: Path, classes: tuple[str, ...], others: tuple[str, ...] = ()) -> Listing:
    """Return ``list_classes`` of a clean data set, as it was when this process first looked: it is asked for often."""
    return list_classes(folder, classes, others=others)


@lru_cache(maxsize=8)
def clean_fingerprint(folder: Path, classes: tuple[str, ...], others: tuple[str, ...], view: View) -> str:
    """Return the hex SHA-256 of the labels, of every path and size of a clean data set in its files, and of its view.

    The view that came first, ImageNet's own, is left out.
    """
    listing = clean_listing(folder, classes, others)
    seen = [] if view == IMAGENET_VIEW else [[view.side, view.short]]
    return digest([listing.labels.tolist(), sizes(folder, listing.files), *seen])


def sizes(folder: Path, files: Sequence[str]) -> list[tuple[str, int]]:
    """Return the path below ``folder`` and the size in bytes of every file.

    Raises:
        DamagedData: one has gone.
    """
    try:
        return [(file, (folder / file).stat().st_size) for file in files]
    except OSError as error:
        raise DamagedData(f"{folder}: cannot be read ({one_line(error)}); mend the permissions or the link") from None


def check_names(folder: Path, found: set[str], classes: Sequence[str], others: Collection[str] = ()) -> None:
    """Raise ``DamagedData`` where one of the folders ``found`` is no class, and none of the ``others``."""
    if strange := sorted(found.difference(classes, others)):
        lost = sorted(set(classes) - found)
        renamed = f", and {lost[0]!r} is missing" if lost else ""
        raise DamagedData(
            f"{folder}: class folder {strange[0]!r} is none of the {len(classes):,} classes{renamed}; "
            "rename it or move it away"
        )


def check_missing(
    folder: Path, found: NDArray[np.int64], expected: NDArray[np.int64], classes: Sequence[str], remedy: str
) -> None:
    """Raise ``DamagedData`` where class folders lack files.

    Args:
        folder: holds the class folders.
        found: the class of each file, as listed.
        expected: the class of each file that must be there, in any order.
        classes: names, in label order.
        remedy: what to do.
    """
    have, want = (np.bincount(labels, minlength=len(classes)) for labels in (found, expected))
    missing = np.maximum(want - have, 0)
    if missing.any():
        first = int(np.argmax(missing > 0))
        raise DamagedData(
            f"{folder}: {missing.sum():,} of {want.sum():,} files missing, first in class folder "
            f"{classes[first]!r} ({have[first]:,} of {want[first]:,}); {remedy}"
        )


def check_total(folder: Path, found: NDArray[np.int64], expected: int, classes: Sequence[str], remedy: str) -> None:
    """Raise ``DamagedData`` unless there are ``expected`` files in all; other arguments as of ``check_missing``."""
    if len(found) == expected:
        return
    have = np.bincount(found, minlength=len(classes))
    least, most = int(np.argmin(have)), int(np.argmax(have))
    raise DamagedData(
        f"{folder}: expected {expected:,} files in {len(classes):,} class folders, found {len(found):,}, from "
        f"{have[least]:,} in {classes[least]!r} to {have[most]:,} in {classes[most]!r}; {remedy}"
    )


def check_surplus(
    folder: Path, found: NDArray[np.int64], expected: NDArray[np.int64], classes: Sequence[str], remedy: str
) -> None:
    """Raise ``DamagedData`` where a class folder holds more files than it may; arguments as of ``check_missing``."""
    have, want = (np.bincount(labels, minlength=len(classes)) for labels in (found, expected))
    if (have > want).any():
        first = int(np.argmax(have > want))
        raise DamagedData(f"{folder / classes[first]}: expected {want[first]:,} files, found {have[first]:,}; {remedy}")


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if not hidden(entry.name))
