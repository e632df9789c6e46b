"""The transfer matrix: what attacks make of each source, shown to each target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.benchmarks.adversarial import UnderAttack
from robustbench_msda.errors import UserError, pick
from robustbench_msda.evaluation import Place
from robustbench_msda.opening import NOTHING_SAID, Foreign, Opened, open_selected
from robustbench_msda.progress import Progress, silent, within
from robustbench_msda.records import Cell
from robustbench_msda.results.store import check_writable
from robustbench_msda.verbs import HERE, Planned, carry_out, check_done, planned


def transfer(
    sources: Sequence[str],
    targets: Sequence[str],
    benchmarks: Mapping[str, int],
    *,
    foreign: Foreign = NOTHING_SAID,
    place: Place = HERE,
    progress: Progress = silent,
) -> list[str]:
    """Predict what is missing of the full matrix, source by source, and return the fingerprints of the targets.

    What an attack makes of a source is made once and shown to every target; to the source itself it is its white box.

    Args:
        sources: selections of the networks that are attacked (see ``open_selected``).
        targets: selections of the networks that answer.
        benchmarks: names of attacks to how many test images, 0 for all.
        foreign: its model is a source whose file may be run.
        place: where data sets and results are, and the device.
        progress: told in images of all targets.

    Raises:
        UserError: a selection names nothing, all name one network, a benchmark is no attack, two networks do not
            classify the same data set; or an attack or some cells cannot be done, after those that can.
    """
    records = place.store.checkpoints()
    attacked = open_selected(sources, foreign, Path(place.data_dir), records)
    answering = open_selected(targets, foreign, Path(place.data_dir), records)
    check_pair([*attacked, *answering])
    for each in answering:
        check_attacks(each, benchmarks)
    check_writable(place.store.root)
    todo = list(matrix(attacked, answering, benchmarks, foreign, place))
    total, done = sum(part.cells.images for part in todo), 0
    failed: dict[Cell, UserError] = {}
    for part in todo:
        failed |= attempted(part, place, within(progress, done, total))
        done += part.cells.images
    check_done(failed, sum(len(part.cells.missing) for part in todo))
    for name, lack in (item for part in todo for item in part.cells.skipped.items()):
        raise UserError(f"{name}: {lack.reason}; {lack.remedy}, or leave it out")
    return [each.checkpoint.fingerprint for each in answering]


def matrix(
    sources: Sequence[Opened], targets: Sequence[Opened], benchmarks: Mapping[str, int], foreign: Foreign, place: Place
) -> Iterator[Planned]:
    """Yield for every source and target what the target has to answer: the source's cells, its own white box."""
    for source in sources:
        fingerprint = source.checkpoint.fingerprint
        for target in targets:
            whole = planned(target, benchmarks, (source,), (foreign.model,), place)
            own = "" if target.checkpoint.fingerprint == fingerprint else fingerprint
            tasks = tuple(task for task in whole.cells.tasks if task.cell.source == own)
            yield replace(whole, cells=replace(whole.cells, tasks=tasks))


def attempted(part: Planned, place: Place, progress: Progress) -> dict[Cell, UserError]:
    """Do as ``carry_out``; what no cell of one pair can be done for leaves the other pairs to be done."""
    try:
        return carry_out(part, place, progress)
    except UserError as error:
        left = [task.cell for task in part.cells.missing if not place.store.has(task.cell, task.world)]
        if not left:
            raise
        return dict.fromkeys(left, error)


def check_pair(networks: Sequence[Opened]) -> None:
    """Raise ``UserError`` unless ``networks`` are two at least: one alone is its own white box."""
    found = {each.checkpoint.fingerprint for each in networks}
    if len(found) == 1:
        raise UserError(
            f"--sources and --targets: expected two networks, found {found.pop()} alone; name another, or evaluate it"
        )


def check_attacks(target: Opened, benchmarks: Mapping[str, int]) -> None:
    """Raise ``UserError`` unless ``benchmarks`` are attacks that networks like ``target`` are put to."""
    table = benchmarks_of(target.checkpoint.dataset)
    known = {name: each for name, each in table.items() if isinstance(each, UnderAttack)}
    for name in benchmarks:
        pick(known, name, "attack that is a benchmark:")
