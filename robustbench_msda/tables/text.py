"""The text of a value and of a caption, the same in every format."""

from __future__ import annotations

import math

from robustbench_msda.tables.values import Column, Estimate, TableData, Value, usual_n

NOTHING = "–"
MINUS = "−"


def value_text(value: Value, column: Column, usual_n: int) -> str:
    """Return ``value`` as it is printed: ``12.34 ± 0.56``, in percent or percentage points where it is a fraction.

    Args:
        value: None prints as a dash, as does a NaN.
        column: how to print it.
        usual_n: the number of networks the caption names; a mean over another number is followed by its own.
    """
    if value is None or (isinstance(value, Estimate) and math.isnan(value.mean)):
        return NOTHING
    if isinstance(value, str):
        return value
    return number_text(value, column) + value.mark + number_of_networks(value, column, usual_n)


def value_texts(table: TableData) -> list[list[str]]:
    """Return the printed values of ``table``, a list a row."""
    n = usual_n(zip(row.values, table.columns, strict=True) for row in table.rows)
    return [[value_text(*pair, n) for pair in zip(row.values, table.columns, strict=True)] for row in table.rows]


def number_text(value: Estimate, column: Column) -> str:
    """Return the number of ``value``, with its spread or interval where it has one."""
    if column.format == "count":
        return f"{value.mean:.10g}".replace("-", MINUS)
    if column.format == "probability":
        return "< 0.001" if value.mean < 0.001 else f"{value.mean:.3f}"
    if column.format == "distance":
        return f"{value.mean:.2f}{spread_text(value, 1)}"
    if column.format == "quantity":
        return three_digits(value.mean) + ("" if math.isnan(value.spread) else f" ± {value.spread:.2g}")
    if column.format == "millions":
        return three_digits(value.mean / 1e6)
    if column.format == "share":
        return hundred(value.mean) + spread_text(value)
    if column.format == "change_interval" and not math.isnan(value.low):
        return f"{signed(value.mean)} [{signed(value.low)}, {signed(value.high)}]"
    return signed(value.mean) + spread_text(value)


def three_digits(number: float) -> str:
    """Return a positive ``number`` with three significant digits, and all those before the point."""
    return f"{number:,.{max(0, 2 - math.floor(math.log10(number)))}f}" if number > 0 else "0"


def hundred(fraction: float) -> str:
    """Return ``fraction`` times 100 with two decimals; what rounds to zero has no sign."""
    return f"{round(100 * fraction, 2) or 0.0:.2f}".replace("-", MINUS)


def signed(change: float) -> str:
    """Return ``change`` times 100 with two decimals and its sign."""
    text = hundred(change)
    return f"+{text}" if change > 0 and float(text) > 0 else text


def spread_text(value: Estimate, scale: float = 100) -> str:
    """Return the spread of ``value`` times ``scale``, or nothing where it has none."""
    return "" if math.isnan(value.spread) else f" ± {scale * value.spread:.2f}"


def number_of_networks(value: Estimate, column: Column, usual_n: int) -> str:
    """Return the n of ``value`` where the caption names another."""
    unusual = column.over == "networks" and value.n not in (0, usual_n)
    return f" (n={value.n})" if unusual else ""


def caption_text(table: TableData) -> str:
    """Return the caption of ``table``, led by its title, closed by its group where it is the only one."""
    whole = f"{table.title}. {table.caption}"
    return f"{whole} All rows: {group_text(table.group_names, table.groups[0])}." if len(table.groups) == 1 else whole


def group_text(names: tuple[str, ...], group: tuple[str, ...]) -> str:
    """Return the heading of the rows of a group."""
    return " · ".join(f"{name} {value}" for name, value in zip(names, group, strict=True))
