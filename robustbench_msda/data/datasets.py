"""The data sets: the table of the known ones, and how a prepared one is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data import digits
from robustbench_msda.data.class_folders import (
    check_missing,
    check_surplus,
    check_total,
    clean_fingerprint,
    clean_listing,
)
from robustbench_msda.data.decoding import Images, PictureFiles, View
from robustbench_msda.data.fingerprints import CACHE, cache_key, fingerprint, remember, remembered
from robustbench_msda.data.known import (
    DATASETS,
    DatasetSpec,
    check_classes_known,
    check_known,
    how_to_get,
    others_beside,
)
from robustbench_msda.data.stored import (
    CLASSES,
    META,
    SPLITS,
    Colour,
    Meta,
    Split,
    read_classes,
    read_meta,
    read_split,
    remedy,
)
from robustbench_msda.errors import DamagedData, MissingData, UserError

__all__ = ["DATASETS", "Dataset", "DatasetSpec", "dataset_name", "open_dataset"]

# Where pictures that stay in class folders lie, as torchvision has it: the validation images are the test images.
FOLDERS = {"train": "train", "test": "val"}
PART = (
    "get the whole set; a part of it, at one size, can be prepared under a name of your own: "
    "robustbench-msda data prepare NAME --from FOLDER"
)


@dataclass(frozen=True)
class Dataset:
    """A data set that was opened: small and picklable, it keeps paths and reads arrays when asked.

    Attributes:
        name: snake_case.
        classes: names in label order.
        side: height and width of its images.
        mean: of the training images, a channel, in [0, 1] (of the test images where there are no others).
        std: likewise.
        root: its folder; none for embedded data.
        splits: which of ``train`` and ``test`` it has.
        view: how its pictures, which stay in class folders below ``root``, become images; None where they are arrays.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    mean: Colour
    std: Colour
    root: Path | None
    splits: tuple[Split, ...] = SPLITS
    view: View | None = None

    @property
    def channels(self) -> int:
        """How many channels an image has: 3 is RGB, 1 grey."""
        return len(self.mean)

    def images(self, split: str) -> Images:
        """Return the images of a split, (N, side, side, C) uint8, read-only.

        Memory-mapped; in memory where they are embedded; decoded when indexed where they stay in class folders.
        """
        return self._arrays(split)[0]

    def labels(self, split: str) -> NDArray[np.int64]:
        """Return the labels of a split, (N,) int64 in [0, len(classes))."""
        return self._arrays(split)[1]

    def fingerprint(self, split: str) -> str:
        """Return the hex SHA-256 of the labels and images of a split; remembered by path, size and time of change."""
        images, labels = self._arrays(split)
        if self.root is None:
            return fingerprint(images[:], labels)
        if self.view is not None:
            return clean_fingerprint(self.root / FOLDERS[split], self.classes, others_beside(self.name), self.view)
        files = [self.root / split / f"{kind}.npy" for kind in ("images", "labels")]
        key = cache_key(files)
        known = remembered(self.root / CACHE, key)
        if known is None:
            known = fingerprint(images[:], labels)
            remember(self.root / CACHE, key, known, files)
        return known

    def _arrays(self, split: str) -> tuple[Images, NDArray[np.int64]]:
        if split not in SPLITS:
            raise ValueError(f"expected a split of {SPLITS}, got {split!r}")
        if self.root is not None and self.view is not None:
            return self._pictures(self.root / FOLDERS[split], split, self.view)
        if split not in self.splits:
            raise MissingData(
                f"data set {self.name!r} has no {split} images: it was prepared without; "
                f"move {self.root} away and prepare it from a source that has them"
            )
        if self.root is None:
            return digits.load()[split]
        return read_split(self.root / split, len(self.classes), str(self.root / split))

    def _pictures(self, folder: Path, split: str, view: View) -> tuple[Images, NDArray[np.int64]]:
        if split not in self.splits:
            raise MissingData(
                f"data set {self.name!r} is there to be evaluated on only: looked for {folder}; {how_to_get(self.name)}"
            )
        files, labels = clean_listing(folder, self.classes, others_beside(self.name))
        if split == "train":
            check_total(folder, labels, DATASETS[self.name].train, self.classes, PART)
        return PictureFiles(folder, files, view), labels


def dataset_name(text: str) -> str:
    """Return the stored form of a data set's name (``-`` reads as ``_``), or raise ``UserError``: it names a folder."""
    name = text.replace("-", "_")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,63}", name):
        raise UserError(
            f"data set name {text!r}: expected small letters, digits and _, 64 at most; choose another name"
        )
    return name


def open_dataset(name: str, data_dir: Path) -> Dataset:
    """Return a prepared or embedded data set whose shapes, types, counts and label ranges have been checked.

    Args:
        name: a key of ``DATASETS`` or the name of the user's own set; ``-`` reads as ``_``.
        data_dir: the folder that holds a folder for each prepared set.

    Raises:
        MissingData: it is not there; says where it was looked for and how to get it.
        DamagedData: a file of it cannot be what it claims to be.
        UserError: the name cannot be that of a data set.
    """
    name = dataset_name(name)
    spec = DATASETS.get(name)
    if spec is not None and spec.embedded:
        return Dataset(name, spec.classes, spec.side, spec.mean, spec.std, root=None)
    if spec is not None and spec.view is not None:
        return _open_pictures(spec, data_dir / spec.folder)
    root = data_dir / name
    if not root.is_dir():
        raise MissingData(f"data set {name!r} is not there: looked for {root}; {how_to_get(name)}")
    meta = read_meta(root)
    classes = read_classes(root / CLASSES)
    if meta.name != name:
        raise DamagedData(f"{root / META}: expected name {name!r}, found {meta.name!r}; {remedy(root)}")
    if spec is not None:
        check_classes_known(spec, classes, str(root / CLASSES))
    for split in SPLITS:
        _check_split(root, split, meta, len(classes))
    mean, std = (meta.mean, meta.std) if spec is None else (spec.mean, spec.std)
    return Dataset(name, classes, meta.side, mean, std, root.resolve(), meta.splits)


def _open_pictures(spec: DatasetSpec, root: Path) -> Dataset:
    """Return a known data set that lies in the class folders it came in; raise as ``open_dataset`` does."""
    folder = root / FOLDERS["test"]
    if not folder.is_dir():
        raise MissingData(f"data set {spec.name!r} is not there: looked for {folder}; {how_to_get(spec.name)}")
    root = root.resolve()
    found = clean_listing(root / FOLDERS["test"], spec.classes, others_beside(spec.name)).labels
    expected = np.repeat(np.arange(len(spec.classes)), spec.test // len(spec.classes))
    check_missing(folder, found, expected, spec.classes, PART)
    check_surplus(folder, found, expected, spec.classes, PART)
    # The million training files are listed when they are asked for.
    splits: tuple[Split, ...] = SPLITS if (root / FOLDERS["train"]).is_dir() else ("test",)
    return Dataset(spec.name, spec.classes, spec.side, spec.mean, spec.std, root, splits, spec.view)


def _check_split(root: Path, split: Split, meta: Meta, classes: int) -> None:
    """Raise ``DamagedData`` unless a split agrees with its ``meta.json`` and with what is known of the set."""
    if not meta.count(split) and not (root / split).exists():
        return
    images, labels = read_split(root / split, classes, str(root / split))
    found, expected = images.shape, (meta.count(split), meta.side, meta.side, meta.channels)
    if found != expected:
        raise DamagedData(
            f"{root / split}: expected {expected[0]:,} images of side {expected[1]} and {expected[3]} channels by "
            f"{META}, found {found[0]:,} of side {found[1]} and {found[3]} channels; {remedy(root)}"
        )
    if meta.name in DATASETS:
        check_known(DATASETS[meta.name], split, images.shape[1:], labels, str(root / split))
