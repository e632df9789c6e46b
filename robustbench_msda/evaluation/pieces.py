"""An evaluation in pieces that can be done at once: known before the network is trained."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.errors import pick
from robustbench_msda.evaluation.planning import Plan
from robustbench_msda.records import Cell

# Clean images, FGSM and PGD on a test set of CIFAR's size are one piece (1.41 M), and so is CIFAR-10-C; ImageNet-C is
# four. That is a quarter of an hour of a ResNet-20 on two cores: long beside the seconds in which a worker starts.
PASSES = 1_500_000


def pieces(limits: Mapping[str, int], setting: Setting, most: int = PASSES) -> list[tuple[Cell, ...]]:
    """Return the cells of any checkpoint, without its fingerprint, as consecutive pieces.

    Args:
        limits: benchmark name to how many test images, 0 for all.
        setting: where they are done.
        most: forward passes of a piece; a cell that costs more is one of its own.

    Raises:
        UnknownName: there is no such benchmark for the data set.
    """
    found: list[list[Cell]] = []
    held = 0
    for cell, passes in costs(limits, setting):
        held += passes
        if not found or held > most:
            found.append([])
            held = passes
        found[-1].append(cell)
    return [tuple(piece) for piece in found]


def costs(limits: Mapping[str, int], setting: Setting) -> Iterator[tuple[Cell, int]]:
    """Yield every cell, and the forward passes it costs, of the benchmarks that can run here."""
    table = benchmarks_of(setting.dataset.name)
    for name, limit in limits.items():
        benchmark, limited = pick(table, name, f"benchmark of {setting.dataset.name}"), replace(setting, limit=limit)
        if benchmark.needs(limited) is None:
            for cell in benchmark.cells("", limited):
                yield cell, benchmark.passes(cell, limited) * benchmark.images(cell, limited)


def only(plan: Plan, cells: Collection[Cell]) -> Plan:
    """Return ``plan`` with those of its cells that are among ``cells``, whose fingerprints are not looked at."""
    wanted = {cell._replace(fingerprint="") for cell in cells}
    return replace(plan, tasks=tuple(task for task in plan.tasks if task.cell._replace(fingerprint="") in wanted))
