"""The four idx files of MNIST, in which Fashion-MNIST and others come: grey images and labels, bare or in gzip.

Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv:1708.07747. The format is that of LeCun, Cortes and Burges, "The MNIST
database": two zero bytes, the type of the values (8 is uint8), the number of dimensions, each dimension as a big-endian
32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.archives import Found
from robustbench_msda.data.known import DatasetSpec
from robustbench_msda.data.members import LEAST_CAP, MOST_GROWTH, Listing
from robustbench_msda.data.stored import CLASSES, SPLITS, Arrays, Split, Splits, check_splits, decode_classes, one_line
from robustbench_msda.errors import DamagedData

PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
DIMENSIONS = {"images": 3, "labels": 1}
UINT8 = 8
GZIP = b"\x1f\x8b"
CHUNK = 2**20
MOST_IDX = 2**30


def file_of(split: Split, kind: str) -> str:
    """Return the name of the file of a split's ``images`` or ``labels``."""
    return f"{PREFIXES[split]}-{kind}-idx{DIMENSIONS[kind]}-ubyte"


FILES = tuple(file_of(split, kind) for split in SPLITS for kind in DIMENSIONS)


def is_idx(name: str) -> bool:
    """Return whether ``name`` is that of one of the four files."""
    return name.removesuffix(".gz") in FILES


def has_idx(listing: Listing, base: str) -> bool:
    """Return whether one of the four files lies at ``base``."""
    return any(_path(listing, base, name) for name in FILES)


def read_idx(found: Found, spec: DatasetSpec | None) -> tuple[tuple[str, ...], Splits]:
    """Return the class names and the images (N, rows, columns, 1) and labels of the splits in idx files.

    The names are those of ``spec``; of a set of the user's own, those in ``classes.txt`` beside the files.

    Raises:
        DamagedData: a file is missing, or is not what its header says.
    """
    splits = tuple(split for split in SPLITS if spec or _has_split(found, split))
    check_splits(splits, str(found.source.path))
    paths = {_needed(found, file_of(split, kind)): (split, kind) for split in splits for kind in DIMENSIONS}
    names = None if spec else _needed(found, CLASSES)
    arrays: dict[tuple[Split, str], NDArray[np.uint8]] = {}
    classes = spec.classes if spec else ()
    for path, data in found.source.read({*paths, *([names] if names else [])}):
        where = f"{found.source.path}: {path!r}"
        if path == names:
            classes = decode_classes(data, where)
        else:
            arrays[paths[path]] = parse(data, DIMENSIONS[paths[path][1]], where)
    return classes, {split: _joined(arrays[split, "images"], arrays[split, "labels"]) for split in splits}


def parse(data: bytes, dimensions: int, where: str) -> NDArray[np.uint8]:
    """Return the uint8 array in an idx file, bare or in gzip.

    Args:
        data: the bytes of the file.
        dimensions: how many it must have.
        where: the file to name in the message.

    Raises:
        DamagedData: it is none, holds more or less than its header says, or promises more than such a file can hold.
    """
    packed = data.startswith(GZIP)
    most = max(LEAST_CAP, MOST_GROWTH * len(data)) if packed else len(data)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) if packed else io.BytesIO(data) as stream:
            shape = _shape(stream.read(4 + 4 * dimensions), dimensions, where)
            values = _values(stream, math.prod(shape), most, where)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedData(f"{where}: the gzip file is damaged ({one_line(error)}); get it again") from None
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _shape(header: bytes, dimensions: int, where: str) -> tuple[int, ...]:
    """Return the dimensions that the header of an idx file states."""
    if header[:4] != bytes([0, 0, UINT8, dimensions]) or len(header) != 4 + 4 * dimensions:
        raise DamagedData(
            f"{where}: expected an idx file of {dimensions} dimensions of uint8, which begins with 0000080{dimensions}"
            f", found {header[:4].hex() or 'nothing'}; get it again"
        )
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", header[4:])
    if 0 in shape:
        raise DamagedData(f"{where}: expected values, found dimensions {shape}; get it again")
    return shape


def _values(stream: BinaryIO | gzip.GzipFile, size: int, most: int, where: str) -> bytearray:
    """Return the ``size`` bytes that ``stream`` has left: read piece by piece, for the header may lie."""
    values = bytearray()
    while size <= most and len(values) <= size and (chunk := stream.read(CHUNK)):
        values += chunk
    if len(values) != size:
        found = "more" if len(values) > size else f"{len(values):,}" if size <= most else "fewer"
        raise DamagedData(f"{where}: expected {size:,} values by its header, found {found}; get it again")
    return values


def _joined(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Arrays:
    return images[..., None], labels.astype(np.int64)


def _has_split(found: Found, split: Split) -> bool:
    return any(_path(found.listing, found.base, file_of(split, kind)) for kind in DIMENSIONS)


def _path(listing: Listing, base: str, name: str) -> str:
    """Return where a file is, in gzip or not; nothing where it is not there."""
    return next((path for path in (base + name, f"{base}{name}.gz") if path in listing.files), "")


def _needed(found: Found, name: str) -> str:
    """Return where a file is, or raise ``DamagedData``."""
    path = _path(found.listing, found.base, name)
    if not path:
        more = ", the class names, one a line in label order" if name == CLASSES else ""
        raise DamagedData(f"{found.source.path}: expected the file {found.base + name!r}{more}, found none; add it")
    if (size := found.listing.files[path]) > MOST_IDX:
        raise DamagedData(f"{found.source.path}: {path!r}: expected at most {MOST_IDX:,} bytes, found {size:,}")
    return path
