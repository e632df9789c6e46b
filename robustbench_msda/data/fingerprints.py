"""The data fingerprint: which images and labels a number was measured on (CONTRACT 2)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.records import digest

CACHE = "fingerprints.json"
CHUNK = 1024
SETTLED_NS = 2_000_000_000


def fingerprint(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """Return the hex SHA-256 of the labels and of the images, each with its shape, whatever holds them.

    Args:
        images: (N, side, side, C) uint8; read a thousand at a time.
        labels: (N,) int64.
    """
    sha = hashlib.sha256(f"labels {labels.shape}\n".encode())
    sha.update(labels.astype("<i8").tobytes())
    sha.update(f"images {images.shape}\n".encode())
    for start in range(0, len(images), CHUNK):
        sha.update(images[start : start + CHUNK].tobytes())
    return sha.hexdigest()


def cache_key(files: list[Path]) -> str:
    """Return what the fingerprint of ``files`` is remembered by: their path, size and time of change."""
    stats = [file.stat() for file in files]
    return digest(
        [[str(file.resolve()), stat.st_size, stat.st_mtime_ns] for file, stat in zip(files, stats, strict=True)]
    )


def remembered(cache: Path, key: str) -> str | None:
    """Return the fingerprint that ``cache`` keeps under ``key``; none where there is no such thing."""
    try:
        value = json.loads(cache.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if isinstance(value, str) and len(value) == 64 else None


def remember(cache: Path, key: str, value: str, files: list[Path]) -> None:
    """Keep ``value`` under ``key``, unless the files changed just now or the folder cannot be written to."""
    # A file changed twice within one tick of its clock keeps its time of change: young files are hashed again.
    if time.time_ns() - max(file.stat().st_mtime_ns for file in files) < SETTLED_NS:
        return
    part = cache.with_name(f".{cache.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # a read-only folder costs time, not the answer
        try:
            old = json.loads(cache.read_bytes())
        except (OSError, ValueError, RecursionError):
            old = {}
        part.write_text(json.dumps({**(old if isinstance(old, dict) else {}), key: value}, indent=1))
        part.replace(cache)
