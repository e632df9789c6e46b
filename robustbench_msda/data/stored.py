"""What a prepared data set is on disk, and the cheap checks that every opening makes.

``<name>/{train,test}/images.npy`` (N, side, side, C) uint8 with one channel (grey) or three (RGB), ``labels.npy`` (N,)
int64, ``classes.txt`` a class a line, and ``meta.json``. One of the two splits may be absent: ``train``, of data that
are only there to be evaluated on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from robustbench_msda.errors import DamagedData

Split = Literal["train", "test"]
Kind = Literal["official", "idx", "arrays", "folders"]
SPLITS: tuple[Split, ...] = ("train", "test")
META = "meta.json"
CLASSES = "classes.txt"
CHANNELS = (1, 3)  # grey, RGB
MOST_CLASSES = np.iinfo(np.int16).max  # predictions keep classes as int16
MOST_TEXT = 2**24

UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TokenError, TypeError, MemoryError, RecursionError)

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]
Colour = tuple[float, ...]
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
Splits = dict[Split, Arrays]


class Meta(BaseModel):
    """What ``meta.json`` says: counts, the statistics of the training images in [0, 1], the SHA-256 of every file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    source: Kind
    side: PositiveInt
    train: NonNegativeInt
    test: PositiveInt
    mean: tuple[Share, ...]
    std: tuple[Spread, ...]
    sha256: dict[str, str]

    @model_validator(mode="after")
    def _a_number_a_channel(self) -> Self:
        if len(self.mean) not in CHANNELS or len(self.mean) != len(self.std):
            raise ValueError(f"expected one or three numbers in mean and in std, got {len(self.mean)}, {len(self.std)}")
        return self

    def count(self, split: Split) -> int:
        """Return how many images a split has; 0 where it is absent."""
        return self.train if split == "train" else self.test

    @property
    def channels(self) -> int:
        """How many channels an image has."""
        return len(self.mean)

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that are there."""
        return tuple(split for split in SPLITS if self.count(split))


def one_line(error: BaseException) -> str:
    """Return the text of ``error`` on one line, cut to 200 characters: it may quote a stranger's file."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def read_meta(folder: Path) -> Meta:
    """Return what ``folder/meta.json`` says, or raise ``DamagedData``."""
    path = folder / META
    try:
        return Meta.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DamagedData(f"{path}: cannot be read ({one_line(error)}); {remedy(folder)}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DamagedData(f"{path}: {field}: {first['msg'].splitlines()[0]}; {remedy(folder)}") from None


def remedy(folder: Path) -> str:
    """Return what to do about a prepared data set that is damaged."""
    return f"move {folder} away and run: robustbench-msda data prepare {folder.name} --from SOURCE"


def read_array(path: Path) -> NDArray[np.generic]:
    """Return the array of a ``.npy`` file as a read-only memory map; nothing in it is ever unpickled.

    Raises:
        DamagedData: the file is missing or is not one whole array.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except UNREADABLE as error:
        raise DamagedData(f"{path}: expected a NumPy array file (.npy), found none ({one_line(error)})") from None


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the class names in ``path``, one a line, or raise ``DamagedData``."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_TEXT)
    except OSError as error:
        raise DamagedData(f"{path}: expected one class name a line in UTF-8 ({one_line(error)})") from None
    return decode_classes(data, str(path))


def decode_classes(data: bytes, where: str) -> tuple[str, ...]:
    """Return the class names in ``data``, one a line, or raise ``DamagedData``."""
    try:
        text = data[:MOST_TEXT].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedData(f"{where}: expected one class name a line in UTF-8 ({one_line(error)})") from None
    classes = tuple(line.strip() for line in text.splitlines() if line.strip())
    check_classes(classes, where)
    return classes


def check_splits(splits: Sequence[Split], where: str) -> None:
    """Raise ``DamagedData`` unless there are test images: a set can lack training images, but not these."""
    if "test" not in splits:
        raise DamagedData(f"{where}: expected test images, found {' and '.join(splits) or 'none'}; add a folder test")


def check_classes(classes: Sequence[str], where: str) -> None:
    """Raise ``DamagedData`` unless there are two classes or more, all different, with printable names."""
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise DamagedData(f"{where}: expected 2 to {MOST_CLASSES:,} classes, found {len(classes)}")
    if bad := next((name for name in classes if not name.isprintable() or name != name.strip()), None):
        raise DamagedData(f"{where}: class {bad!r}: expected a printable name without spaces around it; rename it")
    if len(set(classes)) != len(classes):
        double = next(name for name in classes if classes.count(name) > 1)
        raise DamagedData(f"{where}: class {double!r} is listed twice; rename one")


def check_arrays(images: NDArray[np.generic], labels: NDArray[np.generic], classes: int, where: str) -> None:
    """Raise ``DamagedData`` unless the arrays can be images and labels of ``classes`` classes.

    Args:
        images: expected (N, side, side, 3 or 1) uint8 with N ≥ 1; their bytes are not read.
        labels: expected (N,) of an integer type in [0, classes).
        classes: how many classes there are.
        where: the file or source to name in the message.
    """
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[3] not in CHANNELS or not shape[1] == shape[2] > 0:
        raise DamagedData(
            f"{where} images: expected shape (N, side, side, 3), or (N, side, side) for grey ones, and type uint8 "
            f"(levels 0 to 255), found {shape} {images.dtype}; convert them first"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DamagedData(
            f"{where} labels: expected shape (N,) and whole numbers, found {labels.shape} {labels.dtype}; convert them"
        )
    if not len(labels) == shape[0] >= 1:
        raise DamagedData(
            f"{where}: expected as many labels as images, at least one, found {len(labels):,} labels and "
            f"{shape[0]:,} images; one of the two files is not of this set"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DamagedData(
            f"{where} labels: expected 0 to {classes - 1} ({classes} classes), found {low} to {high}; "
            f"correct the labels or {CLASSES}"
        )


def read_split(folder: Path, classes: int, where: str) -> Arrays:
    """Return the images, memory-mapped, and the labels in ``folder``, checked, or raise ``DamagedData``.

    Grey images (N, side, side) are taken as images of one channel.
    """
    images, labels = (read_array(folder / f"{kind}.npy") for kind in ("images", "labels"))
    images = images[..., None] if images.ndim == 3 else images
    check_arrays(images, labels, classes, where)
    return images.astype(np.uint8, copy=False), np.array(labels, dtype=np.int64)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that make up a prepared data set, by path relative to ``folder``."""
    names = [CLASSES, *(f"{split}/{kind}.npy" for split in SPLITS for kind in ("images", "labels"))]
    hashes = {}
    for name in names:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
