"""What looking at a benchmark's folder tells: what lacks, what is wrong, and a checksum for each piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from robustbench_msda.progress import Progress

NAMED = 4
CHECKSUM_DIGITS = 12


@dataclass(frozen=True)
class Row:
    """One piece of a benchmark: a condition at a level, what it holds, and the first digits of its SHA-256."""

    condition: str
    level: str
    detail: str
    checksum: str = ""


@dataclass(frozen=True)
class Survey:
    """What was found in a folder.

    Attributes:
        missing: what must be there and is not, such as ``fog`` or ``fog/3``.
        absent: likewise, of what may be left out.
        wrong: what cannot be right, each a sentence that names the file or folder.
        detail: what is there, in a few words.
        rows: a row for every piece, where all of it was looked at.
    """

    missing: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    detail: str = ""
    rows: tuple[Row, ...] = field(default=())


def benchmark_folder(data_dir: Path, name: str, official: str) -> Path:
    """Return where a benchmark lies, or would: under its own name, or else under that its authors gave it."""
    own, theirs = data_dir / name, data_dir / official
    return theirs if theirs.is_dir() and not own.is_dir() else own


class Layout(Protocol):
    """How a benchmark lies on disk."""

    @property
    def name(self) -> str:
        """The name of its folder, snake_case."""
        ...

    @property
    def official(self) -> str:
        """The name its authors gave the folder, also accepted."""
        ...

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of all files or folders that may lie at its top."""
        ...

    def lacking(self, folder: Path, tops: Sequence[str]) -> list[str]:
        """Return what is not there of the files and folders ``tops``, without looking into files."""
        ...

    def quick(self, folder: Path, data_dir: Path) -> Survey:
        """Return what can be told in seconds; ``data_dir`` may hold the clean images."""
        ...

    def full(self, folder: Path, data_dir: Path, progress: Progress) -> Survey:
        """Return what can be told by looking at every piece."""
        ...


def named(names: Sequence[str], most: int = NAMED) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
