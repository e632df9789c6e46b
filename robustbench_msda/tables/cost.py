"""Table of what training cost: time by method, over that of training without one, and the size of the networks."""

from __future__ import annotations

import pandas as pd

from robustbench_msda.results.aggregates import pick_rows, tidy
from robustbench_msda.tables.assembly import (
    Filled,
    Key,
    assembled,
    by_label,
    filled,
    means,
    sentences,
    spread_sentence,
    told_flags,
)
from robustbench_msda.tables.values import Column, Estimate, TableData, Value

BY = ["dataset", "model", "label"]
VANILLA = "vanilla"
COLUMNS = (
    Column("epoch_seconds", "epoch (s)", "quantity"),
    Column("step_seconds", "step (s)", "quantity"),
    Column("parameters", "parameters (M)", "millions"),
    Column("flops", "forward FLOPs (M)", "millions"),
)
RATIO = Column("epoch_ratio", "epoch ÷ vanilla", "quantity")
DEFINITION = (
    "Wall time of the training steps, the first epoch left out, evaluation not included; ratios are of networks that "
    "one machine trained. Floating-point operations of the forward pass of one image, two for a multiplication and "
    "addition."
)


def training_cost(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return time and size of every network's training; kmix table 2 and the like print the ratio to vanilla.

    Raises:
        Absent: no training was timed.
    """
    rows = {column: pick_rows(tidy(scores), column.key) for column in COLUMNS}
    columns = [filled(column, found, BY) for column, found in rows.items()]
    columns.insert(1, Filled(RATIO, ratios(rows[COLUMNS[0]])))
    header, body = assembled(Column("augmentation", "Augmentation"), columns, by_label(columns))
    told = told_flags(pd.concat(rows.values()))
    return TableData(
        "training_cost", "What training cost", sentences(DEFINITION, told, spread_sentence(columns)), header, body
    )


def ratios(seconds: pd.DataFrame) -> dict[Key, Value]:
    """Return each mean of ``seconds`` over vanilla's on the same data set and model, where one machine trained both."""
    found: dict[Key, Value] = {}
    for _, rows in seconds.groupby(["dataset", "model", "flags"]):
        times = means(rows, BY)
        for key, value in times.items():
            vanilla = times.get((*key[:-1], VANILLA))
            if isinstance(value, Estimate) and isinstance(vanilla, Estimate):
                found[key] = Estimate(value.mean / vanilla.mean, n=value.n)
    return found
