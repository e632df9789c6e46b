"""A table as CSV: raw fractions and counts, never percent."""

from __future__ import annotations

import pandas as pd

from robustbench_msda.results.csv_text import csv_text
from robustbench_msda.tables.values import Column, Estimate, Format, Printed, TableData, Value

# What a column of each format is written as: suffix of the CSV column and attribute of the estimate.
PARTS: dict[Format, dict[str, str]] = {
    "share": {"": "mean", "_std": "spread", "_n": "n"},
    "change": {"": "mean", "_std": "spread", "_n": "n"},
    "change_interval": {"": "mean", "_low": "low", "_high": "high", "_n": "n", "_mark": "mark"},
    "distance": {"": "mean", "_std": "spread", "_n": "n"},
    "quantity": {"": "mean", "_std": "spread", "_n": "n"},
    "millions": {"": "mean", "_n": "n"},
    "precise": {"": "mean", "_std": "spread", "_n": "n"},
    "count": {"": "mean"},
    "count_interval": {"": "mean", "_low": "low", "_high": "high"},
    "probability": {"": "mean"},
    "correlation": {"": "mean", "_n": "n", "_mark": "mark"},
}


def to_csv(table: TableData) -> str:
    """Return ``table`` as CSV: of every mean the fraction, its deviation (``_std``) or interval, and n (``_n``)."""
    rows = []
    for row in table.rows:
        written: dict[str, object] = dict(zip(table.group_names, row.group, strict=True))
        for value, column in zip(row.values, table.columns, strict=True):
            written |= fields(value, column)
        rows.append(written)
    return csv_text(pd.DataFrame(rows), "%.10g")


def fields(value: Value, column: Column) -> dict[str, object]:
    """Return the CSV fields of ``value``, by name; the same names whatever the value."""
    if column.format in ("text", "printed"):
        return {column.key: value.text if isinstance(value, Printed) else value}
    names = PARTS[column.format]
    if column.spread == "interval" and "_std" in names:
        names = {suffix: part for suffix, part in names.items() if suffix != "_std"} | {"_low": "low", "_high": "high"}
    known = value if isinstance(value, Estimate) else None
    return {column.key + suffix: getattr(known, attribute, None) for suffix, attribute in names.items()}
