"""A user's own arrays: ``{train,test}/images.npy``, ``labels.npy``, ``classes.txt`` beside them or above."""

from __future__ import annotations

from pathlib import Path

from robustbench_msda.data.known import DatasetSpec, check_classes_known
from robustbench_msda.data.stored import (
    CLASSES,
    SPLITS,
    Splits,
    check_splits,
    read_classes,
    read_split,
)
from robustbench_msda.errors import DamagedData


def read_arrays(folder: Path, spec: DatasetSpec | None) -> tuple[tuple[str, ...], Splits]:
    """Return the class names and the images, memory-mapped, and labels of the splits in ``folder``.

    A set whose test images are the last ones of its parent's training images (``spec.test_from_train``) is cut out of
    the parent's training arrays where these are what ``folder`` holds.

    Raises:
        DamagedData: a file is missing, holds something else or disagrees with the others or with ``spec``.
    """
    classes = _classes(folder, spec)
    splits: Splits = {}
    for split in SPLITS:
        if (folder / split).is_dir():
            splits[split] = read_split(folder / split, len(classes), str(folder / split))
    if spec is not None and spec.test_from_train and "train" in splits:
        splits = _cut(splits, spec)
    check_splits(tuple(splits), str(folder))
    return classes, splits


def _cut(splits: Splits, spec: DatasetSpec) -> Splits:
    images, labels = splits["train"]
    if len(labels) != spec.train + spec.test:
        return splits
    return {"train": (images[: spec.train], labels[: spec.train]), "test": (images[spec.train :], labels[spec.train :])}


def _classes(folder: Path, spec: DatasetSpec | None) -> tuple[str, ...]:
    paths = [path for place in (".", *SPLITS) if (path := folder / place / CLASSES).is_file()]
    if not paths and spec is not None:
        return spec.classes
    if not paths:
        raise DamagedData(
            f"{folder / CLASSES}: expected the class names, one a line in label order, found no such file"
        )
    lists = [read_classes(path) for path in paths]
    for path, names in zip(paths, lists, strict=True):
        if names != lists[0]:
            raise DamagedData(f"{path}: expected the classes of {paths[0]}, found others; make the two the same")
    if spec is not None:
        check_classes_known(spec, lists[0], str(paths[0]))
    return lists[0]
