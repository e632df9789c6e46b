"""What the papers print: their numbers in our names, what contradicts what, and how their tables are laid out.

Read from ``data/``: a CSV of numbers and a TOML of layouts a paper, ``notes.csv``, and ``names.csv``, by which the
numbers were translated once. Nothing that reads score rows reads them.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

from pydantic import TypeAdapter

PAPERS = ("dynmix", "kmix", "unified", "classdep", "fmix")
# Row and column of a printed cell, from 1; columns that label rows are not counted.
Place = tuple[int, int]
# How a cell is printed: v value, s standard deviation, d change, x ratio, M millions; lone s: signed.
Kind = Literal["v", "v(s)", "v±s", "v(d)", "v(x)", "M", "s", "txt", "lr"]


@dataclass(frozen=True)
class Number:
    """One printed number, and what of ours it is compared with.

    Attributes:
        paper: short name.
        table: ``T1``, of a supplement ``S1``, or ``prose``.
        row: of the cell, from 1; of prose a running number.
        column: of the cell, from 1.
        dataset: it is about, by our name where we have it.
        model: likewise; ``mean`` for a mean over the other rows.
        augmentation: short text, as score rows have it; '' where no training of ours stands for it.
        variant: what else the recipe must have, as ``field=value``.
        benchmark: of the score rows.
        condition: of the score rows.
        level: of the score rows.
        metric: of the score rows, or the paper's own where we have none.
        form: how a fraction of ours becomes the printed number; '' where nothing of ours does.
        value: as printed, without signs of percent and the like; '' where nothing is printed.
        std: over seeds, as printed.
        bold: ``true``, ``false``, '' where it is not known, ``quoted`` where only the quoted number is bold, ``both``.
        quoted: the number of another paper that is printed in front.
        unit: of the value.
        printed: ``number``, ``dash`` or ``blank``.
    """

    paper: str
    table: str
    row: int
    column: int
    dataset: str
    model: str
    augmentation: str
    variant: str
    benchmark: str
    condition: str
    level: str
    metric: str
    form: str
    value: str
    std: str
    bold: str
    quoted: str
    unit: str
    printed: str


@dataclass(frozen=True)
class Bold:
    """Which numbers a paper sets in bold.

    Attributes:
        along: the best of each row or column.
        best: the largest or the smallest.
        within_std: also those within the standard deviation of the best.
        without: rows that do not compete.
        metrics: those that compete; all where there are none.
    """

    along: Literal["row", "column"]
    best: Literal["high", "low"]
    within_std: bool = False
    without: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayoutColumn:
    """A column: its header, the one above it, how its cells are printed, and with how many decimals."""

    title: str
    decimals: int
    span: str = ""
    kind: Kind = "v"


@dataclass(frozen=True)
class LayoutRow:
    """A row: what leads it, and the group it stands in."""

    labels: tuple[str, ...]
    group: str = ""


@dataclass(frozen=True)
class Layout:
    """One table of a paper.

    Attributes:
        name: ``dynmix.T3``.
        paper: its title.
        title: a few words.
        caption: what is printed, with its definitions.
        settings: what the paper trained.
        epochs: the fewest that the paper trained any network of the table; 0 where it does not say.
        heads: headers of the columns that lead rows.
        columns: from left to right.
        rows: from top to bottom.
        group: what the group of a row names.
        bold: the paper's own rule; None where it has none, or it is lost.
        needs: what ours would need that this package does not have; '' where it has all.
    """

    name: str
    paper: str
    title: str
    caption: str
    settings: str
    heads: tuple[str, ...]
    columns: tuple[LayoutColumn, ...]
    rows: tuple[LayoutRow, ...]
    epochs: int = 0
    group: str = ""
    bold: Bold | None = None
    needs: str = ""


@dataclass(frozen=True)
class Note:
    """What contradicts what: the table, its cell or 0, and a sentence."""

    paper: str
    table: str
    row: int
    column: int
    note: str


def data() -> Traversable:
    """Return the folder of the data."""
    return resources.files(__name__.rpartition(".")[0]) / "data"


def csv_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of ``name`` among the data."""
    return list(csv.DictReader((data() / name).read_text(encoding="utf-8").splitlines()))


@cache
def numbers(paper: str) -> tuple[Number, ...]:
    """Return every number of ``paper``, in the order of its tables."""
    return TypeAdapter(tuple[Number, ...]).validate_python(tuple(csv_rows(f"{paper}.csv")))


@cache
def notes() -> tuple[Note, ...]:
    """Return what contradicts what."""
    return TypeAdapter(tuple[Note, ...]).validate_python(tuple(csv_rows("notes.csv")))


@cache
def layouts() -> Mapping[str, Layout]:
    """Return the layout of every table, by name."""
    found: dict[str, Layout] = {}
    for paper in PAPERS:
        tables = tomllib.loads((data() / f"{paper}.toml").read_text(encoding="utf-8"))
        title = tables.pop("paper")
        for name, table in tables.items():
            whole = {**table, "name": f"{paper}.{name}", "paper": title}
            found[whole["name"]] = TypeAdapter(Layout).validate_python(whole)
    return found


def cells(layout: Layout) -> dict[Place, tuple[Number, ...]]:
    """Return the numbers of every cell of ``layout``, the one that leads it first."""
    paper, table = layout.name.split(".")
    found: dict[Place, tuple[Number, ...]] = {}
    for number in numbers(paper):
        if number.table == table:
            place = (number.row, number.column)
            found[place] = (*found.get(place, ()), number)
    return found
