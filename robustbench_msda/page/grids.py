"""What a table of the page is made of: cells that know how they are printed, sorted, shaded and where they lead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from robustbench_msda.tables.text import NOTHING, value_text
from robustbench_msda.tables.values import Column, Estimate, Format, Value

# Half the length of the bar of the largest change, in the units of its drawing.
HALF = 60


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        sort: what it sorts by, '' for nothing: a number, or text.
        number: whether it is set as numbers are.
        href: where it leads, '' for nowhere.
        shade: how strongly it is shaded, in [0, 1]; None for not at all.
        drawing: a bar, which repeats what a number says.
    """

    text: str = ""
    sort: str = ""
    number: bool = False
    href: str = ""
    shade: float | None = None
    drawing: Markup = Markup("")


@dataclass(frozen=True)
class Header:
    """The header of a column: its title, whether numbers stand below it, and a header that it shares."""

    title: str
    number: bool = False
    span: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of the page; the first cell of a row leads it.

    Attributes:
        id: its anchor.
        caption: its title, then what it says.
        headers: of the columns.
        rows: of cells.
        sortable: whether a reader may sort it.
        keys: what a reader filters its rows by, a line a row: data set, model, text; none where nothing is filtered.
    """

    id: str
    caption: str
    headers: tuple[Header, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    keys: tuple[tuple[str, str, str], ...] = ()

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The shared headers with how many columns each covers; none where no column has one."""
        found: list[tuple[str, int]] = []
        for header in self.headers:
            if found and found[-1][0] == header.span:
                found[-1] = (header.span, found[-1][1] + 1)
            else:
                found.append((header.span, 1))
        return found if any(span for span, _ in found) else []


def words(text: str, href: str = "") -> Cell:
    """Return a cell of words."""
    return Cell(text, sort=text, href=href)


def whole(count: int) -> Cell:
    """Return a cell with a whole number."""
    return Cell(f"{count:,}", sort=str(count), number=True)


def amount(value: Value, style: Format, usual_n: int = 1) -> Cell:
    """Return a cell with ``value`` printed in ``style``, as tables print it; another n than ``usual_n`` is told."""
    text = value_text(value, Column("", "", style), usual_n)
    known = isinstance(value, Estimate) and not math.isnan(value.mean)
    return Cell(text, sort=f"{value.mean:.9g}" if known and isinstance(value, Estimate) else "", number=True)


def shaded(cells: Iterable[Cell]) -> list[Cell]:
    """Return ``cells`` shaded by their numbers, from the smallest, not at all, to the largest; blank ones stay."""
    listed = list(cells)
    numbers = [float(cell.sort) for cell in listed if cell.sort]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    if high <= low:
        return listed
    return [replace(cell, shade=(float(cell.sort) - low) / (high - low)) if cell.sort else cell for cell in listed]


def shade_columns(rows: Sequence[Sequence[Cell]], columns: Iterable[int]) -> list[list[Cell]]:
    """Return ``rows`` with the cells of each of ``columns`` shaded among themselves."""
    shown = [list(row) for row in rows]
    for column in columns:
        for row, cell in zip(shown, shaded(row[column] for row in rows), strict=True):
            row[column] = cell
    return shown


def shade_all(rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """Return ``rows`` with all cells behind the first shaded among themselves."""
    flat = iter(shaded(cell for row in rows for cell in row[1:]))
    return [[row[0], *(next(flat) for _ in row[1:])] for row in rows]


def change_bar(value: float, low: float, high: float, end: float) -> Cell:
    """Return a cell with a bar from zero to ``value``, with its interval, on a scale from −``end`` to ``end``.

    Args:
        value: signed; NaN for no bar.
        low: the lower end of its interval, NaN for none.
        high: the upper end.
        end: what the longest bar stands for.
    """
    if math.isnan(value) or end <= 0:
        return Cell()
    x, width = (HALF + min(value, 0.0) / end * HALF, abs(value) / end * HALF)
    interval = ""
    if not math.isnan(low):
        left, right = (HALF + HALF * max(-1.0, min(1.0, bound / end)) for bound in (low, high))
        interval = f'<path class="interval" d="M{left:.1f} 7H{right:.1f}"/>'
    kind = "rise" if value > 0 else "fall"
    return Cell(
        drawing=Markup(
            f'<svg class="bar" viewBox="0 0 {2 * HALF} 14" aria-hidden="true"><path class="zero" d="M{HALF} 0V14"/>'
            f'<rect class="{kind}" x="{x:.1f}" y="2" width="{width:.1f}" height="10"/>{interval}</svg>'
        )
    )


def dash() -> Cell:
    """Return a cell of nothing."""
    return Cell(NOTHING, number=True)
