"""The file names of pages: readable, of safe characters, and different for different things on every system."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from robustbench_msda.figures.drawing import file_name
from robustbench_msda.records import digest

LONGEST = 80

Key = TypeVar("Key", bound=tuple[str, ...])


def addresses(keys: Iterable[Key]) -> dict[Key, str]:
    """Return a file name without its ending for every one of ``keys``, which are told apart by a digest where need be.

    Names that differ in nothing but the case of letters are one file on some systems.
    """
    found: dict[Key, str] = {}
    taken: set[str] = set()
    for key in keys:
        name = file_name(*key)[:LONGEST].strip("-.") or "unnamed"
        if name.casefold() in taken:
            name = f"{name}-{digest(list(key))[:8]}"
        taken.add(name.casefold())
        found[key] = name
    return found
