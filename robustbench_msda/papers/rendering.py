"""A paper's table ready to print: ours, the paper's, both beside each other, or the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from robustbench_msda.papers import captions
from robustbench_msda.papers.cells import (
    Rival,
    bold_places,
    difference_cell,
    gap,
    marks,
    our_cell,
    paper_cell,
    unlike,
)
from robustbench_msda.papers.material import Material, Terms
from robustbench_msda.papers.measured import Measured, measured_cells
from robustbench_msda.papers.printed import Layout, Number, Place, cells
from robustbench_msda.results.csv_text import csv_text
from robustbench_msda.tables.assembly import sentences
from robustbench_msda.tables.text import NOTHING
from robustbench_msda.tables.values import Column, Printed, Row, TableData

Show = Literal["ours", "paper", "both", "difference"]
# What the rows of a table hold, by what it shows.
SIDES: dict[Show, tuple[str, ...]] = {
    "ours": ("ours",),
    "paper": ("paper",),
    "both": ("paper", "ours"),
    "difference": ("difference",),
}
DIFFERENCE = "Difference: ours minus the paper's, in the unit of the cell."
AUTHORS_BOLD = "Bold as printed."


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper with our numbers.

    Attributes:
        layout: of the paper.
        show: what is printed.
        printed: the paper's numbers by cell.
        measured: ours, in the same order; empty where only the paper's are shown.
        material: where ours are from.
        terms: what stands for what.
    """

    layout: Layout
    show: Show
    printed: Mapping[Place, tuple[Number, ...]]
    measured: Mapping[Place, tuple[Measured | None, ...]]
    material: Material
    terms: Terms

    @property
    def pairs(self) -> list[tuple[Number, Measured | None]]:
        """Every printed number with ours."""
        return [
            pair
            for place, numbers in self.printed.items()
            for pair in zip(numbers, self.measured.get(place, (None,) * len(numbers)), strict=True)
        ]


def paper_table(layout: Layout, show: Show, material: Material, terms: Terms) -> PaperTable:
    """Return the table ``layout`` with our numbers out of ``material``, on the ``terms`` given.

    Raises:
        UserError: the rows of a number are of several recipes or worlds.
    """
    printed = cells(layout)
    measured = {} if show == "paper" else measured_cells(printed, material, terms, layout.epochs)
    return PaperTable(layout, show, printed, measured, material, terms)


def table_data(table: PaperTable) -> TableData:
    """Return ``table`` as rows and columns; in a table of both, each of the paper's rows is followed by ours."""
    layout, several = table.layout, len(SIDES[table.show]) > 1
    columns = [Column(f"label{k}", head) for k, head in enumerate(layout.heads)]
    columns += [Column("numbers", "Numbers")] if several else []
    columns += [Column(f"column{k}", each.title, "printed", each.span) for k, each in enumerate(layout.columns, 1)]
    bold = bold_places(layout, our_rivals(table))
    rows = []
    for number, row in enumerate(layout.rows, 1):
        for side in SIDES[table.show]:
            values = [cell(table, (number, k), side, bold) for k in range(1, len(layout.columns) + 1)]
            group = (row.group,) if layout.group else ()
            rows.append(Row(group, (*row.labels, *([side] if several else []), *values)))
    names = (layout.group,) if layout.group else ()
    return TableData(layout.name, layout.title, caption(table), tuple(columns), tuple(rows), names)


def cell(table: PaperTable, place: Place, side: str, bold: set[Place]) -> Printed:
    """Return what one side prints at ``place``."""
    numbers, column = table.printed.get(place, ()), table.layout.columns[place[1] - 1]
    if not numbers:
        return Printed("")
    if side == "paper":
        return paper_cell(numbers, column)
    measured = table.measured[place]
    if side == "difference":
        return difference_cell(measured, numbers, column)
    usual = captions.usual_n(found for _, found in table.pairs if found is not None)
    return our_cell(measured, numbers, column, usual, place in bold)


def our_rivals(table: PaperTable) -> dict[Place, Rival]:
    """Return our numbers that compete for bold."""
    found = {}
    for place, measured in table.measured.items():
        first, number = measured[0], table.printed[place][0]
        if first is not None:
            # What is on other stimuli, or of something else, is compared with its like alone.
            found[place] = (first.value, first.spread, (number.metric, number.form + unlike(first)))
    return found


def caption(table: PaperTable) -> str:
    """Return what is printed, whose numbers they are, and how ours differ."""
    layout, sides = table.layout, SIDES[table.show]
    papers_bold = any(number.bold in ("true", "both") for number, _ in table.pairs)
    told = captions.our_sentences(layout, table.pairs, table.material, table.terms)
    return sentences(
        layout.caption,
        captions.paper_sentence(layout) if table.show != "ours" else "",
        AUTHORS_BOLD if sides == ("paper",) and papers_bold else "",
        DIFFERENCE if table.show == "difference" else "",
        captions.needs_sentence(layout) if table.show == "paper" else told,
        captions.bold_sentence(layout) if "ours" in sides else "",
    )


def to_tidy_csv(table: PaperTable) -> str:
    """Return ``table`` as CSV, a row a printed number: what it is of, the paper's text and ours, in printed units."""
    return csv_text(pd.DataFrame(list(tidy_rows(table))), "%.10g")


def tidy_rows(table: PaperTable) -> Iterator[dict[str, object]]:
    """Yield the fields of every printed number."""
    sides = SIDES[table.show]
    for place, numbers in table.printed.items():
        measured = table.measured.get(place, (None,) * len(numbers))
        for number, found in zip(numbers, measured, strict=True):
            row, column = table.layout.rows[place[0] - 1], table.layout.columns[place[1] - 1]
            fields: dict[str, object] = {"table": table.layout.name, "row": place[0], "column": place[1]}
            fields |= {"group": row.group, "label": ", ".join(row.labels), "header": header(column.span, column.title)}
            names = ("dataset", "model", "augmentation", "variant", "benchmark", "condition", "level", "metric", "unit")
            fields |= {name: getattr(number, name) for name in names}
            yield fields | paper_fields(number, sides) | our_fields(number, found, table)


def header(span: str, title: str) -> str:
    """Return a header with the one above it."""
    return f"{span}: {title}" if span else title


def paper_fields(number: Number, sides: Sequence[str]) -> dict[str, object]:
    """Return the paper's side of a number; nothing where only ours is shown."""
    if sides == ("ours",):
        return {}
    return {
        "paper": number.value if number.printed == "number" else NOTHING * (number.printed == "dash"),
        "paper_std": number.std,
        "paper_bold": number.bold,
        "paper_quoted": number.quoted,
    }


def our_fields(number: Number, found: Measured | None, table: PaperTable) -> dict[str, object]:
    """Return our side of a number; nothing where only the paper's is shown."""
    if table.show == "paper":
        return {}
    fields: dict[str, object] = {"ours": None, "ours_std": None, "ours_n": None, "difference": None, "marks": ""}
    fields |= dict.fromkeys(captions.our_names(number, table.terms), "")
    if found is None:
        return fields
    fields |= {"ours": found.value, "ours_std": found.spread, "ours_n": found.n or None, "marks": marks(found)}
    return fields | {"difference": gap(found, number)} | captions.our_names(number, table.terms)
