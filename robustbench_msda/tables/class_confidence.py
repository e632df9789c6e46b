"""Table of how confident a method is about the classes it degrades and improves: table 3 of Lee et al. (2023)."""

from __future__ import annotations

import pandas as pd

from robustbench_msda.results.aggregates import Absent, tidy, tidy_comparison
from robustbench_msda.results.recalls import CLEAN
from robustbench_msda.tables.assembly import Filled, assembled, images_sentence, sentences
from robustbench_msda.tables.dependency import PAIR, compared, number, pair_keys, sides_sentence
from robustbench_msda.tables.values import Column, TableData

SUMS = (
    Column("mean_confidence_change_degraded", "ΔC_DC (pp)", "change", over="classes"),
    Column("mean_confidence_change_improved", "ΔC_IC (pp)", "change", over="classes"),
    Column("confidence_recall_pearson", "Pearson r", "correlation", over="classes"),
    Column("confidence_recall_spearman", "Spearman ρ", "correlation", over="classes"),
)
CAPTION = (
    "Confidence of a class: the mean probability of the first answer over its clean test images, averaged over "
    "networks first. ΔC_DC, ΔC_IC: the mean change of confidence over the classes that lose, that gain recall, in "
    "percentage points ± the standard deviation over these classes (ddof 0). r, ρ: correlation over classes of the "
    "change of confidence with that of recall; * marks p < 0.05, not adjusted for the number of methods."
)


def class_confidence(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:
    """Return the confidence change of degraded and improved classes, and its correlation with the recall change.

    Raises:
        Absent: nothing was compared, or by a version that did not compare confidence.
    """
    changes = tidy_comparison(comparison)
    rows = changes[(changes["subset"] == "all") & (changes["on"] == CLEAN)]
    rows = rows.assign(significant=rows["p"] < 0.05)
    columns = [Filled(column, compared(rows[rows["metric"] == column.key], PAIR)) for column in SUMS]
    columns = [column for column in columns if any(number(value) for value in column.values.values())]
    if not columns:
        raise Absent("no comparison of confidence with a baseline")
    keys = [key for key in pair_keys(rows) if key[2] != key[3]]
    header, body = assembled(Column("augmentation", "Augmentation"), columns, keys)
    title, names = "Confidence of degraded and improved classes", ("dataset", "model", "baseline")
    frame = tidy(scores)
    caption = sentences(CAPTION, sides_sentence(rows), images_sentence(frame[frame["benchmark"] == CLEAN]))
    return TableData("class_confidence", title, caption, header, body, names)
