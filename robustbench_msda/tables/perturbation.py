"""Table of perturbations: how far answers move along videos that change a little from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from robustbench_msda.conditions import FOUR
from robustbench_msda.results.aggregates import (
    complete_rows,
    ordered_perturbations,
    pick_rows,
    tidy,
)
from robustbench_msda.results.normalised import FLIP_RATES, normalised_sentence, normalised_title
from robustbench_msda.tables.assembly import (
    Filled,
    assembled,
    by_label,
    filled,
    images_sentence,
    sentences,
    spread_sentence,
    told_flags,
)
from robustbench_msda.tables.values import Column, TableData

BY = ["dataset", "model", "benchmark", "label"]
TESTED, VALIDATION, MEAN = "Flip prob. (%)", "Flip prob. (%), validation", "Mean of the ten"
MEANS = (
    Column("mean_flip_probability", "flip prob. (%)", "share", MEAN),
    Column("mean_top5_distance", "top-5 distance", "distance", MEAN),
    *(Column(metric, normalised_title(metric), "share", MEAN) for metric in FLIP_RATES),
)
DEFINITION = (
    "Flip probability: share of the frames of a video that are answered otherwise than the frame before, in videos of "
    "noise than the first, clean frame; top-5 distance: how far the first five answers move between the same frames, "
    "0 to 15 (Hendrycks and Dietterich 2019); means without the perturbations for validation."
)


def perturbations(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the flip probability under every perturbation, the means over the ten, then those for validation.

    Raises:
        Absent: no perturbation was scored.
    """
    frame = tidy(scores)
    flips = pick_rows(frame, "flip_probability")
    means = {column: found for column in MEANS if len(found := complete_rows(frame, column.key))}
    validation = flips["condition"].isin(FOUR)
    columns = [
        *flip_columns(flips[~validation], TESTED),
        *(filled(column, found, BY) for column, found in means.items()),
        *flip_columns(flips[validation], VALIDATION),
    ]
    header, rows = assembled(Column("augmentation", "Augmentation"), columns, by_label(columns))
    caption = sentences(
        DEFINITION,
        normalised_sentence([column.key for column in means if column.key in FLIP_RATES], "the ten, in percent"),
        told_flags(pd.concat([flips, *means.values()])),
        spread_sentence(columns),
        images_sentence(flips),
    )
    names = ("dataset", "model", "benchmark")
    return TableData("perturbations", "Stability under perturbation", caption, header, rows, names)


def flip_columns(rows: pd.DataFrame, span: str) -> Iterator[Filled]:
    """Yield the flip probability under every perturbation of ``rows``."""
    for name in ordered_perturbations(rows["condition"]):
        column = Column(f"flip_probability:{name}", name.replace("_", " "), "share", span)
        yield filled(column, rows[rows["condition"] == name], BY)
