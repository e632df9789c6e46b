"""Local processes. Workers live on, so torch is imported once in each."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing.sharedctypes import Synchronized

from robustbench_msda.engines.placing import spread
from robustbench_msda.engines.work import (
    Outcome,
    WorkItem,
    blocked,
    check,
    describe,
    do,
    failures,
    set_threads,
)
from robustbench_msda.progress import Progress, silent


def run(items: Sequence[WorkItem], workers: int = 1, *, threads: int = 0, progress: Progress = silent) -> list[Outcome]:
    """Do every item whose needs could be done and return what became of each, in the order of ``items``.

    Args:
        items: each after the items it needs.
        workers: 1 works in this process, more in that many others; where items ask for GPUs, each of those has its own
            as far as they go.
        threads: of torch in each worker; 0 shares the cores out evenly.
        progress: told after each item.
    """
    check(items)
    if workers < 1:
        raise ValueError(f"expected at least one worker, got {workers}")
    threads = threads or max(1, cores() // workers)
    if workers == 1:
        return _here(items, threads, progress)
    gpus = visible_gpus() if any(item.gpus for item in items) else []
    with ExitStack() as stack:
        return spread(items, Pool(workers, threads, gpus, stack), progress)


def cores() -> int:
    """Return how many cores this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the names of the GPUs this process may use, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _here(items: Sequence[WorkItem], threads: int, progress: Progress) -> list[Outcome]:
    before = set_threads(threads)
    outcomes: dict[str, Outcome] = {}
    try:
        for item in items:
            progress(len(outcomes), len(items), failures(outcomes))
            outcomes[item.id] = blocked(item, outcomes) or do(item)
    finally:
        set_threads(before)
    progress(len(items), len(items), failures(outcomes))
    return list(outcomes.values())


class Pool:
    """Processes of this machine that live until ``stack`` is closed."""

    def __init__(self, workers: int, threads: int, gpus: Sequence[str], stack: ExitStack) -> None:
        # Never more than there are workers, so that a broken pool takes down only what was under way.
        self.room = workers
        self._context = multiprocessing.get_context("spawn")
        self._arguments = (threads, os.getpid(), tuple(gpus), self._context.Value("i", 0))
        self._stack = stack
        self._pool = self._opened()

    def _opened(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(self.room, self._context, initializer=_start_worker, initargs=self._arguments)
        return self._stack.enter_context(pool)

    def submit(self, items: Sequence[WorkItem]) -> Sequence[Future[Outcome]]:
        """Begin ``items``: in a new pool, if a worker that was killed has broken the old one."""
        try:
            return [self._pool.submit(do, item) for item in items]
        except BrokenProcessPool:
            self._pool = self._opened()
            return [self._pool.submit(do, item) for item in items]

    def finished(self, running: Mapping[Future[Outcome], WorkItem]) -> Mapping[Future[Outcome], Outcome]:
        """Wait for one of ``running`` and return what became of those that are done."""
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        return {future: self._outcome(future, running[future]) for future in done}

    def _outcome(self, future: Future[Outcome], item: WorkItem) -> Outcome:
        error = future.exception()
        return future.result() if error is None else Outcome(item.id, describe(error))


def _start_worker(threads: int, parent: int, gpus: Sequence[str], started: Synchronized[int]) -> None:
    def leave_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    if gpus:
        # Before CUDA is asked for anything: it looks once.
        with started.get_lock():
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[started.value % len(gpus)]
            started.value += 1
    set_threads(threads)
