"""Running a study: train what is missing, evaluate what is missing, score and compare."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustbench_msda import comparison, provenance, scoring, transfers, verbs
from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.engines import Outcome, Workers, WorkItem, run_items
from robustbench_msda.errors import MissingData, UserError
from robustbench_msda.evaluation import Place, pieces, setting_of
from robustbench_msda.files import write_text
from robustbench_msda.opening import Foreign
from robustbench_msda.progress import Progress, silent
from robustbench_msda.recipes import Recipe
from robustbench_msda.records import Cell
from robustbench_msda.results.scores import write_comparison, write_scores
from robustbench_msda.results.store import CheckpointRecord, Results, check_writable, read_sidecar
from robustbench_msda.studies import Study, Trial
from robustbench_msda.training import train
from robustbench_msda.training.loop import CHECKPOINT, LOG


def run_study(study: Study, place: Place, runs: Path, workers: Workers, progress: Progress = silent) -> list[Outcome]:
    """Train, evaluate, score and compare what ``study`` names; return what became of each piece of work.

    What exists is not done again. Scores go to ``scores/<study>.csv.gz`` in the results folder, the comparison with the
    first augmentation to ``comparisons/<study>.csv``, and recipes, machine, command, commit and hours to
    ``<study>.json``; they hold what could be done, also where some of it failed.

    Args:
        study: what to run.
        place: where data and results are.
        runs: where run folders are.
        workers: who does it.
        progress: told in pieces of work: a training a recipe, and an evaluation or, if it is long, parts of one.

    Raises:
        UserError: the study names something that does not exist, or nothing could be done.
    """
    trials = study.trials()
    check_writable(place.results)
    items = [*work_items(trials, place, runs), *transfer_items(study, trials, place, runs)]
    outcomes = run_items(items, workers, progress)
    done = evaluated([trial.recipe for trial in trials], place.store, runs)
    if not done:
        raise UserError(next(outcome.error for outcome in outcomes if outcome.error))
    write_scores(scored(study, done, place.store), place.results / "scores" / f"{study.name}.csv.gz")
    write_comparison(compared(study, done, place.store), place.results / "comparisons" / f"{study.name}.csv")
    facts = description(study, done, outcomes, place.store, runs)
    write_text(place.results / f"{study.name}.json", json.dumps(facts, indent=1) + "\n")
    return outcomes


def work_items(trials: Sequence[Trial], place: Place, runs: Path) -> list[WorkItem]:
    """Return the work of every trial, seeds outermost: an early stop leaves whole comparisons.

    That is a training, and then its evaluation in pieces that may be done at once.
    """
    items: list[WorkItem] = []
    # One of a machine's GPUs, whichever is free; a device that has a number is all the workers'.
    gpus = int(place.device == "cuda")

    @cache
    def cut(dataset: str, limits: tuple[tuple[str, int], ...]) -> list[tuple[Cell, ...]]:
        return evaluation_pieces(dataset, dict(limits), place)

    for trial in sorted(trials, key=lambda trial: trial.recipe.seed):
        recipe, folder = trial.recipe, runs / trial.recipe.folder
        training = partial(train, recipe, place.data_dir, folder, device=place.device)
        items.append(WorkItem(f"train {recipe.folder}", training, gpus=gpus))
        # The study's author typed the model source: a file of theirs may be run.
        author = Foreign(model=recipe.model)
        evaluation = partial(verbs.evaluate, folder, trial.benchmarks, foreign=author, place=place)
        parts = cut(recipe.dataset, tuple(trial.benchmarks.items()))
        for number, cells in enumerate(parts, 1):
            name = f"evaluate {recipe.folder}" + (f" {number}/{len(parts)}" if len(parts) > 1 else "")
            items.append(WorkItem(name, partial(evaluation, cells=cells), (f"train {recipe.folder}",), gpus))
    return items


def transfer_items(study: Study, trials: Sequence[Trial], place: Place, runs: Path) -> list[WorkItem]:
    """Return the work of every substitute: what attacks make of it is made once, and shown to all networks."""
    folders = {trial.recipe.id: runs / trial.recipe.folder for trial in trials}
    items: list[WorkItem] = []
    for recipe, attacks in study.substitutes():
        targets = [trial.recipe for trial in trials if trial.recipe.dataset == recipe.dataset]
        shown = [str(folders[target.id]) for target in targets]
        # The study's author typed the model sources: a file of theirs may be run.
        author = Foreign(model=recipe.model)
        work = partial(transfers.transfer, [str(folders[recipe.id])], shown, attacks, foreign=author, place=place)
        after = tuple(f"train {target.folder}" for target in targets)
        items.append(WorkItem(f"transfer from {recipe.folder}", work, after, int(place.device == "cuda")))
    return items


def evaluation_pieces(dataset: str, limits: Mapping[str, int], place: Place) -> list[tuple[Cell, ...]]:
    """Return the cells of a network's evaluation in pieces; an empty one stands for all there are.

    Raises:
        UnknownName: there is no such benchmark for the data set.
    """
    data_dir = Path(place.data_dir)
    try:
        opened = open_dataset(dataset, data_dir)
    except MissingData:
        return [()]  # the training says so, and other data sets may be there
    found = pieces(limits, setting_of(opened, place))
    return found if len(found) > 1 else [()]


def evaluated(recipes: Sequence[Recipe], store: Results, runs: Path) -> list[CheckpointRecord]:
    """Return the record of every recipe's checkpoint that has been evaluated, in the order of ``recipes``."""
    known = {record.recipe_id: record for record in store.checkpoints().values()}
    trained = [recipe for recipe in recipes if (runs / recipe.folder / CHECKPOINT).exists()]
    return [known[recipe.id] for recipe in trained if recipe.id in known]


def scored(study: Study, done: Sequence[CheckpointRecord], store: Results) -> pd.DataFrame:
    """Return the scores of ``done``: of each network those of the benchmarks that the study puts it to, no others."""
    frame = scoring.score(store, done, study.limits())
    benchmarks = {trial.recipe.id: trial.benchmarks for trial in study.trials()}
    wanted = {(record.fingerprint, name) for record in done for name in benchmarks[record.recipe_id]}
    wanted |= {(record.fingerprint, scoring.TRAINING) for record in done}
    rows = [pair in wanted for pair in zip(frame["fingerprint"], frame["benchmark"], strict=True)]
    return frame.loc[np.array(rows, dtype=bool)].reset_index(drop=True)


def compared(study: Study, done: Sequence[CheckpointRecord], store: Results) -> pd.DataFrame:
    """Return every group of ``done`` against its baseline, part by part; no rows without clean answers."""
    known = {record.recipe_id: record for record in done}
    frames: list[pd.DataFrame] = []
    seen: set[tuple[str, str]] = set()
    for part in study.parts().values():
        limit = part.benchmarks.get(comparison.BENCHMARK)
        for baseline, *treatments in grouped(part.recipes()) if limit is not None else ():
            before = [known[recipe.id] for recipe in baseline if recipe.id in known]
            new = [group for group in treatments if (baseline[0].group, group[0].group) not in seen]
            seen |= {(baseline[0].group, group[0].group) for group in new}
            after = [known[recipe.id] for group in new for recipe in group if recipe.id in known]
            if before and after:
                frames.append(comparison.compare(store, before, after, limit=limit or 0, among=done))
    return pd.concat(frames, ignore_index=True) if frames else comparison.compare(store, [], [])


def grouped(recipes: Sequence[Recipe]) -> list[list[list[Recipe]]]:
    """Return the recipes of each data set and model, those that differ in nothing but the seed together.

    The first of them are the baseline of the others: in the order of a grid, they have the first augmentation.
    """
    found: dict[tuple[str, str], dict[str, list[Recipe]]] = {}
    for recipe in recipes:
        found.setdefault((recipe.dataset, recipe.model), {}).setdefault(recipe.group, []).append(recipe)
    return [list(groups.values()) for groups in found.values()]


def description(
    study: Study, done: Sequence[CheckpointRecord], outcomes: Sequence[Outcome], store: Results, runs: Path
) -> dict[str, object]:
    """Return what a reader of the results should know: recipes, machine, command, commit, hours, failures."""
    trials = {trial.recipe.id: trial for trial in study.trials()}
    training = [seconds_trained(runs / trial.recipe.folder / LOG) for trial in trials.values()]
    evaluation = [seconds_evaluated(store, record, trials[record.recipe_id].benchmarks) for record in done]
    return {
        "study": study.name,
        "claim": study.claim,
        "feeds": list(dict.fromkeys(table for part in study.parts().values() for table in part.feeds)),
        "stands": {theirs: ours for part in study.parts().values() for theirs, ours in part.stands.items()},
        "command": provenance.command(),
        "commit": provenance.code(),
        "machine": provenance.machine(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "hours": {"training": round(sum(training) / 3600, 3), "evaluation": round(sum(evaluation) / 3600, 3)},
        "benchmarks": study.limits(),
        "recipes": {record.fingerprint: record.recipe for record in done},
        "failed": {outcome.id: outcome.error for outcome in outcomes if outcome.error},
    }


def seconds_trained(log: Path) -> float:
    """Return the seconds that the epochs of a log took; 0 where there is none."""
    if not log.exists():
        return 0.0
    with log.open(encoding="utf-8", newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def seconds_evaluated(store: Results, record: CheckpointRecord, limits: Mapping[str, int]) -> float:
    """Return the seconds that the stored cells of a checkpoint took, of the benchmarks and limits of a study."""
    table = benchmarks_of(record.dataset)
    seconds = 0.0
    for name, _, paths in store.worlds(record.fingerprint):
        for sidecar in map(read_sidecar, paths.values() if name in limits else ()):
            if (sidecar.world["limit"], sidecar.world["version"]) == (limits[name], table[name].version):
                seconds += sidecar.seconds
    return seconds
