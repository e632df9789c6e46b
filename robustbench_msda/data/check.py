"""What is on this disk: the state of every known data set and of the user's own. Benchmarks: ``check_benchmarks``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from robustbench_msda.data.datasets import Dataset, dataset_name, open_dataset
from robustbench_msda.data.known import DATASETS, folder_of, how_to_get
from robustbench_msda.data.stored import META, file_hashes, read_meta, remedy
from robustbench_msda.errors import DamagedData, MissingData, UserError


@dataclass(frozen=True)
class DataStatus:
    """One line of ``data check``.

    Attributes:
        name: the data set.
        state: whether it can be used as it is.
        where: where it was looked for; empty for embedded data.
        detail: counts and class balance, or what is wrong.
        get: how to get it.
    """

    name: str
    state: Literal["found", "partial", "not found", "damaged", "embedded"]
    where: str
    detail: str
    get: str


def check(data_dir: Path) -> list[DataStatus]:
    """Return the status of every known data set, then of every other one in ``data_dir``; hashes all their bytes."""
    folders = sorted(data_dir.iterdir()) if data_dir.is_dir() else []
    own = [folder.name for folder in folders if folder.name not in DATASETS and (folder / META).is_file()]
    return [check_one(name, data_dir) for name in (*DATASETS, *(name for name in own if _is_name(name)))]


def check_one(name: str, data_dir: Path) -> DataStatus:
    """Return the status of one data set."""
    where, get = str(data_dir / folder_of(name)), how_to_get(name)
    try:
        dataset = open_dataset(name, data_dir)
        if dataset.root is None:
            return DataStatus(name, "embedded", "", describe(dataset), get)
        if dataset.view is None:
            _check_hashes(data_dir / name)
        return DataStatus(name, "found", where, describe(dataset), get)
    except MissingData:
        return DataStatus(name, "not found", where, "not prepared", get)
    except DamagedData as error:
        return DataStatus(name, "damaged", where, str(error), get)


def describe(dataset: Dataset) -> str:
    """Return one line: side, classes, the images of each split and the range of their class counts."""
    grey = " grey" if dataset.channels == 1 else ""
    parts = [f"{len(dataset.classes)} classes, {dataset.side}×{dataset.side}{grey}"]
    for split in dataset.splits:
        counts = np.bincount(dataset.labels(split), minlength=len(dataset.classes))
        parts.append(f"{split} {counts.sum():,} ({counts.min():,} to {counts.max():,} a class)")
    return "; ".join(parts)


def _check_hashes(root: Path) -> None:
    recorded, found = read_meta(root).sha256, file_hashes(root)
    for name in sorted(set(recorded) | set(found)):
        if recorded.get(name) != found.get(name):
            raise DamagedData(f"{root / name}: its bytes are not those that were prepared; {remedy(root)}")


def _is_name(text: str) -> bool:
    try:
        return dataset_name(text) == text
    except UserError:
        return False
