"""The recall of every class under every condition, one method against another, from counts of score rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_msda.metrics.class_dependency import ClassDependency, class_dependency
from robustbench_msda.results.aggregates import FOR_VALIDATION, STANDS_FOR, ordered_corruptions, ordered_levels

# Data set, model, baseline, treatment.
Pair = tuple[str, str, str, str]
CLEAN = "clean"


@dataclass(frozen=True)
class ConditionChange:
    """What a treatment did to each class under one condition.

    Attributes:
        pair: data set, model, baseline and treatment.
        condition: how it is printed.
        classes: their names, in the order of the model's outputs.
        dependency: what happened to them.
    """

    pair: Pair
    condition: str
    classes: tuple[str, ...]
    dependency: ClassDependency


def pairs_of(changes: pd.DataFrame) -> list[Pair]:
    """Return the pairs of the rows of a comparison, each once, in their order."""
    columns = (changes[name].astype(str) for name in ("dataset", "model", "baseline", "treatment"))
    return list(dict.fromkeys(zip(*columns, strict=True)))


def condition_changes(frame: pd.DataFrame, pairs: Iterable[Pair]) -> Iterator[ConditionChange]:
    """Yield for every pair what changed under every condition that both sides were scored on, clean images first.

    A corruption is taken over its severities, with the same integers as ``compare --on BENCHMARK:CORRUPTION``; an
    attack at every ε by itself. Conditions whose images or severities differ between networks are left out.

    Args:
        frame: tidy score rows.
        pairs: labels of the sides.
    """
    counts = frame[(frame["metric"] == "correct_count") & (frame["source"] == "")]
    for pair in pairs:
        here = counts[(counts["dataset"] == pair[0]) & (counts["model"] == pair[1])]
        here = here[here["label"].isin(pair[2:])]
        for name, rows in conditions_of(here):
            found = dependency_of(rows, pair)
            if found:
                yield ConditionChange(pair, name, *found)


def conditions_of(counts: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the printed name and rows of every condition: clean, corruptions, all of them at once, attacks by ε."""
    yield from ((CLEAN, rows) for _, rows in counts[counts["benchmark"] == CLEAN].groupby("benchmark"))
    attacks = counts["condition"].str.contains("(", regex=False)
    corrupted = counts[~attacks & (counts["level"] != "")]
    for benchmark, rows in corrupted.groupby("benchmark", sort=True):
        names = ordered_corruptions(rows["condition"])
        for name in names:
            yield f"{benchmark} {name}", rows[rows["condition"] == name]
        spare = {name for name in names if name in FOR_VALIDATION or STANDS_FOR.get(name) in names}
        yield f"{benchmark} all", rows[~rows["condition"].isin(spare)]
    for (attack, _), rows in counts[attacks].groupby(["benchmark", "condition"], sort=True):
        for level in ordered_levels(rows["level"]):
            yield f"{attack} {level}", rows[rows["level"] == level]


def dependency_of(rows: pd.DataFrame, pair: Pair) -> tuple[tuple[str, ...], ClassDependency] | None:
    """Return the classes and what happened to them; None where a side is missing or saw other stimuli."""
    classes = tuple(dict.fromkeys(rows["subset"]))
    sides = [side_counts(rows[rows["label"] == label], classes) for label in pair[2:]]
    if sides[0] is None or sides[1] is None or not np.array_equal(sides[0][1], sides[1][1]):
        return None
    return classes, class_dependency(sides[0][0], sides[1][0], sides[0][1])


def side_counts(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return correct answers (seeds, K) and stimuli (K,) summed over conditions; None where networks differ in them."""
    if rows.empty:
        return None
    sums = rows.groupby(["fingerprint", "subset"], sort=False)[["value", "n"]].sum()
    correct, total = (sums[name].unstack().reindex(columns=list(classes)) for name in ("value", "n"))
    if total.isna().to_numpy().any() or (total.nunique() > 1).any():
        return None
    return correct.to_numpy().round().astype(np.int64), total.iloc[0].to_numpy().astype(np.int64)
