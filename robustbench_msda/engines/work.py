"""Work items and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkItem:
    """A piece of work that can be done again without harm.

    Attributes:
        id: unique among the items of a run.
        call: picklable, without arguments; what it makes it keeps on disk.
        needs: ids of the items that must be done before.
    """

    id: str
    call: Callable[[], object]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of an item: ``error`` is empty if it is done, else one line."""

    id: str
    error: str = ""


def check(items: Sequence[WorkItem]) -> None:
    """Raise ``ValueError`` unless ids are unique and every need is an earlier item."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise ValueError(f"expected unique ids, got {item.id!r} twice")
        if late := set(item.needs) - seen:
            raise ValueError(f"expected the needs of {item.id!r} before it, got {sorted(late)} later or never")
        seen.add(item.id)


def describe(error: BaseException) -> str:
    """Return ``error`` as one line."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("robustbench_msda") else f"{type(error).__name__}: {text}"


def failures(outcomes: Mapping[str, Outcome]) -> str:
    """Return how many of ``outcomes`` failed and the last reason, for a progress bar; nothing where none did."""
    failed = [outcome.error for outcome in outcomes.values() if outcome.error]
    return f"{len(failed)} failed: {failed[-1]}" if failed else ""
