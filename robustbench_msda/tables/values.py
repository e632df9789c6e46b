"""What a table is before it is printed: rows of estimates, and columns that say how to print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# text; printed: a number that comes as text; share: error or accuracy, in percent; change: signed, in percentage
# points; change_interval: the same with its interval instead of a spread; distance: two decimals, no percent;
# quantity: three digits of anything; millions: the same of a millionth, exact and without a spread; precise: three
# decimals, no percent; count; count_interval: the same with its interval; probability; correlation: signed, two
# decimals.
Format = Literal[
    "text",
    "printed",
    "share",
    "change",
    "change_interval",
    "distance",
    "quantity",
    "millions",
    "precise",
    "count",
    "count_interval",
    "probability",
    "correlation",
]


@dataclass(frozen=True)
class Estimate:
    """One number of a table, a fraction or a count.

    Attributes:
        mean: over ``n`` networks or classes.
        spread: their standard deviation; NaN where ``n`` is 1 or a spread has no meaning.
        n: how many.
        low: the lower end of an interval, NaN where there is none.
        high: its upper end.
        mark: printed after the number, such as ``*``.
    """

    mean: float
    spread: float = float("nan")
    n: int = 0
    low: float = float("nan")
    high: float = float("nan")
    mark: str = ""


@dataclass(frozen=True)
class Printed:
    """A cell whose text is given, as a paper prints it.

    Attributes:
        text: plain, not yet escaped for any format.
        bold: whether it is set in bold.
    """

    text: str
    bold: bool = False


Value = str | Estimate | Printed | None


def is_bold(value: Value) -> bool:
    """Return whether ``value`` is set in bold."""
    return isinstance(value, Printed) and value.bold


Spread = Literal["deviation", "interval"]


@dataclass(frozen=True)
class Column:
    """How a column is named and printed.

    Attributes:
        key: its name in the CSV file.
        title: its printed header.
        format: how its values are printed.
        span: a header above its own, shared with its neighbours.
        over: what ``n`` counts: where it counts networks, an unusual n is printed beside the number.
        spread: what is printed behind a mean over networks.
    """

    key: str
    title: str
    format: Format = "text"
    span: str = ""
    over: Literal["networks", "classes"] = "networks"
    spread: Spread = "deviation"


@dataclass(frozen=True)
class Row:
    """One row: the group it stands in, such as its data set and model, and a value a column, or None."""

    group: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class TableData:
    """A table before it is printed.

    Attributes:
        name: its file name.
        title: a few words.
        caption: what was measured, on what, the n and the spread.
        columns: from left to right.
        rows: from top to bottom; rows of a group are neighbours.
        group_names: what the group of a row names, as CSV columns.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    group_names: tuple[str, ...] = ("dataset", "model")

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The groups, each once, from top to bottom."""
        return list(dict.fromkeys(row.group for row in self.rows))


def usual_n(rows: Iterable[Iterable[tuple[Value, Column]]]) -> int:
    """Return the most frequent n of the means over networks in ``rows``, the larger of two; 0 where there is none."""
    counts = Counter(
        value.n
        for row in rows
        for value, column in row
        if isinstance(value, Estimate) and value.n and column.over == "networks"
    )
    return max(counts, key=lambda n: (counts[n], n)) if counts else 0
