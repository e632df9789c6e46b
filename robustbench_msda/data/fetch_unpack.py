"""A fetched tar, unpacked in one pass: streamed to disk file by file, into a hidden folder, then moved into place."""

from __future__ import annotations

import errno
import io
import shutil
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from robustbench_msda.data.archives import BROKEN, OPENERS
from robustbench_msda.data.members import bomb, cap, link, listed
from robustbench_msda.data.stored import one_line
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.progress import Progress

CHUNK = 2**20
MEGABYTE = 10**6
EVERY = 100
# Not the disk's: decompressors raise an OSError without a number, names that collide or are too long one of the others.
FAULTS = (None, errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def unpack(archive: Path, folder: Path, tops: Collection[str], progress: Progress) -> tuple[str, ...]:
    """Return the files and folders that an archive brought to the top of the new ``folder``.

    Folders above one of ``tops``, such as ``CIFAR-10-C/`` or a group, are stripped; what lies in none of them is left
    out. Nothing is ever written outside ``folder``.

    Raises:
        DamagedData: a member is a link or a device or would escape, the archive is cut, or holds none of ``tops``.
        OSError: the disk cannot be written to.
    """
    folder.mkdir(parents=True)
    whole, known, made = archive.stat().st_size, frozenset(tops), set[Path]()
    with archive.open("rb") as file, _naming(archive):
        for number, (path, content) in enumerate(_files(archive, file)):
            if number % EVERY == 0:
                progress(file.tell() // MEGABYTE, max(1, whole // MEGABYTE))
            if (target := _target(folder, path, known)) is None:
                continue
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            with target.open("xb") as out:
                shutil.copyfileobj(content, out, CHUNK)
    brought = tuple(sorted(path.name for path in folder.iterdir()))
    if not brought:
        raise DamagedData(f"{archive}: expected {', '.join(sorted(known)[:3])} …, found none of them; get it again")
    return brought


def settle(source: Path, target: Path) -> None:
    """Move what is in the folder ``source`` to ``target``, a folder at a time where there is nothing yet.

    A file that is there with the same size is taken for the official one, and left.

    Raises:
        UserError: a file is in the way that has another size; nothing of the user's is ever replaced.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    elif source.is_dir() and target.is_dir():
        for path in sorted(source.iterdir()):
            settle(path, target / path.name)
    elif not (target.is_file() and source.is_file()) or target.stat().st_size != source.stat().st_size:
        raise UserError(
            f"{target}: is in the way and is not the official file; move it away and run the same command again"
        )


def _files(archive: Path, file: BinaryIO) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Yield the path and content of every file of a tar, checked; hidden ones are left out."""
    magic = file.read(6)
    file.seek(0)
    opener = next((opener for start, opener in OPENERS.items() if magic.startswith(start)), None)
    stream = file if opener is None else opener(file)
    total, most = 0, cap(archive)
    # Not read as a stream of tarfile's, which copies its buffer at every read; all seeks are forward, as a decompressor
    # needs. Members are forgotten, or a million of them would fill the memory.
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            total += member.size
            if total > most:
                raise DamagedData(bomb(archive, most))
            for name in _name(archive, member):
                if (content := tar.extractfile(member)) is not None:
                    yield name, content
        _check_end(archive, stream, tar.offset)


def _name(archive: Path, member: tarfile.TarInfo) -> Iterator[PurePosixPath]:
    """Yield the path of a member that is a file to unpack, or raise ``DamagedData`` where it must not be unpacked."""
    if not (member.isreg() or member.isdir()):
        raise DamagedData(link(archive, member.name))
    found = listed(archive, [(member.name, None if member.isdir() else member.size)])
    yield from (PurePosixPath(name) for name in found.files)


def _check_end(archive: Path, stream: BinaryIO | io.BufferedIOBase, offset: int) -> None:
    """Raise ``DamagedData`` unless a tar ended, at ``offset``, by its end mark; reads the rest, where checksums are."""
    while rest := stream.read(CHUNK):
        if rest.strip(b"\0"):  # a damaged header ends a tar too, but more follows
            raise DamagedData(f"{archive}: a header in it is damaged; get it again")
    if stream.tell() < offset + tarfile.BLOCKSIZE:
        raise DamagedData(f"{archive}: the archive ends before its end mark; get it again")


def _target(folder: Path, path: PurePosixPath, known: frozenset[str]) -> Path | None:
    """Return where a member goes: what is above the first known name is stripped."""
    first = next((number for number, name in enumerate(path.parts) if name in known), None)
    return None if first is None else folder.joinpath(*path.parts[first:])


@contextmanager
def _naming(archive: Path) -> Iterator[None]:
    try:
        yield
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in FAULTS:
            raise
        raise DamagedData(f"{archive}: the archive is damaged ({one_line(error)}); get it again") from None
