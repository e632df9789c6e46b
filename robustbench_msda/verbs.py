"""What a user can do, as functions: the command line and studies call these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from robustbench_msda import augmentations, comparison, evaluation, scoring, training
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation.planning import BATCH_SIZE
from robustbench_msda.models.checkpoints import Checkpoint
from robustbench_msda.opening import NOTHING_SAID, Foreign, open_checkpoint
from robustbench_msda.progress import Progress, silent
from robustbench_msda.recipes import Recipe, make_recipe
from robustbench_msda.records import Cell
from robustbench_msda.results.scores import write_comparison, write_scores
from robustbench_msda.results.selection import select
from robustbench_msda.results.store import CheckpointRecord, Results
from robustbench_msda.training.execution import PLAIN, Execution


@dataclass(frozen=True)
class Place:
    """Where work is done: the common options of the command line.

    Attributes:
        data_dir: where data sets are.
        results: the results folder.
        device: ``cpu``, ``cuda``, ``cuda:1`` …
        batch_size: images a batch of evaluation.
        allow_partial: evaluate and aggregate what is there of official files that are not all there, and say so.
    """

    data_dir: Path = Path("data")
    results: Path = Path("results")
    device: str = "cpu"
    batch_size: int = BATCH_SIZE
    allow_partial: bool = False

    @property
    def store(self) -> Results:
        """The results folder, opened."""
        return Results(Path(self.results))


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
    """

    checkpoint: Checkpoint
    path: Path
    trusted: tuple[str, ...]
    cells: evaluation.Plan


def plan(
    checkpoint: Path | str,
    benchmarks: Mapping[str, int] | int = 0,
    *,
    foreign: Foreign = NOTHING_SAID,
    place: Place = HERE,
) -> Planned:
    """Return what an evaluation would do (see ``evaluate``)."""
    data_dir = Path(place.data_dir)
    opened, path = open_checkpoint(checkpoint, foreign, data_dir)
    cells = evaluation.plan(
        opened,
        benchmarks,
        data_dir,
        place.store,
        device=place.device,
        batch_size=place.batch_size,
        allow_partial=place.allow_partial,
    )
    return Planned(opened, path, (foreign.model,), cells)


def evaluate(
    checkpoint: Path | str,
    benchmarks: Mapping[str, int] | int = 0,
    *,
    foreign: Foreign = NOTHING_SAID,
    place: Place = HERE,
    cells: Collection[Cell] = (),
    progress: Progress = silent,
) -> Planned:
    """Predict what is missing of a checkpoint's cells, and return what the plan was.

    Args:
        checkpoint: see ``open_checkpoint``.
        benchmarks: name to how many test images, 0 for all; a number is that of every benchmark.
        foreign: what a weights file does not say of itself.
        place: where data sets and results are, and the device.
        cells: only these, whatever their fingerprint; none for all.
        progress: told in images.

    Raises:
        UserError: the checkpoint, the data or the results folder is at fault; or some cells cannot be done, after
            those that can.
    """
    planned = plan(checkpoint, benchmarks, foreign=foreign, place=place)
    planned = replace(planned, cells=evaluation.only(planned.cells, cells)) if cells else planned
    failed = carry_out(planned, place, progress)
    if failed:
        cell, reason = next(iter(failed.items()))
        name = " ".join(filter(None, (cell.benchmark, cell.condition, cell.level)))
        raise UserError(f"{len(failed)} of {len(planned.cells.missing)} cells failed, first {name}: {reason}")
    return planned


def carry_out(planned: Planned, place: Place = HERE, progress: Progress = silent) -> dict[Cell, UserError]:
    """Predict the missing cells of an evaluation; return those that cannot be done, with the reason."""
    return evaluation.evaluate(
        planned.cells, planned.checkpoint, planned.path, place.store, trusted=planned.trusted, progress=progress
    )


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
