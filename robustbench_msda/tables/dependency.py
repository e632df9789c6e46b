"""Tables of class dependency: what a method does to the recall of each class, and to how many of them it does harm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from robustbench_msda.results.aggregates import (
    WHO,
    Absent,
    label_order,
    ordered_labels,
    tidy,
    tidy_comparison,
)
from robustbench_msda.tables.assembly import (
    Filled,
    Key,
    assembled,
    filled,
    images_sentence,
    means,
    sentences,
    spread_sentence,
)
from robustbench_msda.tables.values import Column, Estimate, TableData, Value

PAIR = ["dataset", "model", "baseline", "treatment"]
CHANGE_SENTENCE = (
    "Δ: change of the recall averaged over networks, in percentage points, with its 95 % bootstrap interval over "
    "networks and images; * marks p < 0.05 after Benjamini–Hochberg over the classes."
)
DEGRADED = Column("n_degraded_classes", "N_DC", "count", over="classes")
DEGRADED_CHANGE = Column("mean_recall_change_degraded", "ΔR_DC (pp)", "change", over="classes")
# The columns over all classes, by the metric of a comparison.
SUMS = (
    DEGRADED,
    Column("n_degraded_significant", "signif.", "count", over="classes"),
    Column("n_degraded_null_median", "null", "count_interval", over="classes"),
    Column("n_improved_classes", "N_IC", "count", over="classes"),
    Column("n_tied_classes", "ties", "count", over="classes"),
    DEGRADED_CHANGE,
    Column("recall_change_deviation_degraded", "s_DC (pp)", "share", over="classes"),
    Column("mean_recall_change_improved", "ΔR_IC (pp)", "change", over="classes"),
    Column("recall_change_deviation_improved", "s_IC (pp)", "share", over="classes"),
)
DEGRADED_SENTENCE = (
    "N_DC: classes whose recall, averaged over networks first, falls below that of the baseline; signif.: those with "
    "p < 0.05 after Benjamini–Hochberg. N_IC: classes whose recall rises. ΔR_DC, ΔR_IC: the mean change of recall over "
    "the degraded, the improved classes in percentage points ± the standard deviation over these classes (ddof 0); "
    "s_DC, s_IC: the same deviations with ddof 1."
)
NULL_SENTENCE = (
    "null: the median of N_DC [its central 95 %], and p the chance of one as far from it, were the method nothing but "
    "other seeds."
)


def classes(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:
    """Return the recall of every class under every method, and its change against the baselines it was compared with.

    Raises:
        Absent: the clean test set was not scored.
    """
    frame, changes = tidy(scores), tidy_comparison(comparison)
    recall = frame[(frame["metric"] == "recall") & (frame["benchmark"] == "clean")]
    changes = changes[(changes["metric"] == "recall_change") & (changes["on"] == "clean")]
    if recall.empty:
        raise Absent("no rows of recall of the benchmark clean")
    columns = [column for label in ordered_labels(recall["label"]) for column in class_columns(label, recall, changes)]
    header, rows = assembled(Column("class", "Class"), columns, class_keys(recall))
    caption = sentences(
        "Recall of every class on the clean test set.",
        spread_sentence(columns),
        CHANGE_SENTENCE if len(changes) else "",
        flags_sentence(changes, "Significance by "),
        images_sentence(frame[frame["benchmark"] == "clean"]),
    )
    return TableData("classes", "Recall by class", caption, header, rows)


def class_keys(recall: pd.DataFrame) -> list[Key]:
    """Return (data set, model, class), each once: groups by name, classes in the order of the model's outputs."""
    keys = dict.fromkeys(zip(recall["dataset"], recall["model"], recall["subset"], strict=True))
    return sorted(keys, key=lambda key: key[:2])


def class_columns(label: str, recall: pd.DataFrame, changes: pd.DataFrame) -> Iterator[Filled]:
    """Yield the recall of every class under the method ``label`` and its changes."""
    by = ["dataset", "model", "subset"]
    yield filled(Column(f"recall:{label}", "recall (%)", "share", label), recall[recall["label"] == label], by)
    here = changes[changes["treatment"] == label]
    for baseline in ordered_labels(here["baseline"]):
        key, title = f"recall_change:{label}:{baseline}", f"Δ vs {baseline} (pp)"
        column = Column(key, title, "change_interval", label, over="classes")
        yield Filled(column, compared(here[here["baseline"] == baseline], by))


def class_dependency(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:
    """Return accuracy and how many classes lose recall, and by how much: a row a method, each baseline first.

    Raises:
        Absent: nothing was compared.
    """
    frame, changes = tidy(scores), tidy_comparison(comparison)
    changes = changes[changes["on"] == "clean"]
    sums = changes[changes["subset"] == "all"]
    if sums.empty:
        raise Absent("no comparison with a baseline")
    keys = pair_keys(sums)
    accuracy = accuracy_column(frame, keys)
    columns = [accuracy, *sum_columns(sums), networks_column(sums)]
    header, rows = assembled(Column("augmentation", "Augmentation"), columns, keys)
    caption = sentences(
        "Accuracy on the clean test set, and the classes that lose or gain recall against the baseline.",
        spread_sentence([accuracy]),
        DEGRADED_SENTENCE,
        flags_sentence(changes[changes["metric"] == "recall_change"], "Significance by "),
        null_sentence(sums[sums["metric"] == "n_degraded_null_median"]),
        images_sentence(frame[frame["benchmark"] == "clean"]),
    )
    return TableData("class_dependency", "Class dependency", caption, header, rows, ("dataset", "model", "baseline"))


def pair_keys(sums: pd.DataFrame) -> list[Key]:
    """Return (data set, model, baseline, method), each once: the baseline, then what was compared with it."""
    pairs = set(zip(*(sums[name] for name in PAIR), strict=True))
    keys = {*pairs, *((*pair[:3], pair[2]) for pair in pairs)}
    return sorted(keys, key=lambda key: (key[:3], key[3] != key[2], label_order(key[3])))


def accuracy_column(frame: pd.DataFrame, keys: Sequence[Key]) -> Filled:
    """Return the accuracy on the clean test set of every method among ``keys``, as one minus its error."""
    column = Column("accuracy", "Accuracy (%)", "share")
    errors = frame[(frame["metric"] == "error") & (frame["benchmark"] == "clean")]
    accuracy = means(errors.assign(value=1 - errors["value"], low=1 - errors["high"], high=1 - errors["low"]), WHO)
    return Filled(column, {key: accuracy.get((*key[:2], key[3])) for key in keys})


def sum_columns(sums: pd.DataFrame) -> list[Filled]:
    """Return the columns over all classes that hold at least one number."""
    columns = [Filled(column, compared(sums[sums["metric"] == column.key], PAIR)) for column in SUMS]
    tested = sums[sums["metric"].isin([DEGRADED.key, "n_degraded_null_median"]) & sums["p"].notna()]
    p = Column("n_degraded_p", "p", "probability", over="classes")
    columns.insert(3, Filled(p, compared(tested.assign(value=tested["p"]), PAIR)))
    return [column for column in columns if any(number(value) for value in column.values.values())]


def networks_column(sums: pd.DataFrame) -> Filled:
    """Return how many networks each side has: the method's, then the baseline's."""
    keys = zip(*(sums[name] for name in PAIR), strict=True)
    sides = zip(sums["seeds_treatment"], sums["seeds_baseline"], strict=True)
    told = {key: f"{after:g} vs {before:g}" for key, (after, before) in zip(keys, sides, strict=True)}
    return Filled(Column("networks", "networks"), told)


def compared(rows: pd.DataFrame, by: Sequence[str]) -> dict[Key, Value]:
    """Return the values of comparison ``rows`` by the columns ``by``; a significant one bears a ``*``."""
    keys = zip(*(rows[name] for name in by), strict=True)
    numbers = zip(*(rows[name] for name in ("value", "spread", "n", "low", "high", "significant")), strict=True)
    return {
        key: Estimate(value, spread, int(n) if n == n else 0, low, high, "*" if significant else "")
        for key, (value, spread, n, low, high, significant) in zip(keys, numbers, strict=True)
    }


def number(value: Value) -> bool:
    """Return whether there is a number in ``value``."""
    return isinstance(value, Estimate) and not math.isnan(value.mean)


def dependency_columns(comparison: pd.DataFrame) -> list[Filled]:
    """Return N_DC and the mean recall change of degraded classes against vanilla, where they were compared."""
    changes = tidy_comparison(comparison)
    against = changes[(changes["baseline"] == "vanilla") & (changes["subset"] == "all") & (changes["on"] == "clean")]
    by = ["dataset", "model", "treatment"]
    if against.empty:
        return []
    return [
        Filled(column, compared(against[against["metric"] == column.key], by)) for column in (DEGRADED, DEGRADED_CHANGE)
    ]


def flags_sentence(rows: pd.DataFrame, lead: str) -> str:
    """Return what the rows of a comparison say about themselves, each once, after ``lead``."""
    told = dict.fromkeys(flag.removeprefix("p: ") for flag in rows["flags"] if flag)
    return f"{lead}{'; '.join(told)}." if told else ""


def sides_sentence(changes: pd.DataFrame) -> str:
    """Return over how many networks the two sides of comparison rows are averaged."""
    counts = changes[["seeds_treatment", "seeds_baseline"]].drop_duplicates().sort_values("seeds_treatment")
    told = [f"n={after:g} against {before:g}" for after, before in counts.itertuples(index=False)]
    return f"Averaged over {', '.join(told)} networks (seeds) of the method and the baseline."


def null_sentence(rows: pd.DataFrame) -> str:
    """Return what the null of N_DC is where it was computed, and why not where it was not."""
    absent = rows[rows["value"].isna()]
    return sentences(NULL_SENTENCE if len(absent) < len(rows) else "", flags_sentence(absent, "No null of N_DC: "))
