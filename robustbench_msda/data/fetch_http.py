"""One file over HTTP, which goes on where it was cut."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from robustbench_msda import __version__
from robustbench_msda.data.stored import one_line
from robustbench_msda.errors import UserError
from robustbench_msda.progress import Progress

CHUNK = 2**20
MEGABYTE = 10**6
TIMEOUT = 60.0
# Seconds before each new try that brought no byte; one that brought some starts over.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
UNSATISFIABLE = 416
AGAIN = "run the same command again: what has come is kept"


class Answer(Protocol):
    """What a server sends."""

    status: int
    headers: http.client.HTTPMessage

    def read1(self, n: int) -> bytes:
        """Return some bytes, none at the end."""
        ...


class _Cut(Exception):
    """The connection ended early, or there was none."""


def download(url: str, part: Path, progress: Progress, pauses: Sequence[float] = PAUSES) -> None:
    """Bring ``part`` to the whole of the file at ``url``; the bytes in it already are not asked for again.

    A server that cannot send a range sends all from the start.

    Args:
        url: where the file is.
        part: grows as bytes come; a kill leaves it, and the next call goes on.
        progress: called with the megabytes that are there and that there will be.
        pauses: seconds to wait before each new try after one that brought nothing.

    Raises:
        UserError: there is no such file, the server cannot be reached, or the disk has too little room.
        OSError: the disk cannot be written to.
    """
    left = list(pauses)
    while True:
        before = _size(part)
        try:
            _go_on(url, part, progress)
            return
        except _Cut as cut:
            if _size(part) > before:
                left = list(pauses)
            if not left:
                raise UserError(f"{url}: {cut} after {len(pauses) + 1} tries; {AGAIN}") from None
            pause = left.pop(0)
            progress(_size(part) // MEGABYTE, max(1, _size(part) // MEGABYTE), f"{cut}: again in {pause:g} s")
            time.sleep(pause)


def _go_on(url: str, part: Path, progress: Progress) -> None:
    """Ask for what ``part`` lacks and write it; raise ``_Cut`` where that ends early."""
    have = _size(part)
    try:
        answer = _ask(url, have)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != UNSATISFIABLE or not have:
            raise _refusal(url, error) from None
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return  # it was whole already
        part.unlink()  # longer than the file there is: a part of another one
        raise _Cut("the file there has changed") from None
    with answer:
        start = _start(answer, have)
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        if total is not None:
            _check_room(part, start, total)
        with part.open("ab" if start else "wb") as out:
            written = start
            while chunk := _read(answer):
                out.write(chunk)
                written += len(chunk)
                progress(written // MEGABYTE, (total or written) // MEGABYTE)
    if total is not None and written < total:
        raise _Cut(f"the connection was cut at {written:,} of {total:,} bytes")


def _ask(url: str, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"robustbench-msda/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _Cut(f"cannot be reached ({one_line(reason) if isinstance(reason, Exception) else reason})") from None
    if not isinstance(answer, http.client.HTTPResponse):
        raise ValueError(f"expected an http address, got {url}")
    return answer


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """Return what a refusal means: another try where it passes, else the user's to look into."""
    if error.code in PASSING:
        return _Cut(f"the server answers {error.code} {error.reason}")
    return UserError(f"{url}: the server answers {error.code} {error.reason}; see whether the file has moved")


def _start(answer: Answer, have: int) -> int:
    """Return where in the file the answer begins: where it was asked to, or at the start."""
    if answer.status != http.client.PARTIAL_CONTENT:
        return 0
    begins = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if begins != str(have):
        raise _Cut(f"the server sent another range than asked for ({begins or 'none'} for {have})")
    return have


def _read(answer: Answer) -> bytes:
    try:
        return answer.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"the connection was cut ({one_line(error)})") from None


def _check_room(part: Path, start: int, total: int) -> None:
    """Raise ``UserError`` unless what is to come fits on the disk, and what will be unpacked from it beside it."""
    needed, free = 2 * total - start, shutil.disk_usage(part.parent).free
    if free < needed:
        raise UserError(
            f"{part.parent}: expected {needed / 1e9:.1f} GB of free space for {part.name} and what is in it, found "
            f"{free / 1e9:.1f} GB; free space or choose another --data-dir"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
