"""The official CIFAR batches: pickles of Python 2, read by an unpickler that can build nothing but plain values."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.archives import Found
from robustbench_msda.data.known import DatasetSpec, check_classes_known
from robustbench_msda.data.stored import Arrays, Splits, one_line
from robustbench_msda.errors import DamagedData

MOST_BATCH = 2**28
MOST_ROWS = 2**17


@dataclass(frozen=True)
class Batches:
    """Which files of an official folder make up a data set, and the keys of what is in them."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels: bytes
    names: bytes

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is needed."""
        return (*self.train, *self.test, self.meta)


FIRST_FOUR = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4")

# The layouts described on the data sets' page, https://www.cs.toronto.edu/~kriz/cifar.html
OFFICIAL: dict[str, Batches] = {
    "cifar10": Batches((*FIRST_FOUR, "data_batch_5"), ("test_batch",), "batches.meta", b"labels", b"label_names"),
    "cifar10_40k": Batches(FIRST_FOUR, ("data_batch_5",), "batches.meta", b"labels", b"label_names"),
    "cifar100": Batches(("train",), ("test",), "meta", b"fine_labels", b"fine_label_names"),
}


def read_official(found: Found, spec: DatasetSpec) -> tuple[tuple[str, ...], Splits]:
    """Return the class names and the images and labels of the splits of ``spec`` from official batches.

    Args:
        found: the source, and the folder of the batches in it.
        spec: the data set, a key of ``OFFICIAL``.

    Raises:
        DamagedData: a batch is missing, cannot be read, holds something else or would build a forbidden object.
    """
    layout = OFFICIAL[spec.name]
    source, listing, base = found
    for name in layout.files:
        if base + name not in listing.files:
            raise DamagedData(f"{source.path}: expected the official batch {base + name!r}, found none; get it again")
        if listing.files[base + name] > MOST_BATCH:
            raise DamagedData(f"{source.path}: {base + name!r} is larger than any official batch; get it again")
    values = {
        path.removeprefix(base): _dictionary(data, f"{source.path}: {path!r}")
        for path, data in source.read({base + name for name in layout.files})
    }
    classes = _names(values[layout.meta], layout.names, f"{source.path}: {base + layout.meta!r}")
    check_classes_known(spec, classes, f"{source.path}: {base + layout.meta!r}")
    batches = {
        name: _batch(values[name], layout.labels, spec.side, f"{source.path}: {base + name!r}")
        for name in (*layout.train, *layout.test)
    }
    return classes, {
        "train": _joined([batches[name] for name in layout.train]),
        "test": _joined([batches[name] for name in layout.test]),
    }


def _joined(batches: list[Arrays]) -> Arrays:
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _names(values: dict[object, object], key: bytes, where: str) -> tuple[str, ...]:
    names = values.get(key)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DamagedData(f"{where}: expected a list of names under {key!r}; get it again")
    return tuple(name.decode("utf-8", "replace") for name in names)


def _batch(values: dict[object, object], labels_key: bytes, side: int, where: str) -> Arrays:
    """Return the images (n, side, side, 3) and labels (n,) of one batch, whose rows are red, green and blue planes."""
    rows, labels = values.get(b"data"), values.get(labels_key)
    if not isinstance(rows, _PickledArray):
        raise DamagedData(f"{where}: expected an array under b'data', found {type(rows).__name__}; get it again")
    flat = rows.rows(3 * side * side, where)
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 2**15 for label in labels):
        raise DamagedData(f"{where}: expected a list of labels under {labels_key!r}; get it again")
    if len(labels) != len(flat):
        raise DamagedData(f"{where}: found {len(labels):,} labels for {len(flat):,} images; get it again")
    images = np.ascontiguousarray(flat.reshape(-1, 3, side, side).transpose(0, 2, 3, 1))
    return images, np.array(labels, dtype=np.int64)


class _PickledType:
    """Stands in for ``numpy.dtype``: remembers whether the code of the type is that of uint8."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.is_uint8 = code in ("u1", b"u1")

    def __setstate__(self, state: object) -> None:
        """Forget the byte order and flags: one-byte types have none."""


class _PickledArray:
    """Stands in for ``numpy.ndarray``: remembers what the pickle says of it; NumPy never sees a stranger's state."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def rows(self, width: int, where: str) -> NDArray[np.uint8]:
        """Return the (n, width) uint8 array it stands for, or raise ``DamagedData``."""
        match self.state:
            # The last but one says whether rows are contiguous (False or 0), as in every official file.
            case (_, (int(count), int(found)), _PickledType(is_uint8=True), 0, bytes(data)) if found == width:
                if 0 < count <= MOST_ROWS and len(data) == count * width:
                    return np.frombuffer(data, dtype=np.uint8).reshape(count, width)
        raise DamagedData(f"{where}: expected rows of {width} bytes (uint8) under b'data'; get it again")


class _Maker:
    """Stands in for a function a pickle may call; it has no state that a pickle could change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Maker(lambda *_: _PickledArray()),
    ("numpy._core.multiarray", "_reconstruct"): _Maker(lambda *_: _PickledArray()),
    ("numpy", "ndarray"): _Maker(lambda *_: _PickledArray()),
    ("numpy", "dtype"): _Maker(_PickledType),
}


class _Unpickler(pickle.Unpickler):
    """Builds numbers, texts, lists, dictionaries and the stand-ins above; every other name is refused."""

    def find_class(self, module: str, name: str, /) -> _Maker:
        if (module, name) not in ALLOWED:
            raise DamagedData(f"it asks for {f'{module}.{name}'!r}, which official batches never do; get it again")
        return ALLOWED[module, name]


def _dictionary(data: bytes, where: str) -> dict[object, object]:
    """Return the dictionary pickled in ``data``; refuse to build anything else."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # The place to remember a value at: C's unpickler fills its memory up to there, whatever the file's length.
            if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > len(data):
                raise pickle.UnpicklingError("it remembers more values than it has")
        value = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except DamagedData as error:
        raise DamagedData(f"{where}: {error}") from None
    except Exception as error:  # a hostile pickle can raise any exception at all
        raise DamagedData(f"{where}: expected a pickled batch ({one_line(error)}); get it again") from None
    if not isinstance(value, dict):
        raise DamagedData(f"{where}: expected a dictionary, found {type(value).__name__}; get it again")
    return value
