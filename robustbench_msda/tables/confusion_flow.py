"""Table of where the images of a degraded class went: what it is answered with more often than under the baseline."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from robustbench_msda.results.aggregates import Absent, label_order, tidy, tidy_comparison
from robustbench_msda.results.recalls import CLEAN, Pair, pairs_of
from robustbench_msda.tables.assembly import images_sentence, sentences
from robustbench_msda.tables.dependency import sides_sentence
from robustbench_msda.tables.text import signed
from robustbench_msda.tables.values import Column, Estimate, Row, TableData

MOST_CLASSES = 5
MOST_TARGETS = 3
CAPTION = (
    f"The {MOST_CLASSES} classes of every method that lose most recall on the clean test set, and the {MOST_TARGETS} "
    "classes that they are answered with more often than under the baseline: percentage points of the class's images, "
    "averaged over networks; * marks a fall of p < 0.05 after Benjamini–Hochberg. Gains and losses of all other "
    "answers together, the column others included, make up the fall."
)
COLUMNS = (
    Column("augmentation", "Augmentation"),
    Column("class", "Class"),
    Column("recall_change", "ΔR (pp)", "change", over="classes"),
    *(Column(f"target_{k}", title) for k, title in enumerate(("most to", "then to", "then to"), 1)),
    Column("others", "others (pp)", "change", over="classes"),
)


def confusion_flow(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:
    """Return the most degraded classes of every method, and what their images are answered with instead.

    Raises:
        Absent: nothing was compared, no class degraded, or confusions were not scored.
    """
    frame, changes = tidy(scores), tidy_comparison(comparison)
    changes = changes[(changes["on"] == CLEAN) & (changes["metric"] == "recall_change")]
    counts = frame[(frame["metric"].isin(["confusion_count", "recall"])) & (frame["benchmark"] == CLEAN)]
    pairs = sorted(pairs_of(changes), key=lambda pair: (pair[:3], label_order(pair[3])))
    rows = tuple(row for pair in pairs for row in pair_rows(counts, changes, pair))
    if not rows:
        raise Absent("no degraded class whose confusion_count was scored")
    names = ("dataset", "model", "baseline")
    clean = frame[frame["benchmark"] == CLEAN]
    caption = sentences(CAPTION, sides_sentence(changes), images_sentence(clean))
    return TableData("confusion_flow", "Where the images of degraded classes went", caption, COLUMNS, rows, names)


def pair_rows(counts: pd.DataFrame, changes: pd.DataFrame, pair: Pair) -> list[Row]:
    """Return the rows of one pair of sides: its most degraded classes, the worst first."""
    here = counts[(counts["dataset"] == pair[0]) & (counts["model"] == pair[1])]
    before, after = (confusion_shares(here[here["label"] == label]) for label in pair[2:])
    if before.empty or after.empty:
        return []
    flow = after.sub(before, fill_value=0.0)
    of_pair = changes
    for name, value in zip(("dataset", "model", "baseline", "treatment"), pair, strict=True):
        of_pair = of_pair[of_pair[name] == value]
    worst = of_pair[of_pair["value"] < 0].sort_values("value", kind="stable").head(MOST_CLASSES)
    return [
        class_row(pair, name, Estimate(value, mark="*" if significant else ""), flow)
        for name, value, significant in zip(worst["subset"], worst["value"], worst["significant"], strict=True)
    ]


def confusion_shares(rows: pd.DataFrame) -> pd.Series[float]:
    """Return what share of a class's images is answered with another, mean over networks, by class and answer.

    A confusion that a network does not make has no row and counts as 0.
    """
    recall, confusions = (rows[rows["metric"] == name] for name in ("recall", "confusion_count"))
    images = recall.groupby("subset")["n"].first()
    sums = confusions.groupby("subset")["value"].sum() / max(recall["fingerprint"].nunique(), 1)
    pairs = [truth_and_answer(str(text), set(images.index)) for text in sums.index]
    shares = [value / images[truth] for value, (truth, _) in zip(sums, pairs, strict=True)]
    return pd.Series(shares, index=pd.MultiIndex.from_tuples(pairs, names=["class", "answer"]), dtype=float)


def truth_and_answer(confusion: str, classes: Collection[str]) -> tuple[str, str]:
    """Return both sides of ``cat>dog``; a name may hold a ``>`` itself, so both must be among ``classes``."""
    pieces = confusion.split(">")
    splits = ((">".join(pieces[:k]), ">".join(pieces[k:])) for k in range(1, len(pieces)))
    return next(pair for pair in splits if set(pair) <= set(classes))


def class_row(pair: Pair, name: str, change: Estimate, flow: pd.Series[float]) -> Row:
    """Return the row of the class ``name``: its recall change, where its images went, and what is left."""
    own = flow[flow.index.get_level_values("class") == name].droplevel("class")
    own = own.sort_values(ascending=False, kind="stable")
    gains = own[own > 0].head(MOST_TARGETS)
    texts = [f"{answer} {signed(value)}" for answer, value in gains.items()]
    targets = [*texts, *([None] * (MOST_TARGETS - len(texts)))]
    return Row(pair[:3], (pair[3], name, change, *targets, Estimate(float(own.drop(gains.index).sum()))))
