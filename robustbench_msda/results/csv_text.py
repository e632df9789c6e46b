"""Tables of names and numbers as CSV that spreadsheets open, too: no name becomes a formula there."""

from __future__ import annotations

import pandas as pd

# A cell that begins so is computed by spreadsheets.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(frame: pd.DataFrame, float_format: str) -> str:
    """Return ``frame`` as CSV; a text that a spreadsheet would compute is led by an apostrophe, a number is not."""
    shown = frame.copy()
    for place in range(shown.shape[1]):
        if not pd.api.types.is_numeric_dtype(shown.dtypes.iloc[place]):
            shown.isetitem(place, [inert(value) for value in shown.iloc[:, place]])
    return shown.to_csv(index=False, float_format=float_format, lineterminator="\n")


def inert(value: object) -> object:
    """Return ``value``, led by an apostrophe where it is a text that a spreadsheet would compute."""
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
