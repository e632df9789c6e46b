"""Scores of stored predictions: needs neither network nor data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from robustbench_msda.benchmarks import Baseline, Basis, benchmarks_of
from robustbench_msda.errors import UserError
from robustbench_msda.progress import Progress, silent
from robustbench_msda.records import COLUMNS, Cell, Predictions, Score, level_value
from robustbench_msda.results.scores import NUMBERS
from robustbench_msda.results.store import CheckpointRecord, Results, Sidecar, read_predictions, read_sidecar

CLEAN = "clean"
TRAINING = "training"
TRAINING_METRICS = ("parameters", "flops", "epoch_seconds", "step_seconds", "images_per_s")
ORDER = ["dataset", "model", "augmentation", "seed", "fingerprint", "benchmark", "world", "condition"]


@dataclass(frozen=True)
class Relation:
    """What scores are put in relation to.

    Attributes:
        baseline: the checkpoint whose errors normalise, besides published constants; None for none.
        allow_partial: aggregate what is there of a benchmark that is not all there, and say of what.
    """

    baseline: CheckpointRecord | None = None
    allow_partial: bool = False


class Evaluated(NamedTuple):
    """The complete conditions of one checkpoint on one benchmark in one world."""

    benchmark: str
    world: str
    limit: int
    conditions: dict[Cell, Predictions]
    checks: dict[Cell, dict[str, int]]


def score(
    results: Results,
    records: Iterable[CheckpointRecord],
    limits: Mapping[str, int] | None = None,
    relation: Relation = Relation(),
    *,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the tidy table of everything that the stored predictions of ``records`` say.

    A condition some of whose parts are missing is left out, and so is an aggregate some of whose conditions are, unless
    ``relation`` allows partial ones.

    Args:
        results: where predictions are kept.
        records: the checkpoints.
        limits: benchmark name to limit: only these worlds; None for all.
        relation: what scores are put in relation to.
        progress: told after each checkpoint.

    Returns:
        A frame with the columns ``COLUMNS``: fractions, ``n`` beside every value, sorted.

    Raises:
        DamagedData: a file of predictions cannot be read.
        UserError: the baseline was evaluated on nothing that it could normalise.
    """
    chosen = list(records)
    rows: list[dict[str, object]] = []
    known = results.checkpoints().values()
    for number, record in enumerate(chosen):
        progress(number, len(chosen), record.fingerprint)
        found = checkpoint_scores(results, record, limits, relation, boxes_of(record, known))
        rows += [as_row(each, record) for each in found]
    progress(len(chosen), len(chosen))
    if relation.baseline and not any(str(row["metric"]).endswith("_baseline") for row in rows):
        raise UserError(
            f"--normalise-by {relation.baseline.fingerprint}: expected predictions on the same corruptions or "
            f"perturbations and --limit, found none; run: robustbench-msda evaluate {relation.baseline.path}"
        )
    return sorted_frame(rows)


def boxes_of(record: CheckpointRecord, known: Iterable[CheckpointRecord]) -> dict[str, str]:
    """Return which box each of ``known`` is to ``record`` as a substitute, by fingerprint (see ``Basis``)."""
    return {other.fingerprint: "gray_box" if other.source == record.source else "black_box" for other in known}


def checkpoint_scores(
    results: Results,
    record: CheckpointRecord,
    limits: Mapping[str, int] | None,
    relation: Relation,
    boxes: Mapping[str, str],
) -> Iterator[Score]:
    """Yield the scores of one checkpoint, world by world: limited worlds never meet full ones."""
    yield from training_scores(record)
    table = benchmarks_of(record.dataset)
    clean = clean_answers(results, record)
    for found in evaluated(results, record):
        if limits is not None and limits.get(found.benchmark) != found.limit:
            continue
        baseline = baseline_of(results, relation.baseline, found) if relation.baseline else None
        answers = clean.get(found.limit)
        basis = Basis(error_of(answers), baseline, relation.allow_partial, answers, found.checks, boxes)
        for each in table[found.benchmark].score(found.conditions, record.classes, basis):
            yield replace(each, world=found.world)


def training_scores(record: CheckpointRecord) -> Iterator[Score]:
    """Yield what the training of a checkpoint cost, where that is known; ``n`` counts epochs."""
    if record.cost is None:
        return
    told = f"{record.cost.device}, processes: {record.cost.processes}, threads of each: {record.cost.threads}"
    for metric in TRAINING_METRICS:
        yield Score(TRAINING, metric, float(getattr(record.cost, metric)), record.cost.epochs, flags=told)


def evaluated(results: Results, record: CheckpointRecord, only: str = "") -> Iterator[Evaluated]:
    """Yield what ``record`` was evaluated on, or its worlds of the benchmark ``only``, read one at a time.

    Worlds of another version of their benchmark are left aside: their stimuli are not those of today.
    """
    table = benchmarks_of(record.dataset)
    for name, world, paths in results.worlds(record.fingerprint):
        if name not in table or (only and name != only) or not paths:
            continue
        sidecars = {cell: read_sidecar(path) for cell, path in paths.items()}
        facts = next(iter(sidecars.values())).world
        if facts["version"] == table[name].version:
            complete = conditions(paths, sidecars)
            yield Evaluated(name, world, int(facts["limit"]), complete, checks_of(complete, sidecars))


def clean_answers(results: Results, record: CheckpointRecord) -> dict[int, Predictions]:
    """Return the answers to the clean images by limit; a limit that has two worlds says nothing."""
    found = [each for each in evaluated(results, record, CLEAN) if each.conditions]
    limits = [each.limit for each in found]
    return {each.limit: next(iter(each.conditions.values())) for each in found if limits.count(each.limit) == 1}


def error_of(answers: Predictions | None) -> float | None:
    """Return the share of wrong answers; None where there are none."""
    return None if answers is None else 1 - float(answers.correct.mean())


def baseline_of(results: Results, record: CheckpointRecord, found: Evaluated) -> Baseline | None:
    """Return the errors of ``record`` in the world of ``found``: of images, or the flip probabilities of videos.

    None where it was not evaluated there.
    """
    for own in evaluated(results, record, found.benchmark):
        if own.world == found.world:
            scores = benchmarks_of(record.dataset)[own.benchmark].score(own.conditions, record.classes, Basis())
            errors = {
                (each.condition, each.level): each.value
                for each in scores
                if each.metric in ("error", "flip_probability") and each.subset == "all"
            }
            return Baseline(name_of(record), errors, error_of(clean_answers(results, record).get(own.limit)))
    return None


def name_of(record: CheckpointRecord) -> str:
    """Return what a checkpoint is called in flags."""
    seed = "" if record.seed is None else f"seed {record.seed}"
    return " ".join(filter(None, (record.source, record.augmentation, seed, record.fingerprint)))


def conditions(paths: Mapping[Cell, Path], sidecars: Mapping[Cell, Sidecar]) -> dict[Cell, Predictions]:
    """Return the complete conditions, their parts joined in order under the cell of part 0."""
    grouped: dict[Cell, list[Cell]] = {}
    for cell in sorted(paths):
        grouped.setdefault(cell._replace(part=0), []).append(cell)
    complete = {first: cells for first, cells in grouped.items() if len(cells) == sidecars[cells[0]].parts}
    return {
        first: Predictions.concatenate([read_predictions(paths[cell]) for cell in cells])
        for first, cells in complete.items()
    }


def checks_of(conditions: Iterable[Cell], sidecars: Mapping[Cell, Sidecar]) -> dict[Cell, dict[str, int]]:
    """Return how many images of each condition failed each check, over all its parts."""
    found: dict[Cell, Counter[str]] = {first: Counter() for first in conditions}
    for cell, sidecar in sidecars.items():
        if (first := cell._replace(part=0)) in found:
            found[first].update(sidecar.checks)
    return {first: dict(checks) for first, checks in found.items()}


def as_row(found: Score, record: CheckpointRecord) -> dict[str, object]:
    """Return ``found`` as a row of the tidy table, with who it is about."""
    return asdict(found) | {
        "fingerprint": record.fingerprint,
        "group": record.group,
        "seed": "" if record.seed is None else str(record.seed),
        "dataset": record.dataset,
        "model": record.source,
        "augmentation": record.augmentation,
    }


def sorted_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Return ``rows`` in the order tables are read: by checkpoint, benchmark, condition, then level by its value."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(NUMBERS)
    by_level = frame.assign(strength=frame["level"].map(level_value))
    # A stable sort keeps the order in which a benchmark says its metrics and classes.
    ordered = by_level.sort_values([*ORDER, "strength"], kind="stable", ignore_index=True)
    return ordered[list(COLUMNS)]
