"""Engines place work items on processes or machines; none knows what an item does, and none schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robustbench_msda.engines.local import run
from robustbench_msda.engines.work import Outcome, Workers, WorkItem, check
from robustbench_msda.errors import UserError, pick
from robustbench_msda.progress import Progress, silent

__all__ = ["ENGINES", "Engine", "Outcome", "WorkItem", "Workers", "run", "run_items"]

Engine = Callable[[Sequence[WorkItem], Workers, Progress], list[Outcome]]


def run_items(items: Sequence[WorkItem], workers: Workers, progress: Progress = silent) -> list[Outcome]:
    """Do every item whose needs could be done and return what became of each, in the order of ``items``.

    Args:
        items: each after the items it needs.
        workers: who does them.
        progress: told whenever items are done.

    Raises:
        UserError: there is no such engine, it is not installed, or it cannot be reached or set so.
    """
    check(items)
    return pick(ENGINES, workers.engine, "engine")(items, workers, progress)


def _local(items: Sequence[WorkItem], workers: Workers, progress: Progress) -> list[Outcome]:
    if workers.address or workers.options:
        option = "--address" if workers.address else "--engine-option"
        raise UserError(f"{option}: processes of this machine have none; give --engine ray or slurm, or leave it out")
    return run(items, workers.count, threads=workers.threads, progress=progress)


def _ray(items: Sequence[WorkItem], workers: Workers, progress: Progress) -> list[Outcome]:
    try:
        from robustbench_msda.engines.ray_cluster import run
    except ModuleNotFoundError as error:
        raise not_installed("ray", "ray", error) from None
    return run(items, workers, progress)


def _slurm(items: Sequence[WorkItem], workers: Workers, progress: Progress) -> list[Outcome]:
    if workers.address:
        raise UserError("--address: Slurm has none: run on a machine of its cluster, or give --engine ray")
    try:
        from robustbench_msda.engines.slurm import run
    except ModuleNotFoundError as error:
        raise not_installed("slurm", "submitit", error) from None
    return run(items, workers, progress)


def not_installed(engine: str, library: str, error: ModuleNotFoundError) -> Exception:
    """Return what to tell of ``error``: how to get the library of an engine, unless it is another that is missing."""
    if error.name != library:
        return error
    return UserError(f"--engine {engine}: {library} is not installed; run: pip install 'robustbench-msda[{engine}]'")


# The libraries are imported only where they are asked for.
ENGINES: dict[str, Engine] = {"local": _local, "ray": _ray, "slurm": _slurm}
