"""The page of a report: one static file beside the tables and figures it shows, without scripts or requests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from robustbench_msda.figures import FigureFile
from robustbench_msda.files import write_text
from robustbench_msda.tables import FORMATS, TableData
from robustbench_msda.tables.text import caption_text, group_text, value_texts

__all__ = ["build_page"]

TEMPLATE = "index.html.j2"
# Above the 96 of CSS, so that the text of a figure is near the size of the text around it.
PIXELS_PER_INCH = 120


@dataclass(frozen=True)
class Block:
    """The rows of a table below one heading, which is '' where the caption says it."""

    heading: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class PageTable:
    """A table as the template writes it.

    Attributes:
        name: its anchor.
        title: a few words.
        caption: what follows them.
        spans: headers above the headers, with how many columns they cover.
        headers: printed headers, and whether numbers stand below them.
        blocks: rows by group.
        links: format to relative address.
    """

    name: str
    title: str
    caption: str
    spans: tuple[tuple[str, int], ...]
    headers: tuple[tuple[str, bool], ...]
    blocks: tuple[Block, ...]
    links: dict[str, str]


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template writes it: addresses are relative, sizes in CSS pixels."""

    name: str
    title: str
    caption: str
    alt: str
    width: int
    height: int
    links: dict[str, str]


def build_page(
    title: str,
    out: Path,
    tables: Sequence[TableData],
    figures: Sequence[FigureFile],
    facts: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Path:
    """Write ``<out>/index.html``, which opens from the disk, and return where it is.

    Args:
        title: what the report is about, such as the claim of a study.
        out: where ``build_tables`` and ``build_figures`` wrote.
        tables: what the first returned.
        figures: what the second returned.
        facts: what the numbers rest on: recipe, machine, hours, commit, command, split, …
        notes: what a reader should know before the numbers, a paragraph each.

    Raises:
        ValueError: a figure is not below ``out``.
        UserError: the file cannot be written.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(resources.files(__name__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    page = template.render(
        title=title,
        tables=[page_table(table) for table in tables],
        figures=[page_figure(figure, out) for figure in figures],
        facts=facts,
        notes=notes,
    )
    write_text(out / "index.html", page)
    return out / "index.html"


def page_table(table: TableData) -> PageTable:
    """Return ``table`` with every value printed."""
    several = len(table.groups) > 1
    pairs = zip(table.rows, value_texts(table), strict=True)
    blocks = [
        Block(group_text(table.group_names, group) if several else "", tuple(tuple(texts) for _, texts in members))
        for group, members in itertools.groupby(pairs, key=lambda pair: pair[0].group)
    ]
    spans = [(span, len(list(members))) for span, members in itertools.groupby(column.span for column in table.columns)]
    return PageTable(
        name=table.name,
        title=table.title,
        caption=caption_text(table).removeprefix(f"{table.title}. "),
        spans=tuple(spans) if any(span for span, _ in spans) else (),
        headers=tuple((column.title, column.format != "text") for column in table.columns),
        blocks=tuple(blocks),
        links={suffix: quote(f"tables/{table.name}.{suffix}") for suffix in FORMATS},
    )


def page_figure(figure: FigureFile, out: Path) -> PageFigure:
    """Return ``figure`` with addresses relative to ``out``."""
    paths = {"svg": figure.svg, "png": figure.png}
    links = {suffix: quote(path.relative_to(out).as_posix()) for suffix, path in paths.items()}
    width, height = (round(PIXELS_PER_INCH * side) for side in figure.inches)
    return PageFigure(figure.name, figure.title, figure.caption, figure.alt, width, height, links)
