"""Small data sets in every layout that people have, and what it means to be refused properly."""

from __future__ import annotations

import gzip
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.data.classes import CIFAR10
from robustbench_msda.data.known import DATASETS
from robustbench_msda.errors import UserError

CLASSES = ("cat", "dog", "eel")
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
AnyArrays = tuple[NDArray[np.generic], NDArray[np.generic]]
T = TypeVar("T")


@contextmanager
def refused(kind: type[UserError], *fragments: object, untouched: Path | None = None) -> Iterator[None]:
    """Demand one line that holds every fragment, and that nothing was left in the folder ``untouched``."""
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 600
    for fragment in fragments:
        assert str(fragment) in text
    if untouched is not None and untouched.is_dir():
        assert list(untouched.iterdir()) == []


def result_or_refusal(call: Callable[[], T]) -> T | None:
    """Return what ``call`` returns, or nothing where it refused in one line; any other failure is one of ours."""
    try:
        return call()
    except UserError as error:
        text = str(error)
    assert "\n" not in text
    return None


def pictures(count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Return (count, side, side, 3) noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def splits(per_class: int = 3, classes: int = 3, side: int = 6) -> dict[str, Arrays]:
    """Return a train and a test split, labels class by class."""
    labels = np.repeat(np.arange(classes), per_class)
    return {name: (pictures(len(labels), side, seed), labels) for seed, name in enumerate(("train", "test"))}


def write_arrays(
    folder: Path,
    data: Mapping[str, AnyArrays],
    classes: tuple[str, ...] = CLASSES,
) -> Path:
    for split, (images, labels) in data.items():
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        np.save(folder / split / "labels.npy", labels)
    (folder / "classes.txt").write_text("\n".join(classes) + "\n")
    return folder


def write_idx(folder: Path, data: Mapping[str, AnyArrays], names: str = "", suffix: str = "") -> Path:
    """Write the idx files of grey images (N, side, side), in gzip where ``suffix`` is ``.gz``, and any names."""
    folder.mkdir(parents=True)
    for split, pair in data.items():
        for kind, array in zip(("images", "labels"), pair, strict=True):
            content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            content += array.astype(np.uint8).tobytes()
            name = f"{'t10k' if split == 'test' else 'train'}-{kind}-idx{array.ndim}-ubyte{suffix}"
            (folder / name).write_bytes(gzip.compress(content, mtime=0) if suffix else content)
    if names:
        (folder / "classes.txt").write_text(names)
    return folder


def write_folders(
    folder: Path,
    data: Mapping[str, AnyArrays],
    classes: tuple[str, ...] = CLASSES,
    suffix: str = "png",
) -> Path:
    for split, (images, labels) in data.items():
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = folder / split / classes[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:05d}.{suffix}")
    return folder


def write_zip(folder: Path, archive: Path, base: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(folder.rglob("*"), reverse=True):
            out.write(path, base + path.relative_to(folder).as_posix())
    return archive


def write_tar(folder: Path, archive: Path, mode: str, base: str = "") -> Path:
    with tarfile.open(archive, mode) as out:
        for path in sorted(folder.rglob("*"), reverse=True):
            out.add(path, base + path.relative_to(folder).as_posix(), recursive=False)
    return archive


def png(image: NDArray[np.uint8]) -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


# Python 2 wrote the official batches: protocol 2, byte strings by the opcodes U and T, NumPy's old module names.
def _text(data: bytes) -> bytes:
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _list(items: list[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def _array(rows: NDArray[np.uint8], code: bytes = b"u1") -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + _number(0) + b"\x85" + _text(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + _text(code) + _number(0) + _number(1) + b"\x87R"
    dtype += b"(" + _number(3) + _text(b"|") + b"NNN" + _number(-1) + _number(-1) + _number(0) + b"tb"
    shape = _number(rows.shape[0]) + _number(rows.shape[1]) + b"\x86"
    return made + b"(" + _number(1) + shape + dtype + b"\x89" + _text(rows.tobytes()) + b"tb"


def python2_pickle(pairs: Mapping[bytes, bytes]) -> bytes:
    """Return the pickle of a dictionary whose values are pickled already."""
    return b"\x80\x02}(" + b"".join(_text(key) + value for key, value in pairs.items()) + b"u."


def batch(images: NDArray[np.uint8], labels: NDArray[np.int64], key: bytes = b"labels", code: bytes = b"u1") -> bytes:
    """Return an official batch as Python 2 pickled it."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))
    names = _list([_text(b"name.png")] * len(images))
    return python2_pickle({
        b"data": _array(rows, code), key: _list([_number(int(label)) for label in labels]),
        b"batch_label": _text(b"training batch 1 of 5"), b"filenames": names,
    })  # fmt: skip


def names(classes: tuple[str, ...], key: bytes = b"label_names") -> bytes:
    return python2_pickle({b"num_cases_per_batch": _number(10), key: _list([_text(name.encode()) for name in classes])})


def write_cifar10(folder: Path) -> tuple[Path, dict[str, NDArray[np.uint8]]]:
    """Write the official folder with one image of each class in every batch; return it and the images by batch."""
    folder.mkdir(parents=True)
    images = {}
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images[name] = pictures(10, 32, seed)
        (folder / name).write_bytes(batch(images[name], np.arange(10)[::-1]))
    (folder / "batches.meta").write_bytes(names(CIFAR10))
    (folder / "readme.html").write_text("<html>")
    return folder, images


def shrink(monkeypatch: pytest.MonkeyPatch, name: str, train: int, test: int, **changes: object) -> None:
    """Make a known data set small."""
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], train=train, test=test, **changes))
