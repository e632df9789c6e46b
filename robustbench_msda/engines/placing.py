"""What the engines share: which items are ready, and how an item is done on another machine. No scheduling."""

from __future__ import annotations

import os
import socket
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

from robustbench_msda.engines.work import Outcome, WorkItem, blocked, do, failures, set_threads
from robustbench_msda.progress import Progress

Handle = TypeVar("Handle", bound=Hashable)


class Place(Protocol[Handle]):
    """Where items are done."""

    @property
    def room(self) -> int:
        """How many items it takes at once."""

    def submit(self, items: Sequence[WorkItem]) -> Sequence[Handle]:
        """Begin ``items``, whose needs are done, and return a handle of each."""

    def finished(self, running: Mapping[Handle, WorkItem]) -> Mapping[Handle, Outcome]:
        """Wait a while for one of ``running`` and return what became of those that are done, if any."""


def spread(items: Sequence[WorkItem], place: Place[Handle], progress: Progress) -> list[Outcome]:
    """Do every item whose needs could be done at ``place``; return what became of each, in the order of ``items``."""
    waiting = list(items)
    outcomes: dict[str, Outcome] = {}
    running: dict[Handle, WorkItem] = {}
    progress(0, len(items))
    while waiting or running:
        ready = take_ready(waiting, outcomes, place.room - len(running))
        if ready:
            running.update(zip(place.submit(ready), ready, strict=True))
        if running:
            for handle, outcome in place.finished(running).items():
                outcomes[running.pop(handle).id] = outcome
        progress(len(outcomes), len(items), failures(outcomes))
    return [outcomes[item.id] for item in items]


def take_ready(waiting: list[WorkItem], outcomes: dict[str, Outcome], room: int) -> list[WorkItem]:
    """Take out of ``waiting`` up to ``room`` items whose needs are done; those that never can go to ``outcomes``."""
    ready: list[WorkItem] = []
    for item in list(waiting):
        if never := blocked(item, outcomes):
            outcomes[item.id] = never
        elif len(ready) < room and all(need in outcomes for need in item.needs):
            ready.append(item)
        else:
            continue
        waiting.remove(item)
    return ready


def do_elsewhere(item: WorkItem, folder: str, threads: int) -> Outcome:
    """Do ``item`` in the process of another machine, as the one that sent it would.

    Args:
        item: what to do.
        folder: the working folder of the sender: paths and model sources are relative to it.
        threads: of torch.
    """
    try:
        os.chdir(folder)
    except OSError:
        return Outcome(item.id, f"{socket.gethostname()} does not have {folder}: all machines must share their files")
    set_threads(threads)
    return do(item)
