"""Independent readers of printed tables, and the scores they are of."""

from __future__ import annotations

import io
import re

import pandas as pd
from synthetic_scores import comparison_frame, scores_frame

from robustbench_msda.tables import TABLES
from robustbench_msda.tables.csv import to_csv

SCORES = scores_frame()
COMPARISON = comparison_frame(SCORES)
NOTHING = pd.DataFrame()
SPECIAL = ("a_b & <c>", "50% $x$ #1 {y} ~z^ |", "[first] *bold* `code` \\n", 'quo"te')


def csv(name: str, scores: pd.DataFrame = SCORES, comparison: pd.DataFrame = COMPARISON) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(to_csv(TABLES[name](scores, comparison))))


def pipe_rows(text: str) -> list[list[str]]:
    """The cells of a pipe table, unescaped: an independent reader of what a Markdown renderer sees."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in row] for row in cells]


def tabular_rows(text: str) -> list[int]:
    """How many cells every line of a tabular has."""
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line and "&" in line]
    return [len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines]
