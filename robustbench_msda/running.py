"""Running a study: train what is missing, evaluate what is missing, score and compare."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from robustbench_msda import augmentations, comparison, provenance, scoring, verbs
from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.engines import Outcome, WorkItem, run
from robustbench_msda.errors import UserError
from robustbench_msda.files import write_text
from robustbench_msda.progress import Progress, silent
from robustbench_msda.recipes import Recipe
from robustbench_msda.results.scores import write_comparison, write_scores
from robustbench_msda.results.store import CheckpointRecord, Results, check_writable, read_sidecar
from robustbench_msda.studies import Study
from robustbench_msda.training import train
from robustbench_msda.training.loop import CHECKPOINT, LOG
from robustbench_msda.verbs import Place


@dataclass(frozen=True)
class Workers:
    """How a study is spread over this machine.

    Attributes:
        processes: 1 works in this process.
        threads: of torch in each; 0 shares the cores out evenly.
    """

    processes: int = 1
    threads: int = 0


def run_study(study: Study, place: Place, runs: Path, workers: Workers, progress: Progress = silent) -> list[Outcome]:
    """Train, evaluate, score and compare what ``study`` names; return what became of each piece of work.

    What exists is not done again. Scores go to ``scores/<study>.csv.gz`` in the results folder, the comparison with the
    first augmentation to ``comparisons/<study>.csv``, and recipes, machine, command, commit and hours to
    ``<study>.json``; they hold what could be done, also where some of it failed.

    Args:
        study: what to run.
        place: where data and results are.
        runs: where run folders are.
        workers: how to spread it.
        progress: told in pieces of work: a training and an evaluation a recipe.

    Raises:
        UserError: the study names something that does not exist, or nothing could be done.
    """
    recipes = study.recipes()
    check_writable(place.results)
    outcomes = run(
        work_items(recipes, study.benchmarks, place, runs),
        workers.processes,
        threads=workers.threads,
        progress=progress,
    )
    done = evaluated(recipes, place.store, runs)
    if not done:
        raise UserError(next(outcome.error for outcome in outcomes if outcome.error))
    frame = scoring.score(place.store, done, study.benchmarks)
    write_scores(frame, place.results / "scores" / f"{study.name}.csv.gz")
    write_comparison(compared(study, done, place.store), place.results / "comparisons" / f"{study.name}.csv")
    facts = description(study, done, outcomes, place.store, runs)
    write_text(place.results / f"{study.name}.json", json.dumps(facts, indent=1) + "\n")
    return outcomes


def work_items(recipes: Sequence[Recipe], limits: Mapping[str, int], place: Place, runs: Path) -> list[WorkItem]:
    """Return a training and an evaluation for every recipe, seeds outermost: an early stop leaves whole comparisons."""
    items = []
    for recipe in sorted(recipes, key=lambda recipe: recipe.seed):
        folder = runs / recipe.folder
        training = partial(train, recipe, place.data_dir, folder, device=place.device)
        # The study's author typed the model source: a file of theirs may be run.
        author = verbs.Foreign(model=recipe.model)
        evaluation = partial(verbs.evaluate, folder, limits, foreign=author, place=place)
        items.append(WorkItem(f"train {recipe.folder}", training))
        items.append(WorkItem(f"evaluate {recipe.folder}", evaluation, needs=(f"train {recipe.folder}",)))
    return items


def evaluated(recipes: Sequence[Recipe], store: Results, runs: Path) -> list[CheckpointRecord]:
    """Return the record of every recipe's checkpoint that has been evaluated, in the order of ``recipes``."""
    known = {record.recipe_id: record for record in store.checkpoints().values()}
    trained = [recipe for recipe in recipes if (runs / recipe.folder / CHECKPOINT).exists()]
    return [known[recipe.id] for recipe in trained if recipe.id in known]


def compared(study: Study, done: Sequence[CheckpointRecord], store: Results) -> pd.DataFrame:
    """Return every augmentation of ``done`` against the study's first, model by model; empty without clean answers."""
    first = augmentations.short(study.recipes()[0].augmentation)
    baseline = [record for record in done if record.augmentation == first]
    models = {record.source for record in baseline}
    treatment = [record for record in done if record.augmentation != first and record.source in models]
    limit = study.benchmarks.get(comparison.BENCHMARK)
    if limit is None:
        treatment = []
    return comparison.compare(store, baseline, treatment, limit=limit or 0)


def description(
    study: Study, done: Sequence[CheckpointRecord], outcomes: Sequence[Outcome], store: Results, runs: Path
) -> dict[str, object]:
    """Return what a reader of the results should know: recipes, machine, command, commit, hours, failures."""
    training = [seconds_trained(runs / recipe.folder / LOG) for recipe in study.recipes()]
    evaluation = [seconds_evaluated(store, record, study.benchmarks) for record in done]
    return {
        "study": study.name,
        "claim": study.claim,
        "feeds": list(study.feeds),
        "command": provenance.command(),
        "commit": provenance.code(),
        "machine": provenance.machine(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "hours": {"training": round(sum(training) / 3600, 3), "evaluation": round(sum(evaluation) / 3600, 3)},
        "benchmarks": study.benchmarks,
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
