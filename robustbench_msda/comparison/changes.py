"""The rows of a comparison: what changed for each class, for all of them, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.comparison.sides import CLEAN, On, Side
from robustbench_msda.metrics.class_dependency import ClassDependency, class_dependency, correlations, summarise
from robustbench_msda.results.store import CheckpointRecord
from robustbench_msda.statistics import (
    MIN_SEEDS,
    Estimate,
    benjamini_hochberg,
    class_recall_bootstrap,
    exact_mcnemar,
    hierarchical_bootstrap,
    hierarchical_change,
    n_degraded_null,
    paired_bootstrap,
    permutation_over_seeds,
)
from robustbench_msda.streams import stream

# Replicates, and all chance.
Bootstrap = tuple[int, np.random.Generator]


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
    on: str = CLEAN.text


COLUMNS = tuple(field.name for field in fields(Change))


def changes(record: CheckpointRecord, sides: tuple[Side, Side], replicates: int, on: On = CLEAN) -> list[Change]:
    """Return the rows of one pair of sides, baseline first: a row a class, then the sums."""
    before, after = sides
    blank = Change(
        dataset=record.dataset,
        model=record.source,
        baseline=before.name,
        treatment=after.name,
        n=len(before.labels),
        seeds_baseline=len(before.counts),
        seeds_treatment=len(after.counts),
        on=on.text,
    )
    where = () if on == CLEAN else (on.text,)
    rng = stream("compare", record.dataset, record.source, before.name, after.name, replicates, *where)
    dependency = class_dependency(before.counts, after.counts, before.total)
    by_class = class_changes(blank, record.classes, sides, dependency, (replicates, rng))
    rows = [*by_class, *sum_changes(blank, sides, dependency, by_class)]
    rows += [*confidence_changes(blank, record.classes, sides, dependency), *errors(blank, sides, (replicates, rng))]
    pooled = f"over {before.conditions} conditions" if before.conditions > 1 else ""
    return [replace(row, flags="; ".join(filter(None, (row.flags, pooled)))) for row in rows]


def class_changes(
    blank: Change,
    classes: Sequence[str],
    sides: tuple[Side, Side],
    dependency: ClassDependency,
    bootstrap: Bootstrap,
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
            n=int(before.total[k]) // before.conditions,
            flags=method,
        )
        for position, k in enumerate(present)
    ]


def class_p(before: Side, after: Side, bootstrap: Bootstrap) -> tuple[NDArray[np.float64], str]:
    """Return each class's two-sided p, NaN without images, and the name of the test."""
    if enough_seeds(before, after):
        return permutation_over_seeds(before.counts, after.counts), "p: permutation over seeds"
    differences = after.correct.mean(axis=0) - before.correct.mean(axis=0)
    p = np.full(len(before.total), np.nan)
    for k in np.flatnonzero(before.total > 0):
        p[k] = paired_bootstrap(differences[before.labels == k], *bootstrap).p
    return p, f"p: paired image bootstrap, fewer than {MIN_SEEDS} seeds a side"


def sum_changes(
    blank: Change, sides: tuple[Side, Side], dependency: ClassDependency, by_class: Sequence[Change]
) -> list[Change]:
    """Return how many classes degraded, improved and tied, by how much, and what seed noise alone would give."""
    classes = replace(blank, n=int((sides[0].total > 0).sum()))
    rows = []
    for name, part in (("degraded", dependency.degraded), ("improved", dependency.improved)):
        rows.append(replace(classes, metric=f"n_{name}_classes", value=part.n))
        spread = part.std_population
        rows.append(replace(classes, metric=f"mean_recall_change_{name}", value=part.mean, n=part.n, spread=spread))
        rows.append(replace(classes, metric=f"recall_change_deviation_{name}", value=part.std_sample, n=part.n))
    rows.append(replace(classes, metric="n_tied_classes", value=dependency.n_tied))
    significant = sum(row.significant == "yes" and row.value < 0 for row in by_class)
    rows.append(replace(classes, metric="n_degraded_significant", value=significant))
    return [*rows, null_row(classes, *sides)]


def confidence_changes(
    blank: Change, classes: Sequence[str], sides: tuple[Side, Side], dependency: ClassDependency
) -> list[Change]:
    """Return the confidence change of each class, its means over degraded and improved ones, and correlations."""
    before, after = sides
    change = after.confidence.mean(axis=0) - before.confidence.mean(axis=0)
    present = np.flatnonzero(before.total > 0)
    images = before.total // before.conditions
    rows = [
        replace(blank, metric="confidence_change", subset=classes[int(k)], value=float(change[k]), n=int(images[k]))
        for k in present
    ]
    for name, sign in (("degraded", -1), ("improved", 1)):
        part = summarise(change[dependency.sign == sign])
        metric = f"mean_confidence_change_{name}"
        rows.append(replace(blank, metric=metric, value=part.mean, n=part.n, spread=part.std_population))
    pearson, spearman = correlations(change[present], dependency.recall_change[present])
    for name, (value, p) in (("pearson", pearson), ("spearman", spearman)):
        rows.append(replace(blank, metric=f"confidence_recall_{name}", value=value, p=p, n=len(present)))
    return rows


def errors(blank: Change, sides: tuple[Side, Side], bootstrap: Bootstrap) -> list[Change]:
    """Return the error of both sides and its change, with intervals over seeds, then images."""
    before, after = sides
    wrong = [1 - each.correct.astype(np.float64) for each in sides]
    change = hierarchical_change(wrong[0], wrong[1], *bootstrap)
    p, method = error_p(before, after, change)
    over = "interval over seeds, then images" if max(len(each) for each in wrong) > 1 else "interval over images"
    rows = [replace(blank, metric="error_change", **change._replace(p=p)._asdict(), flags=f"{over}; {method}")]
    for name, each in (("baseline", wrong[0]), ("treatment", wrong[1])):
        low, high = hierarchical_bootstrap(each, *bootstrap)
        rows.append(replace(blank, metric=f"error_{name}", value=float(each.mean()), low=low, high=high, flags=over))
    return rows


def error_p(before: Side, after: Side, change: Estimate) -> tuple[float, str]:
    """Return the two-sided p that both sides err equally often, and the name of the test."""
    if enough_seeds(before, after):
        p = float(permutation_over_seeds(before.counts.sum(axis=1), after.counts.sum(axis=1)))
        return p, "p: permutation over seeds"
    if len(before.counts) == len(after.counts) == before.conditions == 1:
        one, other = before.correct[0].astype(bool), after.correct[0].astype(bool)
        return exact_mcnemar(int((one & ~other).sum()), int((other & ~one).sum())), "p: exact McNemar over images"
    return change.p, "p: bootstrap over seeds, then images"


def null_row(blank: Change, before: Side, after: Side) -> Change:
    """Return the median of N_DC were the treatment nothing but other seeds, and the two-sided p of what was seen."""
    row = replace(blank, metric="n_degraded_null_median")
    if not enough_seeds(before, after):
        return replace(row, flags=f"needs {MIN_SEEDS} seeds a side")
    null = n_degraded_null(before.counts, after.counts)
    low, high = np.quantile(null, [0.025, 0.975])
    p = min(1.0, 2 * float(min((null >= null[0]).mean(), (null <= null[0]).mean())))
    return replace(row, value=float(np.median(null)), low=float(low), high=float(high), p=p)


def enough_seeds(before: Side, after: Side) -> bool:
    """Return whether seeds can be permuted."""
    return min(len(before.counts), len(after.counts)) >= MIN_SEEDS
