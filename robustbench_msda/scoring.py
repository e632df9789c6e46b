"""Scores of stored predictions: needs neither network nor data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.progress import Progress, silent
from robustbench_msda.records import COLUMNS, Cell, Predictions, Score, level_value
from robustbench_msda.results.scores import NUMBERS
from robustbench_msda.results.store import CheckpointRecord, Results, Sidecar, read_predictions, read_sidecar

ORDER = ["dataset", "model", "augmentation", "seed", "fingerprint", "benchmark", "world", "condition"]


def score(
    results: Results,
    records: Iterable[CheckpointRecord],
    limits: Mapping[str, int] | None = None,
    *,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the tidy table of everything that the stored predictions of ``records`` say.

    A condition some of whose parts are missing is left out, and so is an aggregate some of whose conditions are.

    Args:
        results: where predictions are kept.
        records: the checkpoints.
        limits: benchmark name to limit: only these worlds; None for all.
        progress: told after each checkpoint.

    Returns:
        A frame with the columns ``COLUMNS``: fractions, ``n`` beside every value, sorted.

    Raises:
        DamagedData: a file of predictions cannot be read.
    """
    chosen = list(records)
    rows: list[dict[str, object]] = []
    for number, record in enumerate(chosen):
        progress(number, len(chosen), record.fingerprint)
        rows += [as_row(found, record) for found in checkpoint_scores(results, record, limits)]
    progress(len(chosen), len(chosen))
    return sorted_frame(rows)


def checkpoint_scores(results: Results, record: CheckpointRecord, limits: Mapping[str, int] | None) -> Iterator[Score]:
    """Yield the scores of one checkpoint, world by world: limited worlds never meet full ones."""
    table = benchmarks_of(record.dataset)
    for name, world, paths in results.worlds(record.fingerprint):
        if name not in table or not paths:
            continue
        sidecars = {cell: read_sidecar(path) for cell, path in paths.items()}
        if limits is not None and limits.get(name) != next(iter(sidecars.values())).world["limit"]:
            continue
        for found in table[name].score(conditions(paths, sidecars), record.classes):
            yield replace(found, world=world)


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
