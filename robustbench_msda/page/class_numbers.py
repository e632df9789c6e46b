"""What is known of each class under each method, gone through once: recalls, changes, answers, and under conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from robustbench_msda.page.summary import CLEAN, Summary, Who, estimates
from robustbench_msda.tables.confusion_flow import truth_and_answer
from robustbench_msda.tables.values import Estimate

# A condition, and its ε where it is an attack; '' where it is over severities.
Condition = tuple[str, str]


class Change(NamedTuple):
    """The change of a class's recall: its value, its interval, q, and whether it is significant."""

    value: float
    low: float
    high: float
    q: float
    significant: bool


@dataclass(frozen=True)
class ClassNumbers:
    """What is known of the classes under one method, by class.

    Attributes:
        recall: on the clean test set.
        changes: of recall against the baseline.
        answers: what share of a class's images is answered with which other class, averaged over networks.
        conditions: recall by benchmark, class and condition, averaged over networks.
    """

    recall: dict[str, Estimate]
    changes: dict[str, Change]
    answers: dict[str, dict[str, float]]
    conditions: dict[str, dict[str, dict[Condition, float]]]


def class_numbers(summary: Summary) -> dict[Who, ClassNumbers]:
    """Return what is known of the classes under every method."""
    found = {}
    for who, rows in summary.groups.items():
        clean = rows[rows["benchmark"] == CLEAN]
        recall = clean[clean["metric"] == "recall"]
        recalls = {name: value for (name,), value in estimates(recall, ["subset"]).items()}
        found[who] = ClassNumbers(
            recalls,
            changes_of(summary.recall_changes[who]),
            answers(recall, clean[clean["metric"] == "confusion_count"]),
            condition_recalls(rows),
        )
    return found


def changes_of(rows: pd.DataFrame) -> dict[str, Change]:
    """Return the rows of recall changes by class."""
    columns = zip(*(rows[name] for name in ("value", "low", "high", "q", "significant")), strict=True)
    return {
        str(name): Change(float(value), float(low), float(high), float(q), bool(sure))
        for name, (value, low, high, q, sure) in zip(rows.index, columns, strict=True)
    }


def answers(recall: pd.DataFrame, confusions: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return what share of each class's images is answered with which other class.

    A confusion that a network does not make has no row and counts as 0.
    """
    images = dict(zip(recall["subset"], recall["n"], strict=True))
    networks = int(recall["networks"].max()) if len(recall) else 1
    found: dict[str, dict[str, float]] = {}
    for text, mean, count in confusions[["subset", "mean", "networks"]].itertuples(index=False):
        truth, answer = truth_and_answer(text, images)
        found.setdefault(truth, {})[answer] = float(mean) * int(count) / networks / int(images[truth])
    return found


def condition_recalls(rows: pd.DataFrame) -> dict[str, dict[str, dict[Condition, float]]]:
    """Return recall by benchmark, class and condition, over severities but not over ε, from counts of images."""
    counts = rows[(rows["metric"] == "correct_count") & (rows["benchmark"] != CLEAN) & (rows["source"] == "")]
    attack = counts["condition"].str.contains("(", regex=False)
    keyed = counts.assign(epsilon=np.where(attack, counts["level"], ""))
    sums = keyed.groupby(["benchmark", "subset", "condition", "epsilon"], sort=False)[["mean", "n"]].sum()
    found: dict[str, dict[str, dict[Condition, float]]] = {}
    for (benchmark, name, condition, epsilon), mean, n in zip(sums.index, sums["mean"], sums["n"], strict=True):
        if n:
            found.setdefault(benchmark, {}).setdefault(name, {})[condition, epsilon] = float(mean) / int(n)
    return found
