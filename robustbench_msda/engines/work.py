"""Work items, who does them, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class WorkItem:
    """A piece of work that can be done again without harm.

    Attributes:
        id: unique among the items of a run.
        call: picklable, without arguments; what it makes it keeps on disk.
        needs: ids of the items that must be done before.
        gpus: how many it works on.
    """

    id: str
    call: Callable[[], object]
    needs: tuple[str, ...] = ()
    gpus: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of an item: ``error`` is empty if it is done, else one line."""

    id: str
    error: str = ""


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes:
        count: how many items at once.
        threads: of torch in each, and the cores it asks for; 0 lets the engine share out what there is.
        engine: a name in ``ENGINES``.
        address: of a Ray cluster that runs already, ``auto`` for the one on this machine.
        options: settings of the engine's own library, by its names.
        logs: the folder for what jobs print, where the engine keeps that.
    """

    count: int = 1
    threads: int = 0
    engine: str = "local"
    address: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    logs: Path = Path(".slurm")


def check(items: Sequence[WorkItem]) -> None:
    """Raise ``ValueError`` unless ids are unique and every need is an earlier item."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise ValueError(f"expected unique ids, got {item.id!r} twice")
        if late := set(item.needs) - seen:
            raise ValueError(f"expected the needs of {item.id!r} before it, got {sorted(late)} later or never")
        seen.add(item.id)


def do(item: WorkItem) -> Outcome:
    """Do ``item`` and return what became of it."""
    try:
        item.call()
    except Exception as error:  # one item must not take the others down
        return Outcome(item.id, describe(error))
    return Outcome(item.id)


def blocked(item: WorkItem, outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """Return that ``item`` cannot be begun, if something it needs has failed."""
    failed = [need for need in item.needs if need in outcomes and outcomes[need].error]
    return Outcome(item.id, f"not begun: it needs {', '.join(failed)}") if failed else None


def set_threads(threads: int) -> int:
    """Give torch that many threads and return how many it had: they decide the last bits of training."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before


def describe(error: BaseException) -> str:
    """Return ``error`` as one line."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("robustbench_msda") else f"{type(error).__name__}: {text}"


def failures(outcomes: Mapping[str, Outcome]) -> str:
    """Return how many of ``outcomes`` failed and the last reason, for a progress bar; nothing where none did."""
    failed = [outcome.error for outcome in outcomes.values() if outcome.error]
    return f"{len(failed)} failed: {failed[-1]}" if failed else ""
