"""No name becomes a formula in a spreadsheet, and no number a name."""

from __future__ import annotations

import io

import pandas as pd

from robustbench_msda.results.csv_text import csv_text


def test_names_that_a_spreadsheet_would_compute_are_led_by_an_apostrophe() -> None:
    names = ["=1+1", "@x", "-a", "+b", "\tc", "-0.5", "+2", "plain", "a=b", ""]
    frame = pd.DataFrame({"name": names, "value": [-0.25] * len(names), "mixed": [None, 1.5, "=f"] + [""] * 7})
    text = csv_text(frame, "%.9g")
    found = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str)
    assert list(found["name"]) == ["'=1+1", "'@x", "'-a", "'+b", "'\tc", "-0.5", "+2", "plain", "a=b", ""]
    assert set(found["value"]) == {"-0.25"}
    assert list(found["mixed"])[:3] == ["", "1.5", "'=f"]
    assert list(frame["name"]) == names


def test_text_without_formulas_is_as_pandas_writes_it() -> None:
    frame = pd.DataFrame({"a": ["x, y", 'say "z"'], "b": [1 / 3, float("nan")], "c": [1, 2], "d": [True, False]})
    assert csv_text(frame, "%.9g") == frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    assert csv_text(pd.DataFrame(), "%.9g") == "\n"
