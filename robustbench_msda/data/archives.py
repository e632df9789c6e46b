"""What a user hands over: a folder, a zip or a tar, listed and read a file at a time, never extracted to disk."""

from __future__ import annotations

import bz2
import errno
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

from robustbench_msda.data.members import Listing, bomb, cap, hidden, link, listed, plain
from robustbench_msda.data.stored import one_line
from robustbench_msda.errors import DamagedData, MissingData, UserError

DEEPEST = 5  # NAME/train/CLASS/images/FILE
CHUNK = 2**16
OPENERS: dict[bytes, Callable[[BinaryIO], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
}
BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)


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
    """A folder; links in it are followed, since they are the user's own, five levels down at most."""

    path: Path

    def listing(self) -> Listing:
        """Return its files and folders."""
        files: dict[str, int] = {}
        folders: set[str] = set()
        for root, below, names in os.walk(self.path, onerror=_raise, followlinks=True):
            base = PurePosixPath(Path(root).relative_to(self.path).as_posix())
            below[:] = sorted(name for name in below if not hidden(name) and len(base.parts) < DEEPEST - 1)
            folders.update(str(base / name) for name in below)
            files.update({str(base / name): (Path(root) / name).stat().st_size for name in names if not hidden(name)})
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
        total, most = sum(member.file_size for member in members), cap(self.path)
        if total > most:
            raise DamagedData(bomb(self.path, most))
        found = []
        for member in members:
            mode = stat.S_IFMT(member.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DamagedData(link(self.path, member.filename))
            found.append((member.filename, None if member.filename.endswith("/") else member.file_size))
        return listed(self.path, found)

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order they are stored in."""
        with _naming(self.path), zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                name = plain(member.filename)
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
                    raise DamagedData(link(self.path, member.name))
                found.append((member.name, None if member.isdir() else member.size))
        return listed(self.path, found)

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order they are stored in."""
        with _naming(self.path), _open_tar(self.path) as archive:
            for member in archive:
                name = plain(member.name)
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
        self._stream, self._most, self._path = stream, most, path
        self.given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self.given += len(data)
        if self.given > self._most:
            raise DamagedData(bomb(self._path, self._most))
        return data


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        opener = next((opener for start, opener in OPENERS.items() if magic.startswith(start)), None)
        stream = file if opener is None else opener(file)
        capped = _Capped(stream, cap(path), path)
        with tarfile.open(fileobj=capped, mode="r|") as archive:
            yield archive
            while capped.read(CHUNK):  # checksums of compressed streams come last
                pass
            if capped.given < archive.offset + tarfile.BLOCKSIZE:
                raise DamagedData(f"{path}: the archive ends before its end mark; get it again")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (*BROKEN, OSError) as error:
        # Decompressors and seeks to impossible places raise an OSError as a full or failing disk does.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise DamagedData(f"{path}: the archive is damaged or encrypted ({one_line(error)}); get it again") from None


def _raise(error: OSError) -> None:
    raise error
