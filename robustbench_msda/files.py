"""Files written whole: a reader sees the old content or the new, never a half."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from robustbench_msda.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` on a temporary path beside ``path``, then rename the result into place (see ``whole``)."""
    with whole(path) as temporary:
        write(temporary)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; what is there at the end is renamed into place.

    Two processes may write one path at once: each has its own temporary file, and the last rename stays.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole (see ``write_whole``)."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
