"""The text of a value and of a caption, the same in every format."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from robustbench_msda.tables.values import Column, Estimate, Printed, TableData, Value, usual_n

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
    if isinstance(value, str | Printed):
        return value if isinstance(value, str) else value.text
    return number_text(value, column) + value.mark + number_of_networks(value, column, usual_n)


def value_texts(table: TableData) -> list[list[str]]:
    """Return the printed values of ``table``, a list a row."""
    n = usual_n(zip(row.values, table.columns, strict=True) for row in table.rows)
    return [[value_text(*pair, n) for pair in zip(row.values, table.columns, strict=True)] for row in table.rows]


def number_text(value: Estimate, column: Column) -> str:
    """Return the number of ``value``, with its spread or interval where it has one."""
    if column.spread == "interval":
        return interval_text(value, column)
    if column.format in BARE:
        return BARE[column.format](value.mean)
    if column.format == "count_interval":
        return bare_count(value.mean) + ends_text(value, bare_count)
    if column.format == "change_interval" and not math.isnan(value.low):
        return signed(value.mean) + ends_text(value, signed)
    if column.format == "quantity":
        return three_digits(value.mean) + ("" if math.isnan(value.spread) else f" ± {value.spread:.2g}")
    if column.format in DECIMALS:
        digits = DECIMALS[column.format]
        return decimals(value.mean, digits) + ("" if math.isnan(value.spread) else f" ± {value.spread:.{digits}f}")
    return (hundred if column.format == "share" else signed)(value.mean) + spread_text(value)


def interval_text(value: Estimate, column: Column) -> str:
    """Return the number of ``value`` and its interval, where it has one."""
    plain = replace(column, spread="deviation")
    return number_text(Estimate(value.mean), plain) + (
        "" if column.format in BARE else ends_text(value, lambda end: number_text(Estimate(end), plain))
    )


def ends_text(value: Estimate, written: Callable[[float], str]) -> str:
    """Return the interval of ``value`` with each end ``written``, or nothing where it has none."""
    return "" if math.isnan(value.low) else f" [{written(value.low)}, {written(value.high)}]"


def bare_count(number: float) -> str:
    """Return a count, or a median of counts, as it is."""
    return f"{number:.10g}".replace("-", MINUS)


def decimals(number: float, digits: int) -> str:
    """Return ``number`` with so many decimals; what rounds to zero has no sign."""
    return f"{round(number, digits) or 0.0:.{digits}f}".replace("-", MINUS)


def signed_decimals(number: float, digits: int) -> str:
    """Return ``number`` with so many decimals and its sign."""
    return ("+" if round(number, digits) > 0 else "") + decimals(number, digits)


def correlation(number: float) -> str:
    """Return a correlation with two decimals and its sign."""
    return signed_decimals(number, 2)


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


def spread_text(value: Estimate) -> str:
    """Return the spread of ``value`` times 100, or nothing where it has none."""
    return "" if math.isnan(value.spread) else f" ± {100 * value.spread:.2f}"


def number_of_networks(value: Estimate, column: Column, usual_n: int) -> str:
    """Return the n of ``value`` where the caption names another."""
    unusual = column.over == "networks" and value.n not in (0, usual_n)
    return f" (n={value.n})" if unusual else ""


# Numbers that have neither spread nor interval, and the decimals of those that are printed as they are.
BARE: dict[str, Callable[[float], str]] = {
    "count": bare_count,
    "probability": lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
    "millions": lambda number: three_digits(number / 1e6),
    "correlation": correlation,
}
DECIMALS = {"distance": 2, "precise": 3}


def caption_text(table: TableData) -> str:
    """Return the caption of ``table``, led by its title, closed by its group where it is the only one."""
    whole = f"{table.title}. {table.caption}"
    only = len(table.groups) == 1 and bool(table.group_names)
    return f"{whole} All rows: {group_text(table.group_names, table.groups[0])}." if only else whole


def group_text(names: tuple[str, ...], group: tuple[str, ...]) -> str:
    """Return the heading of the rows of a group."""
    return " · ".join(f"{name} {value}" for name, value in zip(names, group, strict=True))
