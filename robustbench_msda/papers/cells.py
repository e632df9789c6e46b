"""The text of a cell: as the paper prints it, ours in its format, and how far apart the two are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from robustbench_msda.papers.measured import Measured
from robustbench_msda.papers.printed import Bold, Layout, LayoutColumn, Number, Place
from robustbench_msda.tables.text import MINUS, NOTHING, decimals, signed_decimals
from robustbench_msda.tables.values import Printed

# Not measured.
ABSENT = "—"
SUBSTITUTED, MADE, SHORTER = "‡", "*", "§"
SIGNED = ("points", "percent_change", "accuracy_change", "accuracy_difference")
# A number, its standard deviation and what it competes with.
Rival = tuple[float, float, tuple[str, str]]


def paper_cell(numbers: Sequence[Number], column: LayoutColumn) -> Printed:
    """Return a cell as the paper prints it; empty where it prints nothing or the number is lost."""
    first, second = numbers[0], numbers[1] if len(numbers) > 1 else None
    if first.printed != "number":
        return Printed(NOTHING if first.printed == "dash" else "")
    value, other = minus(first.value), second.value if second else first.std
    text = {
        "v(s)": f"{value} ({other})" if other else value,
        "v±s": f"{value} ± {first.std}" if first.std else value,
        "v(d)": f"{value} ({sign(other)})" if second else value,
        "v(x)": f"{value} ({other}×)",
        "M": f"{value} M",
        "s": sign(first.value),
    }.get(column.kind, value)
    quoted = f"({first.quoted}) " if first.quoted else ""
    return Printed(quoted + text, first.bold in ("true", "both"))


def minus(number: str) -> str:
    """Return a printed number with a proper minus."""
    return number.replace("-", MINUS, 1) if number.startswith("-") else number


def sign(number: str) -> str:
    """Return a printed change with its sign."""
    return minus(number) if number.startswith("-") else f"+{number}"


def our_cell(
    measured: Sequence[Measured | None],
    numbers: Sequence[Number],
    column: LayoutColumn,
    usual_n: int,
    bold: bool,
) -> Printed:
    """Return our numbers as a cell; a dash where the leading one is missing.

    Args:
        measured: ours.
        numbers: the paper's, in the same order.
        column: how they are printed.
        usual_n: the number of networks that the caption names; another is printed.
        bold: whether the cell is set in bold.
    """
    first = measured[0]
    if first is None:
        return Printed(NOTHING if numbers[0].printed == "dash" else ABSENT)
    second = measured[1] if len(measured) > 1 else None
    text = our_number(first, numbers[0], column)
    if second is not None:
        text += f" ({our_number(second, numbers[1], column)}{'×' if column.kind == 'v(x)' else ''})"
    text += " M" if column.kind == "M" else ""
    text += f" (n={first.n})" if first.n not in (0, usual_n) else ""
    return Printed(text + marks(first), bold)


def our_number(found: Measured, number: Number, column: LayoutColumn) -> str:
    """Return one number of ours with the decimals of its column, and its spread."""
    write = signed_decimals if number.form in SIGNED and column.kind in ("s", "v(d)") else decimals
    spread = "" if math.isnan(found.spread) else f" ± {found.spread:.{column.decimals}f}"
    return write(found.value, column.decimals) + spread


def marks(found: Measured) -> str:
    """Return the marks of a number that is not like for like."""
    return unlike(found) + SHORTER * found.shorter


def unlike(found: Measured) -> str:
    """Return the marks that say a number is of something else than the table's, however it was trained."""
    return SUBSTITUTED * found.substituted + MADE * found.made


def difference_cell(measured: Sequence[Measured | None], numbers: Sequence[Number], column: LayoutColumn) -> Printed:
    """Return our leading number minus the paper's."""
    found = gap(measured[0], numbers[0])
    if found is None or measured[0] is None:
        return Printed(NOTHING if numbers[0].printed == "dash" else ABSENT)
    return Printed(signed_decimals(found, column.decimals) + marks(measured[0]))


def gap(found: Measured | None, number: Number) -> float | None:
    """Return our number minus the paper's; None where either is missing."""
    printed = value_of(number)
    return None if found is None or printed is None else found.value - printed


def value_of(number: Number) -> float | None:
    """Return a printed value as a number; None where it is none."""
    try:
        return float(number.value)
    except ValueError:
        return None


def bold_places(layout: Layout, rivals: Mapping[Place, Rival]) -> set[Place]:
    """Return which of ``rivals`` the paper's rule sets in bold: the best of those that it compares."""
    if layout.bold is None:
        return set()
    rule, groups = layout.bold, dict[tuple[object, ...], dict[Place, Rival]]()
    for place, rival in rivals.items():
        if competes(layout, rule, place, rival):
            line = place[0] if rule.along == "row" else (place[1], layout.rows[place[0] - 1].group)
            groups.setdefault((line, *rival[2]), {})[place] = rival
    return {place for group in groups.values() if len(group) > 1 for place in winners(rule, group)}


def competes(layout: Layout, rule: Bold, place: Place, rival: Rival) -> bool:
    """Return whether the number at ``place`` takes part."""
    row = layout.rows[place[0] - 1]
    return row.labels[0] not in rule.without and (not rule.metrics or rival[2][0] in rule.metrics)


def winners(rule: Bold, group: Mapping[Place, Rival]) -> list[Place]:
    """Return the places of the best of ``group``, and of those within its deviation where that is the rule."""
    high = 1 if rule.best == "high" else -1
    value, std, _ = max(group.values(), key=lambda rival: high * rival[0])
    slack = (0.0 if math.isnan(std) or not rule.within_std else std) + 1e-9
    return [place for place, rival in group.items() if high * (value - rival[0]) <= slack]
