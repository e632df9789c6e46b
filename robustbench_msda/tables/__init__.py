"""Tables of score rows: ``TABLES`` lists them; each is written as CSV, LaTeX and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robustbench_msda.errors import pick
from robustbench_msda.files import write_text
from robustbench_msda.results.aggregates import Absent, tidy
from robustbench_msda.tables.attack import attack_suites, attacks
from robustbench_msda.tables.calibration import calibration
from robustbench_msda.tables.class_confidence import class_confidence
from robustbench_msda.tables.confusion_flow import confusion_flow
from robustbench_msda.tables.cost import training_cost
from robustbench_msda.tables.csv import to_csv
from robustbench_msda.tables.dependency import class_dependency, classes
from robustbench_msda.tables.dependency_by_condition import by_condition
from robustbench_msda.tables.html import to_html
from robustbench_msda.tables.intervals import with_intervals
from robustbench_msda.tables.latex import to_latex
from robustbench_msda.tables.markdown import to_markdown
from robustbench_msda.tables.perturbation import perturbations
from robustbench_msda.tables.robustness import corruptions, overview
from robustbench_msda.tables.transfer import transfer, transfer_matrix
from robustbench_msda.tables.values import Spread, TableData

__all__ = ["FORMATS", "TABLES", "BuiltTables", "TableData", "build_tables"]

Table = Callable[[pd.DataFrame, pd.DataFrame], TableData]

TABLES: dict[str, Table] = {
    "overview": overview,
    "corruptions": corruptions,
    "perturbations": perturbations,
    "attacks": attacks,
    "attack_suites": attack_suites,
    "transfer": transfer,
    "transfer_matrix": transfer_matrix,
    "class_dependency": class_dependency,
    "dependency_by_condition": by_condition,
    "class_confidence": class_confidence,
    "confusion_flow": confusion_flow,
    "classes": classes,
    "calibration": calibration,
    "training_cost": training_cost,
}

# By the name of a format: the end of the file and what writes it.
WRITERS: dict[str, tuple[str, Callable[[TableData], str]]] = {
    "csv": ("csv", to_csv),
    "latex": ("tex", to_latex),
    "markdown": ("md", to_markdown),
    "html": ("html", to_html),
}
# What a report offers to download: how files end, and what writes them.
REPORTED = ("csv", "latex", "markdown")
FORMATS = dict(WRITERS[name] for name in REPORTED)


@dataclass(frozen=True)
class BuiltTables:
    """What was built: the tables, their files, and why others were not built, by name."""

    tables: tuple[TableData, ...]
    paths: tuple[Path, ...]
    skipped: dict[str, str]


def build_tables(
    scores: pd.DataFrame,
    comparison: pd.DataFrame,
    out: Path,
    names: Sequence[str] | None = None,
    spread: Spread = "deviation",
    formats: Sequence[str] = REPORTED,
) -> BuiltTables:
    """Write the tables ``names``, all of them for None, to ``<out>/tables/<name>.<format>``.

    Args:
        scores: score rows, columns ``COLUMNS``; fractions.
        comparison: the rows of a comparison, possibly none.
        out: the folder of the report.
        names: of ``TABLES``.
        spread: what stands behind means over networks: their standard deviation, or a 95 % interval.
        formats: of ``WRITERS``.

    Returns:
        The tables that the scores have rows for; the others with the reason.

    Raises:
        UnknownName: a name is not in ``TABLES``, or a format not in ``WRITERS``.
        UserError: a benchmark was scored in several worlds, or a file cannot be written.
    """
    built, skipped, paths = [], {}, []
    rows = tidy(scores)
    for name in names if names is not None else TABLES:
        try:
            built.append(pick(TABLES, name, "table")(rows, comparison))
        except Absent as reason:
            skipped[name] = str(reason)
    built = [with_intervals(table) for table in built] if spread == "interval" else built
    for table in built:
        for suffix, text in (pick(WRITERS, name, "format") for name in formats):
            path = out / "tables" / f"{table.name}.{suffix}"
            write_text(path, text(table))
            paths.append(path)
    return BuiltTables(tuple(built), tuple(paths), skipped)
