"""Local processes. Workers live on, so torch is imported once in each."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from robustbench_msda.engines.work import Outcome, WorkItem, check, describe, failures
from robustbench_msda.progress import Progress, silent


def run(items: Sequence[WorkItem], workers: int = 1, *, threads: int = 0, progress: Progress = silent) -> list[Outcome]:
    """Do every item whose needs could be done and return what became of each, in the order of ``items``.

    Args:
        items: each after the items it needs.
        workers: 1 works in this process, more in that many others.
        threads: of torch in each worker; 0 shares the cores out evenly.
        progress: told after each item.
    """
    check(items)
    if workers < 1:
        raise ValueError(f"expected at least one worker, got {workers}")
    threads = threads or max(1, cores() // workers)
    outcomes = _here(items, threads, progress) if workers == 1 else _spread(items, workers, threads, progress)
    return [outcomes[item.id] for item in items]


def cores() -> int:
    """Return how many cores this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _here(items: Sequence[WorkItem], threads: int, progress: Progress) -> dict[str, Outcome]:
    before = _set_threads(threads)
    outcomes: dict[str, Outcome] = {}
    try:
        for item in items:
            progress(len(outcomes), len(items), failures(outcomes))
            outcomes[item.id] = _blocked(item, outcomes) or _do(item)
    finally:
        _set_threads(before)
    progress(len(items), len(items), failures(outcomes))
    return outcomes


def _spread(items: Sequence[WorkItem], workers: int, threads: int, progress: Progress) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    waiting = list(items)
    context = multiprocessing.get_context("spawn")
    # A worker that is killed breaks its pool: what was under way is reported, what waits goes to a new one.
    while waiting:
        with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(threads, os.getpid())) as pool:
            _drain(waiting, outcomes, pool, workers, progress)
    return outcomes


def _drain(
    waiting: list[WorkItem], outcomes: dict[str, Outcome], pool: ProcessPoolExecutor, workers: int, progress: Progress
) -> None:
    """Move every item from ``waiting`` to ``outcomes``, or, if ``pool`` breaks, those that were under way."""
    total = len(waiting) + len(outcomes)
    running: dict[Future[Outcome], WorkItem] = {}
    broken = False
    while running or (waiting and not broken):
        try:
            if not broken:
                _hand_out(waiting, running, outcomes, pool, workers)
        except BrokenProcessPool:
            broken = True
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            item = running.pop(future)
            error = future.exception()
            outcomes[item.id] = future.result() if error is None else Outcome(item.id, describe(error))
        progress(len(outcomes), total, failures(outcomes))


def _hand_out(
    waiting: list[WorkItem],
    running: dict[Future[Outcome], WorkItem],
    outcomes: dict[str, Outcome],
    pool: ProcessPoolExecutor,
    workers: int,
) -> None:
    """Give the free workers what is ready: never more, so that a broken pool takes down only what was under way."""
    for item in list(waiting):
        if blocked := _blocked(item, outcomes):
            outcomes[item.id] = blocked
        elif len(running) < workers and all(need in outcomes for need in item.needs):
            running[pool.submit(_do, item)] = item
        else:
            continue
        waiting.remove(item)


def _blocked(item: WorkItem, outcomes: dict[str, Outcome]) -> Outcome | None:
    failed = [need for need in item.needs if need in outcomes and outcomes[need].error]
    return Outcome(item.id, f"not begun: it needs {', '.join(failed)}") if failed else None


def _do(item: WorkItem) -> Outcome:
    try:
        item.call()
    except Exception as error:  # one item must not take the others down
        return Outcome(item.id, describe(error))
    return Outcome(item.id)


def _start_worker(threads: int, parent: int) -> None:
    def leave_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    _set_threads(threads)


def _set_threads(threads: int) -> int:
    """Give torch that many threads and return how many it had: they decide the last bits of training."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before
