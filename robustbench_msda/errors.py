"""The failures a user can mend: one exception family, shown as one line, and the look-up that suggests a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """A mistake the user can mend; the message names the file or option, what was expected, what was found, what to do.

    The command line prints it as one line and exits with status 1.
    """


class UnknownName(UserError):
    """A name that is in none of our tables."""


class MissingData(UserError):
    """A data set or benchmark that is not on this disk; the message says where it was looked for and how to get it."""


class DamagedData(UserError):
    """A file that is there and cannot be what it claims to be."""


def pick(table: Mapping[str, T], name: str, kind: str) -> T:
    """Return ``table[name]``, or raise ``UnknownName`` that suggests the nearest names and lists them all.

    Args:
        table: the table to look in.
        name: what the user typed; ``-`` reads as ``_``.
        kind: what the table holds, in the singular, for the message.
    """
    key = name.replace("-", "_")
    for candidate in (name, key):
        if candidate in table:
            return table[candidate]
    raise unknown(name, table, kind)


def unknown(name: str, known: Iterable[str], kind: str) -> UnknownName:
    """Return the exception for a ``name`` that is not among the ``known`` ones, with a suggestion where one is near."""
    names = list(known)
    near = difflib.get_close_matches(name.replace("-", "_"), names, n=2, cutoff=0.6)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return UnknownName(f"unknown {kind} {name!r}.{hint} Choose from: {', '.join(names)}")
