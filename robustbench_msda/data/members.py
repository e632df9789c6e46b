"""The names and sizes of an archive's members, and which of them are refused before anything is read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from robustbench_msda.errors import DamagedData

# Pictures hardly compress: an archive that promises to grow by more than this is a bomb.
MOST_GROWTH = 100
LEAST_CAP = 2**26
MOST_FILES = 2**22
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")


class Listing(NamedTuple):
    """The files of a source by relative POSIX path, with their sizes in bytes, and its folders."""

    files: dict[str, int]
    folders: frozenset[str]


def listed(path: Path, found: list[tuple[str, int | None]]) -> Listing:
    """Return the listing of archive members (path and size, no size for a folder), or raise ``DamagedData``."""
    if len(found) > MOST_FILES:
        raise DamagedData(
            f"{path}: expected at most {MOST_FILES:,} files, found {len(found):,}; this is no set of images"
        )
    files: dict[str, int] = {}
    folders: set[str] = set()
    for raw, size in found:
        pure = PurePosixPath(raw)
        nameless = size is not None and not pure.parts
        if nameless or pure.is_absolute() or ".." in pure.parts or "\\" in raw or "\0" in raw:
            raise DamagedData(
                f"{path}: member {raw!r} is no place inside the archive; make it again without that member"
            )
        if any(hidden(part) for part in pure.parts):
            continue
        name = str(pure)
        if name in files:
            raise DamagedData(f"{path}: member {raw!r} is there twice; make the archive again with one")
        parents = [str(parent) for parent in pure.parents if parent.parts]
        folders.update(parents if size is not None else [*parents, name])
        if size is not None:
            files[name] = size
    return Listing(files, frozenset(folders) - {"."})


def plain(name: str) -> str:
    """Return the path of a member without leading ``./``."""
    return str(PurePosixPath(name))


def hidden(name: str) -> bool:
    """Whether a file or folder is what systems leave behind."""
    return name.startswith(".") or name in IGNORED


def cap(path: Path) -> int:
    """Return how many bytes an archive may expand to."""
    return max(LEAST_CAP, MOST_GROWTH * path.stat().st_size)


def bomb(path: Path, most: int) -> str:
    """Return the message about an archive that expands to more than ``most`` bytes."""
    return (
        f"{path}: expands to more than {most:,} bytes, far beyond what images need; unpack it yourself if you trust it"
    )


def link(path: Path, member: str) -> str:
    """Return the message about a member that is no plain file."""
    return f"{path}: member {member!r} is a link or a device; make the archive again from plain files"
