"""Tables with intervals instead of standard deviations, on request."""

from __future__ import annotations

from dataclasses import replace

from robustbench_msda.tables.assembly import DEVIATION, NO_SPREAD
from robustbench_msda.tables.values import Column, TableData

T_INTERVAL = "[95 % interval of Student's t]"
WILSON = "[95 % interval of Wilson over images, where the score has one]"


def with_intervals(table: TableData) -> TableData:
    """Return ``table`` with a 95 % interval behind every mean over networks, and a caption that says so.

    Over networks it is Student's t interval of the mean; of a single network, the interval over images that its score
    carries, if it does. Spreads over classes stay. Intervals over networks and images at once are in the rows
    ``error_baseline``, ``error_treatment`` and ``error_change`` of a comparison.
    """
    columns = tuple(interval(column) for column in table.columns)
    caption = table.caption.replace(DEVIATION, T_INTERVAL).replace(NO_SPREAD, WILSON)
    return replace(table, columns=columns, caption=caption)


def interval(column: Column) -> Column:
    """Return ``column``, printing intervals where its numbers are means over networks."""
    return column if column.over == "classes" or column.format == "text" else replace(column, spread="interval")
