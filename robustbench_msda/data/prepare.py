"""Turn what people have — official batches, class folders, arrays — into a prepared data set, whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.archives import Folder, Found, Source, open_source
from robustbench_msda.data.arrays import read_arrays
from robustbench_msda.data.datasets import Dataset, dataset_name, open_dataset
from robustbench_msda.data.idx import has_idx, is_idx, read_idx
from robustbench_msda.data.known import DATASETS, DatasetSpec, check_known
from robustbench_msda.data.members import Listing
from robustbench_msda.data.official import OFFICIAL, read_official
from robustbench_msda.data.pictures import Pictures, Progress, find_pictures, write_pictures
from robustbench_msda.data.stored import (
    CLASSES,
    META,
    SPLITS,
    Colour,
    Kind,
    Meta,
    Splits,
    file_hashes,
    one_line,
    read_split,
)
from robustbench_msda.data.tiny_imagenet import ANNOTATIONS, find_tiny_imagenet
from robustbench_msda.errors import DamagedData, UserError

CHUNK = 1024
TINY_IMAGENET = "tiny_imagenet"
logger = logging.getLogger(__name__)


def prepare(name: str, source: Path, data_dir: Path, progress: Progress | None = None) -> Dataset:
    """Return the data set made from ``source`` and stored as ``data_dir/name``.

    It is built in a folder beside and renamed into place, so that nothing is ever half-written; a
    kill leaves at most a hidden ``.NAME.PID.part`` beside it. Where the same
    data set is already there, a warning is logged and nothing changes. A name that is not in ``DATASETS`` is a data
    set of the user's own: its side is that of its first image, its mean and deviation are measured.

    Args:
        name: what to call it; ``-`` reads as ``_``.
        source: a folder, a zip or a tar: the official CIFAR batches or Tiny ImageNet, the four idx files of
            Fashion-MNIST or, beside ``classes.txt``, of a set like it, or class folders ``{train,test}/<class>/``;
            or a folder of arrays ``{train,test}/images.npy``, ``labels.npy``,
            ``classes.txt``. There may be no train.
        data_dir: the folder that holds a folder for each prepared set; made where it is missing.
        progress: called with how many pictures are done and how many there are.

    Raises:
        MissingData: there is no ``source``.
        DamagedData: a file of it cannot be what it claims to be, or is not of the set of this name.
        UserError: ``source`` is of no known layout, another set is in the way, or the disk cannot be written to.
    """
    name = dataset_name(name)
    spec = DATASETS.get(name)
    if spec is not None and spec.embedded:
        raise UserError(f"data set {name!r} {spec.get}: choose another name")
    if spec is not None and spec.view is not None:
        raise UserError(f"data set {name!r} is not prepared: {spec.get}; or choose another name")
    if is_idx(source.name):
        raise UserError(f"--from {source}: this is one of the four files: name the folder that holds them")
    target = data_dir / name
    try:
        kind, found = recognise(name, open_source(source))
        with _staged(target) as folder:
            classes = _write(kind, found, spec, folder, progress)
            _seal(folder, name, kind, classes, str(source))
            _install(folder, target)
    except OSError as error:
        raise UserError(
            f"cannot prepare {name!r} in {data_dir}: {one_line(error)}; free space or mend the permissions"
        ) from None
    return open_dataset(name, data_dir)


def recognise(name: str, source: Source) -> tuple[Kind, Found]:
    """Return the layout of a source and where in it that begins: at its top or in a folder there.

    Raises:
        UserError: it has no known layout, has it more than once, or holds the official files of another name.
    """
    listing = source.listing()
    tops = sorted(path for path in listing.folders if "/" not in path)
    found = [(kind, base) for base in ("", *(f"{top}/" for top in tops)) for kind in _kinds(name, listing, base)]
    if not found:
        raise UserError(
            f"--from {source.path}: expected {'the official files, ' if name in (*OFFICIAL, TINY_IMAGENET) else ''}"
            f"class folders train|test/CLASS/FILE.png, idx files train-images-idx3-ubyte … or arrays "
            f"train|test/images.npy, labels.npy, found {_sample(listing)}{_official_hint(name, listing)}"
        )
    if len(found) > 1 and found[0][1]:
        raise UserError(
            f"--from {source.path}: expected one data set, found {found[0][1]!r} and {found[1][1]!r}; name one of them"
        )
    kind, base = found[0]
    if kind == "arrays" and not isinstance(source, Folder):
        raise UserError(f"--from {source.path}: arrays are read from a folder; unpack it first and name the folder")
    return kind, Found(source, listing, base)


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Colour, Colour]:
    """Return mean and standard deviation of each channel in [0, 1], from exact counts of grey levels.

    Args:
        images: (N, side, side, C) uint8; read a thousand at a time.
    """
    channels = images.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), CHUNK):
        for channel in range(channels):
            counts[channel] += np.bincount(images[start : start + CHUNK, ..., channel].ravel(), minlength=256)
    shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    means = shares @ levels
    deviations = np.sqrt((shares * (levels - means[:, None]) ** 2).sum(axis=1))
    return tuple(means.tolist()), tuple(deviations.tolist())


def _kinds(name: str, listing: Listing, base: str) -> Iterator[Kind]:
    """Yield the layouts that begin at ``base``."""
    files = (ANNOTATIONS,) if name == TINY_IMAGENET else OFFICIAL[name].files if name in OFFICIAL else ()
    if any(base + file in listing.files for file in files):
        yield "official"
    elif has_idx(listing, base):
        yield "idx"
    elif any(f"{base}{split}/{kind}.npy" in listing.files for split in SPLITS for kind in ("images", "labels")):
        yield "arrays"
    elif any(base + split in listing.folders for split in SPLITS):
        yield "folders"


def _official_hint(name: str, listing: Listing) -> str:
    files = {path.rpartition("/")[2] for path in listing.files}
    others = [other for other, layout in OFFICIAL.items() if other != name and files.issuperset(layout.files)]
    return f"; these are official batches: prepare them as {' or '.join(others)}" if others else ""


def _sample(listing: Listing) -> str:
    names = sorted({path.partition("/")[0] for path in (*listing.files, *listing.folders)})
    return ", ".join(repr(name) for name in names[:5]) + (" …" if len(names) > 5 else "") or "nothing"


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Give a new folder beside ``target`` and remove it whatever happens."""
    folder = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(
    kind: Kind, found: Found, spec: DatasetSpec | None, folder: Path, progress: Progress | None
) -> tuple[str, ...]:
    """Write the arrays of every split into ``folder`` and return the classes."""
    if pictures := _pictures(kind, found, spec):
        write_pictures(pictures, folder, None if spec is None else spec.side, progress)
        return pictures.classes
    if kind == "official" and spec is not None:
        classes, splits = read_official(found, spec)
    elif kind == "idx":
        classes, splits = read_idx(found, spec)
    else:
        classes, splits = read_arrays(found.source.path / found.base, spec)
    _save(splits, folder)
    return classes


def _pictures(kind: Kind, found: Found, spec: DatasetSpec | None) -> Pictures | None:
    """Return the pictures of a source; none where it holds arrays or batches."""
    if kind == "folders" and spec is not None and spec.channels == 1:
        raise UserError(
            f"--from {found.source.path}: class folders make RGB images, {spec.name} is grey; {spec.get}; "
            "or choose another name"
        )
    if kind == "folders":
        return find_pictures(found, spec)
    if kind == "official" and spec is not None and spec.name == TINY_IMAGENET:
        return find_tiny_imagenet(found, spec)
    return None


def _save(splits: Splits, folder: Path) -> None:
    for split, (images, labels) in splits.items():
        (folder / split).mkdir()
        np.save(folder / split / "images.npy", np.ascontiguousarray(images))
        np.save(folder / split / "labels.npy", labels)


def _seal(folder: Path, name: str, kind: Kind, classes: tuple[str, ...], where: str) -> None:
    """Check what was written as an opening would, and add ``classes.txt`` and ``meta.json``."""
    (folder / CLASSES).write_text("\n".join(classes) + "\n", encoding="utf-8")
    spec = DATASETS.get(name)
    splits = {
        split: read_split(folder / split, len(classes), f"{where}: {split}")
        for split in SPLITS
        if (folder / split).is_dir()
    }
    shape = _common_shape(splits, where)
    for split, (_, labels) in splits.items():
        if spec is not None:
            check_known(spec, split, shape, labels, where)
    measured = splits.get("train", splits["test"])[0]
    mean, std = channel_statistics(measured) if spec is None else (spec.mean, spec.std)
    if min(std) == 0:
        raise DamagedData(f"{where}: expected pictures, found a channel that is the same in every pixel of all of them")
    counts = {split: len(labels) for split, (_, labels) in splits.items()}
    meta = Meta(
        name=name,
        source=kind,
        side=shape[0],
        train=counts.get("train", 0),
        test=counts["test"],
        mean=mean,
        std=std,
        sha256=file_hashes(folder),
    )
    (folder / META).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _common_shape(splits: Splits, where: str) -> tuple[int, ...]:
    """Return (side, side, C), the shape of an image of every split, or raise ``DamagedData``."""
    sides = sorted({images.shape[1] for images, _ in splits.values()})
    if len(sides) > 1:
        raise DamagedData(f"{where}: expected images of one size in train and test, found sides {sides}; resize them")
    shapes = sorted({images.shape[1:] for images, _ in splits.values()})
    if len(shapes) > 1:
        raise DamagedData(f"{where}: expected grey images in both of train and test, or RGB in both, found {shapes}")
    return shapes[0]


def _install(folder: Path, target: Path) -> None:
    """Rename the finished ``folder`` to ``target``, unless something is there already."""
    if not target.exists():
        folder.rename(target)
    elif file_hashes(target) == file_hashes(folder):
        logger.warning("%s already holds the same images and labels: nothing was changed", target)
    else:
        raise UserError(
            f"{target} is already there and holds something else: remove that folder first or choose another name"
        )
