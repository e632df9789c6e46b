"""What a user hands over: a folder, a zip or a tar, listed and read a file at a time, never extracted to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from robustbench_msda.data.stored import one_line
from robustbench_msda.errors import DamagedData, MissingData, UserError

DEEPEST = 4  # NAME/train/CLASS/FILE
# Pictures hardly compress: an archive that promises to grow by more than this is a bomb.
MOST_GROWTH = 100
LEAST_CAP = 2**26
MOST_FILES = 2**22
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
OPENERS: dict[bytes, Callable[[BinaryIO], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
}
BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)


class Listing(NamedTuple):
    """The files of a source by relative POSIX path, with their sizes in bytes, and its folders."""

    files: dict[str, int]
    folders: frozenset[str]


class Source(Protocol):
    """Where files come from."""

    @property
    def path(self) -> Path:
        """The folder or archive."""
        ...

    def listing(self) -> Listing:
        """Return its files and folders, hidden ones left out, or raise ``DamagedData``."""
        ...

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the path and bytes of every wanted file, in the order that is quickest to read."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder; links in it are followed, since they are the user's own, four levels down at most."""

    path: Path

    def listing(self) -> Listing:
        """Return its files and folders."""
        files: dict[str, int] = {}
        folders: set[str] = set()
        for root, below, names in os.walk(self.path, onerror=_raise, followlinks=True):
            base = PurePosixPath(Path(root).relative_to(self.path).as_posix())
            below[:] = sorted(name for name in below if not _hidden(name) and len(base.parts) < DEEPEST - 1)
            folders.update(str(base / name) for name in below)
            files.update({str(base / name): (Path(root) / name).stat().st_size for name in names if not _hidden(name)})
        return Listing(files, frozenset(folders))

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order of their paths."""
        for name in sorted(wanted):
            yield name, (self.path / name).read_bytes()


@dataclass(frozen=True)
class Zip:
    """A zip archive."""

    path: Path

    def listing(self) -> Listing:
        """Return its files and folders; links, escaping paths and absurd sizes are refused."""
        with _naming(self.path), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
        total, most = sum(member.file_size for member in members), _cap(self.path)
        if total > most:
            raise DamagedData(_bomb(self.path, most))
        found = []
        for member in members:
            mode = stat.S_IFMT(member.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DamagedData(_link(self.path, member.filename))
            found.append((member.filename, None if member.is_dir() else member.file_size))
        return _listing(self.path, found)

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order they are stored in."""
        with _naming(self.path), zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                name = _plain(member.filename)
                if name in wanted:
                    yield name, archive.read(member)


@dataclass(frozen=True)
class Tar:
    """A tar archive, bare or compressed by gzip, xz or bzip2; read as a stream from its start each time."""

    path: Path

    def listing(self) -> Listing:
        """Return its files and folders; links, devices, escaping paths and absurd sizes are refused."""
        found: list[tuple[str, int | None]] = []
        with _naming(self.path), _open_tar(self.path) as archive:
            for member in archive:
                if not (member.isreg() or member.isdir()):
                    raise DamagedData(_link(self.path, member.name))
                found.append((member.name, None if member.isdir() else member.size))
        return _listing(self.path, found)

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order they are stored in."""
        with _naming(self.path), _open_tar(self.path) as archive:
            for member in archive:
                name = _plain(member.name)
                if name in wanted and (file := archive.extractfile(member)) is not None:
                    yield name, file.read()


class Found(NamedTuple):
    """Where in a source a data set begins: ``base`` is a folder with a slash at its end, or nothing."""

    source: Source
    listing: Listing
    base: str


def open_source(path: Path) -> Source:
    """Return what can read ``path``: a folder, a zip, or a tar by whatever compression its first bytes say.

    Raises:
        MissingData: nothing is there.
        UserError: it is a file of another kind.
    """
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise MissingData(f"--from {path}: expected a folder or an archive, found nothing there; correct the path")
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return Zip(path)
    if any(head.startswith(magic) for magic in OPENERS) or head[257:262] == b"ustar":
        return Tar(path)
    raise UserError(f"--from {path}: expected a folder, a .zip or a .tar (.gz, .xz, .bz2), found another kind of file")


class _Capped(io.BufferedIOBase):
    """A stream that refuses to give more than ``most`` bytes, whatever was promised about what is in it."""

    def __init__(self, stream: BinaryIO | io.BufferedIOBase, most: int, path: Path) -> None:
        self._stream, self._left, self._most, self._path = stream, most, most, path

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._left -= len(data)
        if self._left < 0:
            raise DamagedData(_bomb(self._path, self._most))
        return data


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        opener = next((opener for start, opener in OPENERS.items() if magic.startswith(start)), None)
        stream = file if opener is None else opener(file)
        with tarfile.open(fileobj=_Capped(stream, _cap(path), path), mode="r|") as archive:
            yield archive


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise DamagedData(f"{path}: the archive is damaged or encrypted ({one_line(error)}); get it again") from None


def _listing(path: Path, found: list[tuple[str, int | None]]) -> Listing:
    """Return the listing of archive members: path and size, no size for a folder."""
    if len(found) > MOST_FILES:
        raise DamagedData(
            f"{path}: expected at most {MOST_FILES:,} files, found {len(found):,}; this is no set of images"
        )
    files: dict[str, int] = {}
    folders: set[str] = set()
    for raw, size in found:
        pure = PurePosixPath(raw)
        if pure.is_absolute() or ".." in pure.parts or "\\" in raw or "\0" in raw:
            raise DamagedData(f"{path}: member {raw!r} points outside the archive; make the archive again without it")
        if any(_hidden(part) for part in pure.parts):
            continue
        name = str(pure)
        if name in files:
            raise DamagedData(f"{path}: member {raw!r} is there twice; make the archive again with one")
        parents = [str(parent) for parent in pure.parents if parent.parts]
        folders.update(parents if size is not None else [*parents, name])
        if size is not None:
            files[name] = size
    return Listing(files, frozenset(folders) - {"."})


def _plain(name: str) -> str:
    return str(PurePosixPath(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in IGNORED


def _cap(path: Path) -> int:
    return max(LEAST_CAP, MOST_GROWTH * path.stat().st_size)


def _bomb(path: Path, most: int) -> str:
    return (
        f"{path}: expands to more than {most:,} bytes, far beyond what images need; unpack it yourself if you trust it"
    )


def _link(path: Path, member: str) -> str:
    return f"{path}: member {member!r} is a link or a device; make the archive again from plain files"


def _raise(error: OSError) -> None:
    raise error
