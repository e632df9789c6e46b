"""What a user can do, as functions: the command line and studies call these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd
from torch import nn

from robustbench_msda import augmentations, comparison, evaluation, scoring, training
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import Checkpoint, network
from robustbench_msda.opening import NOTHING_SAID, Foreign, Opened, open_checkpoint, open_selected
from robustbench_msda.progress import Progress, silent
from robustbench_msda.recipes import Recipe, make_recipe
from robustbench_msda.records import Cell
from robustbench_msda.results.scores import write_comparison, write_scores
from robustbench_msda.results.selection import select
from robustbench_msda.results.store import CheckpointRecord
from robustbench_msda.training.execution import PLAIN, Execution

HERE = Place()


def recipe(settings: Mapping[str, object], where: str = "recipe") -> Recipe:
    """Return the recipe of ``settings``: fields of ``Recipe``, perhaps a ``preset``; the augmentation in any form.

    Raises:
        UserError: a field or the augmentation is unknown or refused.
    """
    given = dict(settings)
    if "augmentation" in given:
        given["augmentation"] = augmentations.canonical(str(given["augmentation"]))
    return make_recipe(given, where)


def train(
    settings: Mapping[str, object],
    out: Path | str = "",
    *,
    place: Place = HERE,
    how: Execution = PLAIN,
    progress: Progress = silent,
) -> Checkpoint:
    """Return the checkpoint of a recipe, trained into the folder ``out``; an interrupted call goes on where it was.

    Args:
        settings: fields of ``Recipe``, such as ``{"dataset": "digits", "model": "small_cnn"}``.
        out: the run folder; empty for one named after the recipe in ``runs/``.
        place: where data sets are, and the device.
        how: what changes the speed alone.
        progress: told in steps.

    Raises:
        UserError: the recipe, the data or the folder is at fault.
    """
    made = recipe(settings)
    folder = Path(out) if out else Path("runs") / made.folder
    return training.train(made, Path(place.data_dir), folder, device=place.device, how=how, progress=progress)


@dataclass(frozen=True)
class Planned:
    """An evaluation before it is done: the checkpoint, where it lies, and its cells.

    Attributes:
        checkpoint: what is evaluated.
        path: where it lies.
        trusted: model sources that may be a file that is run.
        cells: what there is to do.
        substitutes: the checkpoints whose attacked images it is shown, and where they lie.
    """

    checkpoint: Checkpoint
    path: Path
    trusted: tuple[str, ...]
    cells: evaluation.Plan
    substitutes: tuple[Opened, ...] = ()


def plan(
    checkpoint: Path | str,
    benchmarks: Mapping[str, int] | int = 0,
    *,
    foreign: Foreign = NOTHING_SAID,
    place: Place = HERE,
    sources: Sequence[str] = (),
) -> Planned:
    """Return what an evaluation would do (see ``evaluate``)."""
    data_dir = Path(place.data_dir)
    opened = Opened(*open_checkpoint(checkpoint, foreign, data_dir))
    shown = open_selected(sources, foreign, data_dir, place.store.checkpoints()) if sources else ()
    return planned(opened, benchmarks, shown, (foreign.model,), place)


def planned(
    opened: Opened,
    benchmarks: Mapping[str, int] | int,
    substitutes: Sequence[Opened],
    trusted: tuple[str, ...],
    place: Place,
) -> Planned:
    """Return what an evaluation of an open checkpoint would do, also on what attacks make of ``substitutes``."""

    # One at a time: networks may be large.
    @lru_cache(maxsize=1)
    def ready(number: int) -> nn.Module:
        return network(substitutes[number].checkpoint, place.device, trusted)

    for each in substitutes:
        check_alike(opened.checkpoint, each)
    calls = {each.checkpoint.fingerprint: partial(ready, number) for number, each in enumerate(substitutes)}
    cells = evaluation.plan(opened.checkpoint, benchmarks, place, calls)
    return Planned(opened.checkpoint, opened.path, trusted, cells, tuple(substitutes))


def check_alike(target: Checkpoint, source: Opened) -> None:
    """Raise ``UserError`` unless ``source`` answers with the classes of ``target`` and takes the same images."""
    other = source.checkpoint
    if (other.dataset, other.classes, len(other.mean)) != (target.dataset, target.classes, len(target.mean)):
        raise UserError(
            f"--sources {source.path}: expected a network of {target.dataset} like the one it stands for, with its "
            f"{len(target.classes)} classes, found one of {other.dataset} with {len(other.classes)}; choose another"
        )


def evaluate(
    checkpoint: Path | str,
    benchmarks: Mapping[str, int] | int = 0,
    *,
    foreign: Foreign = NOTHING_SAID,
    place: Place = HERE,
    sources: Sequence[str] = (),
    cells: Collection[Cell] = (),
    progress: Progress = silent,
) -> Planned:
    """Predict what is missing of a checkpoint's cells, and return what the plan was.

    Args:
        checkpoint: see ``open_checkpoint``.
        benchmarks: name to how many test images, 0 for all; a number is that of every benchmark.
        foreign: what a weights file does not say of itself.
        place: where data sets and results are, and the device.
        sources: selections of substitutes (see ``open_selected``): what attacks make of them is shown to the checkpoint
            beside what they make of itself.
        cells: only these, whatever their fingerprint; none for all.
        progress: told in images.

    Raises:
        UserError: the checkpoint, the data or the results folder is at fault; or some cells cannot be done, after
            those that can.
    """
    whole = plan(checkpoint, benchmarks, foreign=foreign, place=place, sources=sources)
    chosen = replace(whole, cells=evaluation.only(whole.cells, cells)) if cells else whole
    check_done(carry_out(chosen, place, progress), len(chosen.cells.missing))
    return chosen


def carry_out(planned: Planned, place: Place = HERE, progress: Progress = silent) -> dict[Cell, UserError]:
    """Predict the missing cells of an evaluation; return those that cannot be done, with the reason."""
    for source in planned.substitutes:
        place.store.add_checkpoint(evaluation.record_of(*source))
    return evaluation.evaluate(
        planned.cells, planned.checkpoint, planned.path, place.store, trusted=planned.trusted, progress=progress
    )


def check_done(failed: Mapping[Cell, UserError], missing: int) -> None:
    """Raise ``UserError`` where cells ``failed``, of ``missing`` that were to be done."""
    if failed:
        cell, reason = next(iter(failed.items()))
        name = " ".join(filter(None, (cell.benchmark, cell.condition, cell.level)))
        raise UserError(f"{len(failed)} of {missing} cells failed, first {name}: {reason}")


def score(
    selections: Sequence[str] = (),
    *,
    place: Place = HERE,
    benchmarks: Mapping[str, int] | None = None,
    normalise_by: str = "",
    name: str = "",
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the tidy table of scores of stored predictions.

    Args:
        selections: which checkpoints, see ``results.selection.select``; none for all.
        place: where results are.
        benchmarks: name to limit: only these; None for all.
        normalise_by: selects the one checkpoint whose errors divide, besides published ones; empty for none.
        name: keeps it as ``scores/<name>.csv.gz``; empty keeps nothing.
        progress: told in checkpoints.

    Raises:
        UserError: a selection names nothing, or nothing is evaluated.
    """
    store = place.store
    records = store.checkpoints()
    if not records:
        raise UserError(f"{store.root} holds no evaluated checkpoint; run: robustbench-msda evaluate CHECKPOINT")
    chosen = select(selections, records, augmentations.short) if selections else list(records.values())
    relation = scoring.Relation(normaliser(normalise_by, records), place.allow_partial)
    frame = scoring.score(store, chosen, benchmarks, relation, progress=progress)
    if name:
        write_scores(frame, store.root / "scores" / f"{name}.csv.gz")
    return frame


def normaliser(selection: str, records: Mapping[str, CheckpointRecord]) -> CheckpointRecord | None:
    """Return the one checkpoint that ``selection`` names; None where it is empty.

    Raises:
        UserError: it names none, or several.
    """
    if not selection:
        return None
    found = select([selection], records, augmentations.short)
    if len(found) > 1:
        named = ", ".join(record.fingerprint for record in found)
        raise UserError(f"--normalise-by {selection}: expected one checkpoint, found {len(found)} ({named}); name one")
    return found[0]


def compare(
    baseline: Sequence[str],
    treatment: Sequence[str],
    *,
    place: Place = HERE,
    limit: int = 0,
    on: str = comparison.BENCHMARK,
    name: str = "",
) -> pd.DataFrame:
    """Return what the treatment did to each class, against the baseline (see ``comparison.compare``).

    Args:
        baseline: selections of checkpoints, the seeds of one group for each model.
        treatment: selections of checkpoints, any number of groups.
        place: where results are.
        limit: of the predictions, 0 for the whole test set.
        on: ``BENCHMARK[:CONDITION[:LEVEL]]``; without a level, all severities; without a condition, all corruptions.
        name: keeps it as ``comparisons/<name>.csv``; empty keeps nothing.

    Raises:
        UserError: a selection names nothing, or the two sides are not comparable.
    """
    store = place.store
    records = store.checkpoints()
    before, after = (select(side, records, augmentations.short) for side in (baseline, treatment))
    frame = comparison.compare(store, before, after, limit=limit, on=comparison.parse_on(on))
    if name:
        write_comparison(frame, store.root / "comparisons" / f"{name}.csv")
    return frame
