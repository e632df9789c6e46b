"""What a treatment did to each class, against a baseline: paired on images, seeds averaged first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_msda.errors import UserError
from robustbench_msda.metrics.class_dependency import ClassDependency, class_dependency
from robustbench_msda.metrics.classification import class_counts
from robustbench_msda.records import Predictions
from robustbench_msda.results.store import CheckpointRecord, Results, read_predictions, read_sidecar
from robustbench_msda.statistics import (
    MIN_SEEDS,
    benjamini_hochberg,
    class_recall_bootstrap,
    n_degraded_null,
    paired_bootstrap,
    permutation_over_seeds,
)
from robustbench_msda.streams import stream

REPLICATES = 2000
BENCHMARK = "clean"


@dataclass(frozen=True)
class Change:
    """One row of a comparison: a fraction or a count, with its interval over seeds and images."""

    dataset: str
    model: str
    baseline: str
    treatment: str
    metric: str = ""
    subset: str = "all"
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    seed_low: float = np.nan
    seed_high: float = np.nan
    p: float = np.nan
    q: float = np.nan
    significant: str = ""
    n: int = 0
    spread: float = np.nan
    seeds_baseline: int = 0
    seeds_treatment: int = 0
    flags: str = ""


COLUMNS = tuple(field.name for field in fields(Change))


@dataclass(frozen=True)
class Side:
    """The checkpoints of one side on the same images.

    Attributes:
        name: short text of the augmentation, or the source and fingerprint of a stranger.
        correct: (seeds, n) whether each answer is right.
        labels: (n,) classes.
        counts: (seeds, K) correct answers of each class.
        total: (K,) images of each class.
    """

    name: str
    correct: NDArray[np.bool_]
    labels: NDArray[np.int16]
    counts: NDArray[np.int64]
    total: NDArray[np.int64]


def compare(
    results: Results,
    baseline: Sequence[CheckpointRecord],
    treatment: Sequence[CheckpointRecord],
    *,
    limit: int = 0,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Return what every group of ``treatment`` did to each class, against the ``baseline`` of its model.

    A group is what differs in nothing but the seed; where two groups differ in more than the augmentation, every row's
    flags say in what. Signs of recall changes are decided on
    integers. Intervals are 95 %, a bootstrap over seeds, then images, paired on images. A class's p is the exact
    permutation over seeds where each side has at least four, else the paired image bootstrap; q is adjusted over the
    classes after Benjamini and Hochberg (5 %).

    Args:
        results: where the clean predictions are kept.
        baseline: for every model of ``treatment``, one group.
        treatment: any number of groups.
        limit: of the clean predictions, 0 for the whole test set.
        replicates: bootstrap samples.

    Returns:
        A frame with the fields of ``Change``: ``recall_change`` a class, and counts and means with subset ``all``.

    Raises:
        UserError: a side is not evaluated, or the sides are not comparable.
    """
    rows: list[Change] = []
    for after in groups(treatment):
        before = [record for record in baseline if record.source == after[0].source]
        check_comparable(before, after)
        sides = side(results, before, limit), side(results, after, limit)
        told = differences(before[0], after[0])
        rows += [
            replace(row, flags="; ".join(filter(None, (row.flags, told))))
            for row in changes(after[0], *sides, replicates)
        ]
    return pd.DataFrame([vars(row) for row in rows], columns=list(COLUMNS))


def groups(records: Iterable[CheckpointRecord]) -> list[list[CheckpointRecord]]:
    """Return ``records`` by all of their recipe but the seed; a stranger is a group of its own."""
    found: dict[tuple[str, str, str, str], list[CheckpointRecord]] = {}
    for record in records:
        found.setdefault((record.dataset, record.source, name_of(record), record.group), []).append(record)
    return list(found.values())


def differences(before: CheckpointRecord, after: CheckpointRecord) -> str:
    """Return in what two recipes differ besides augmentation and seed, as a flag; empty for nothing, or strangers."""
    if before.recipe is None or after.recipe is None:
        return ""
    names = [name for name, value in after.recipe.items() if before.recipe.get(name) != value]
    found = [name for name in names if name not in ("augmentation", "seed")]
    return f"recipes differ in {', '.join(found)}" if found else ""


def name_of(record: CheckpointRecord) -> str:
    """Return what a comparison calls a checkpoint: its augmentation, or a stranger's fingerprint."""
    return record.augmentation or record.fingerprint


def check_comparable(before: Sequence[CheckpointRecord], after: Sequence[CheckpointRecord]) -> None:
    """Raise ``UserError`` unless the two groups differ in nothing but the augmentation and the seed."""
    if not before:
        raise UserError(f"no --baseline checkpoint has the model {after[0].source!r} of the treatment; add one")
    if len(kinds := groups(before)) > 1:
        names = sorted(name_of(kind[0]) for kind in kinds)
        raise UserError(f"--baseline names several groups of {before[0].source}: {', '.join(names)}; name one")
    if before[0].classes != after[0].classes or before[0].dataset != after[0].dataset:
        raise UserError(f"baseline and treatment classify {before[0].dataset!r} and {after[0].dataset!r}; name one")
    if shared := {record.fingerprint for record in before} & {record.fingerprint for record in after}:
        raise UserError(f"checkpoint {sorted(shared)[0]} is both --baseline and --treatment; name it once")


def side(results: Results, records: Sequence[CheckpointRecord], limit: int) -> Side:
    """Return the clean answers of ``records``.

    Raises:
        UserError: one is not evaluated on this limit, or they saw different images.
    """
    answers = [clean_predictions(results, record, limit) for record in records]
    first = answers[0]
    for record, answer in zip(records, answers, strict=True):
        if not (np.array_equal(answer.index, first.index) and np.array_equal(answer.label, first.label)):
            raise UserError(
                f"checkpoint {record.fingerprint} was evaluated on other images; evaluate all of them again"
            )
    classes = len(records[0].classes)
    counted = [class_counts(answer.label, answer.correct, classes) for answer in answers]
    return Side(
        name=name_of(records[0]),
        correct=np.stack([answer.correct for answer in answers]),
        labels=first.label,
        counts=np.stack([correct for correct, _ in counted]),
        total=counted[0][1],
    )


def clean_predictions(results: Results, record: CheckpointRecord, limit: int) -> Predictions:
    """Return the complete clean predictions of ``record`` at ``limit``.

    Raises:
        UserError: there are none.
    """
    for name, _, paths in results.worlds(record.fingerprint):
        if name != BENCHMARK or not paths:
            continue
        cells = sorted(paths)
        sidecar = read_sidecar(paths[cells[0]])
        if sidecar.world["limit"] == limit and len(cells) == sidecar.parts:
            return Predictions.concatenate([read_predictions(paths[cell]) for cell in cells])
    wanted = f" --limit {limit}" if limit else ""
    raise UserError(
        f"checkpoint {record.fingerprint} has no complete clean predictions{wanted or ' of the whole test set'}; "
        f"run: robustbench-msda evaluate {record.path} --benchmarks clean{wanted}"
    )


def changes(record: CheckpointRecord, before: Side, after: Side, replicates: int) -> list[Change]:
    """Return the rows of one pair of sides: a row a class, then the sums."""
    if not np.array_equal(before.labels, after.labels):
        raise UserError(f"{before.name} and {after.name} were evaluated on other images; evaluate both again")
    blank = Change(
        dataset=record.dataset,
        model=record.source,
        baseline=before.name,
        treatment=after.name,
        n=len(before.labels),
        seeds_baseline=len(before.counts),
        seeds_treatment=len(after.counts),
    )
    rng = stream("compare", record.dataset, record.source, before.name, after.name, replicates)
    dependency = class_dependency(before.counts, after.counts, before.total)
    by_class = class_changes(blank, record.classes, (before, after), dependency, (replicates, rng))
    return [*by_class, *overall_changes(blank, before, after, dependency, by_class, (replicates, rng))]


def class_changes(
    blank: Change,
    classes: Sequence[str],
    sides: tuple[Side, Side],
    dependency: ClassDependency,
    bootstrap: tuple[int, np.random.Generator],
) -> list[Change]:
    """Return the recall change of every class that has images."""
    before, after = sides
    intervals = class_recall_bootstrap(before.correct, after.correct, before.labels, len(classes), *bootstrap)
    p, method = class_p(before, after, bootstrap)
    present = np.flatnonzero(before.total > 0)
    significant, q = benjamini_hochberg(p[present])
    per_seed = after.counts / np.maximum(before.total, 1) - before.counts.mean(axis=0) / np.maximum(before.total, 1)
    return [
        replace(
            blank,
            metric="recall_change",
            subset=classes[int(k)],
            value=float(dependency.recall_change[k]),
            low=float(intervals[k, 0]),
            high=float(intervals[k, 1]),
            seed_low=float(per_seed[:, k].min()),
            seed_high=float(per_seed[:, k].max()),
            p=float(p[k]),
            q=float(q[position]),
            significant="yes" if significant[position] else "no",
            n=int(before.total[k]),
            flags=method,
        )
        for position, k in enumerate(present)
    ]


def class_p(before: Side, after: Side, bootstrap: tuple[int, np.random.Generator]) -> tuple[NDArray[np.float64], str]:
    """Return each class's two-sided p, NaN without images, and the name of the test."""
    if min(len(before.counts), len(after.counts)) >= MIN_SEEDS:
        return permutation_over_seeds(before.counts, after.counts), "p: permutation over seeds"
    differences = after.correct.mean(axis=0) - before.correct.mean(axis=0)
    p = np.full(len(before.total), np.nan)
    for k in np.flatnonzero(before.total > 0):
        p[k] = paired_bootstrap(differences[before.labels == k], *bootstrap).p
    return p, f"p: paired image bootstrap, fewer than {MIN_SEEDS} seeds a side"


def overall_changes(  # noqa: PLR0913
    blank: Change,
    before: Side,
    after: Side,
    dependency: ClassDependency,
    by_class: Sequence[Change],
    bootstrap: tuple[int, np.random.Generator],
) -> list[Change]:
    """Return the change of the error, and the sums over classes."""
    error = paired_bootstrap(before.correct.mean(axis=0) - after.correct.mean(axis=0), *bootstrap)
    classes = replace(blank, n=int((before.total > 0).sum()))
    rows = [replace(blank, metric="error_change", **error._asdict(), flags="interval and p over images")]
    for name, part in (("degraded", dependency.degraded), ("improved", dependency.improved)):
        rows.append(replace(classes, metric=f"n_{name}_classes", value=part.n))
        spread = part.std_population
        rows.append(replace(classes, metric=f"mean_recall_change_{name}", value=part.mean, n=part.n, spread=spread))
    rows.append(replace(classes, metric="n_tied_classes", value=dependency.n_tied))
    significant = sum(row.significant == "yes" and row.value < 0 for row in by_class)
    rows.append(replace(classes, metric="n_degraded_significant", value=significant))
    return [*rows, null_row(classes, before, after)]


def null_row(blank: Change, before: Side, after: Side) -> Change:
    """Return the median of N_DC were the treatment nothing but other seeds, and the two-sided p of what was seen."""
    row: dict[str, Any] = {"metric": "n_degraded_null_median"}
    if min(len(before.counts), len(after.counts)) < MIN_SEEDS:
        return replace(blank, **row, flags=f"needs {MIN_SEEDS} seeds a side")
    null = n_degraded_null(before.counts, after.counts)
    low, high = np.quantile(null, [0.025, 0.975])
    p = min(1.0, 2 * float(min((null >= null[0]).mean(), (null <= null[0]).mean())))
    return replace(blank, **row, value=float(np.median(null)), low=float(low), high=float(high), p=p)
