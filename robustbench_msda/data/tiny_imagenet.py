"""The official folders of Tiny ImageNet: pictures one folder deeper than classes, and a list of validation classes."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from robustbench_msda.data.archives import Found
from robustbench_msda.data.known import DatasetSpec, check_count
from robustbench_msda.data.pictures import Pictures
from robustbench_msda.data.stored import Split
from robustbench_msda.errors import DamagedData

ANNOTATIONS = "val/val_annotations.txt"
MOST_ANNOTATIONS = 2**24


def find_tiny_imagenet(found: Found, spec: DatasetSpec) -> Pictures:
    """Return the pictures of ``tiny-imagenet-200``, none of which have been read yet, ordered by class, then file name.

    Its validation images are the test split, as in every paper: the labels of its test images are not given out.

    Raises:
        DamagedData: a list is damaged, a class is strange, or the counts are not those of ``spec``.
    """
    by_split: dict[Split, dict[str, list[str]]] = {"train": _training(found), "test": _validation(found)}
    splits = {}
    for split, by_class in by_split.items():
        if strange := sorted(set(by_class) ^ set(spec.classes)):
            state = "is no class of it" if strange[0] in by_class else "is missing"
            raise DamagedData(f"{found.source.path}: {split} class {strange[0]!r} {state}; get {spec.name} again")
        paths = tuple(path for name in spec.classes for path in sorted(by_class[name]))
        check_count(spec, split, len(paths), str(found.source.path))
        counts = [len(by_class[name]) for name in spec.classes]
        splits[split] = (paths, np.repeat(np.arange(len(counts)), counts))
    return Pictures(found.source, spec.classes, splits)


def _training(found: Found) -> dict[str, list[str]]:
    """Return the pictures ``train/<class>/images/<file>`` by class; the boxes beside them are left aside."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for path in found.listing.files:
        match path.removeprefix(found.base).split("/"):
            case ["train", name, "images", _] if path.startswith(found.base):
                by_class[name].append(path)
    return by_class


def _validation(found: Found) -> dict[str, list[str]]:
    """Return the pictures ``val/images/<file>`` by the class that the list gives them."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(_annotations(found).splitlines(), 1):
        name, *rest = line.split("\t")
        path = f"{found.base}val/images/{name}"
        if not rest or path not in found.listing.files:
            raise DamagedData(
                f"{found.source.path}: {ANNOTATIONS} line {number}: expected a picture of val/images and its class, "
                f"found {line[:60]!r}; get it again"
            )
        by_class[rest[0]].append(path)
    return by_class


def _annotations(found: Found) -> str:
    wanted = found.base + ANNOTATIONS
    if found.listing.files[wanted] > MOST_ANNOTATIONS:
        raise DamagedData(f"{found.source.path}: {wanted!r} is larger than the official list; get it again")
    data = next(data for _, data in found.source.read({wanted}))
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise DamagedData(f"{found.source.path}: {wanted!r}: expected plain text; get it again") from None
