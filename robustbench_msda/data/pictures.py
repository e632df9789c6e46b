"""Class folders: ``{train,test}/<class>/<picture>``, decoded one at a time into the arrays of a prepared set."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.data.archives import Found, Source
from robustbench_msda.data.decoding import FORMATS, UNDECODABLE, reason
from robustbench_msda.data.known import DatasetSpec, check_count
from robustbench_msda.data.members import Listing
from robustbench_msda.data.stored import SPLITS, Split, check_classes, check_splits
from robustbench_msda.errors import DamagedData

Progress = Callable[[int, int], None]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
MOST_PICTURE = 2**24
MOST_SIDE = 2**12


@dataclass(frozen=True)
class Pictures:
    """The class folders of a source: paths of each split sorted by class, then by name, and the class of each."""

    source: Source
    classes: tuple[str, ...]
    splits: dict[Split, tuple[tuple[str, ...], NDArray[np.int64]]]

    @property
    def total(self) -> int:
        """How many pictures there are."""
        return sum(len(paths) for paths, _ in self.splits.values())


def find_pictures(found: Found, spec: DatasetSpec | None) -> Pictures:
    """Return the class folders of a source, none of whose pictures have been read yet.

    Classes are numbered in the order of ``spec``, or else of their sorted names. Images are ordered by class, then by
    file name, which is not the order of the official files.

    Raises:
        DamagedData: a class folder is missing or empty, a file is in no place for a picture, or ``spec`` is not met.
    """
    source, listing, base = found
    present = tuple(split for split in SPLITS if base + split in listing.folders)
    check_splits(present, str(source.path))
    by_split = {split: _by_class(source, listing, f"{base}{split}/") for split in present}
    classes = _classes(source, by_split, spec)
    splits = {}
    for split, by_class in by_split.items():
        paths = tuple(path for name in classes for path in sorted(by_class[name]))
        if spec is not None:
            check_count(spec, split, len(paths), str(source.path))
        splits[split] = (paths, np.repeat(np.arange(len(classes)), [len(by_class[name]) for name in classes]))
    return Pictures(source, classes, splits)


def write_pictures(pictures: Pictures, folder: Path, side: int | None, progress: Progress | None) -> None:
    """Write ``folder/{train,test}/images.npy`` and ``labels.npy``, one picture in memory at a time.

    Args:
        pictures: what to read.
        folder: where to write.
        side: the height and width every picture must have; none takes the first one's.
        progress: called with how many are done and how many there are, after each picture.

    Raises:
        DamagedData: a file is no picture, or one of another size.
    """
    done = 0
    for split, (paths, labels) in pictures.splits.items():
        (folder / split).mkdir()
        np.save(folder / split / "labels.npy", labels)
        decoded = _decoded(pictures.source, paths, side)
        first = next(decoded)
        side = first[1].shape[0]
        with (folder / split / "images.npy").open("wb") as file:
            start = _write_header(file, (len(paths), side, side, 3))
            # Written, not mapped: a full disk then is an error, where a map would kill the process.
            for position, image in chain([first], decoded):
                file.seek(start + position * image.nbytes)
                file.write(image.tobytes())
                done += 1
                if progress is not None:
                    progress(done, pictures.total)


def decode(data: bytes, side: int | None, where: str) -> NDArray[np.uint8]:
    """Return one picture as (side, side, 3) uint8; grey becomes RGB, transparency is dropped.

    Args:
        data: the bytes of a PNG, JPEG, WebP or BMP file.
        side: the height and width it must have; none takes any square.
        where: the file to name in the message.

    Raises:
        DamagedData: the bytes are no such picture, or one of another size or of more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_header(picture, side, where)
            return np.asarray((picture if picture.mode == "RGB" else picture.convert("RGBA")).convert("RGB"))
    except UNDECODABLE as error:
        raise DamagedData(f"{where}: expected a PNG, JPEG, WebP or BMP picture ({reason(error)}); replace it") from None


def _check_header(picture: Image.Image, side: int | None, where: str) -> None:
    """Raise ``DamagedData`` for a wrong size or mode, before any pixel is decoded."""
    width, height = picture.size
    if picture.mode not in MODES:
        raise DamagedData(f"{where}: expected 8-bit grey or RGB, found mode {picture.mode}; convert it")
    if side is None and (width != height or width > MOST_SIDE):
        raise DamagedData(f"{where}: expected a square picture, found {width}×{height}; crop or resize all to one size")
    if side is not None and (width, height) != (side, side):
        raise DamagedData(f"{where}: expected {side}×{side} pixels, found {width}×{height}; resize it")


def _decoded(source: Source, paths: tuple[str, ...], side: int | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield every picture with its position in ``paths``, in the order the source is quickest to read."""
    positions = {path: position for position, path in enumerate(paths)}
    for path, data in source.read(positions):
        image = decode(data, side, f"{source.path}: {path!r}")
        side = image.shape[0]
        yield positions.pop(path), image
    if positions:
        raise DamagedData(f"{source.path}: {next(iter(positions))!r} went away while it was read; try again")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """Write the header of a uint8 ``.npy`` file and return where its first byte goes."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


def _by_class(source: Source, listing: Listing, prefix: str) -> dict[str, list[str]]:
    """Return the pictures of each class folder under ``prefix``, which ends in a slash."""
    found: dict[str, list[str]] = {
        name: [] for path in listing.folders if path.startswith(prefix) and "/" not in (name := path[len(prefix) :])
    }
    for path, size in listing.files.items():
        if not path.startswith(prefix):
            continue
        name, _, file = path[len(prefix) :].partition("/")
        if not file or "/" in file or PurePosixPath(file).suffix.lower() not in SUFFIXES:
            raise DamagedData(
                f"{source.path}: {path!r} is no picture in a class folder: expected {prefix}CLASS/FILE with one of "
                f"{', '.join(SUFFIXES)}; move it away"
            )
        if size > MOST_PICTURE:
            raise DamagedData(f"{source.path}: {path!r}: expected at most {MOST_PICTURE:,} bytes, found {size:,}")
        found[name].append(path)
    if empty := sorted(name for name, paths in found.items() if not paths):
        raise DamagedData(f"{source.path}: class folder {prefix + empty[0]!r} holds no picture; fill it or remove it")
    return found


def _classes(source: Source, found: dict[Split, dict[str, list[str]]], spec: DatasetSpec | None) -> tuple[str, ...]:
    """Return the classes in label order, the same in every split and those of ``spec``, or raise ``DamagedData``."""
    union = sorted({name for by_class in found.values() for name in by_class})
    classes = tuple(union) if spec is None else spec.classes
    for split, by_class in found.items():
        if strange := sorted(set(by_class) ^ set(classes)):
            state = "is no class of this data set" if strange[0] in by_class else "is missing"
            raise DamagedData(
                f"{source.path}: class folder {f'{split}/{strange[0]}'!r} {state}; every split needs them all"
            )
    check_classes(classes, str(source.path))
    return classes
