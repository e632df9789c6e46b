"""A table as semantic HTML: a caption, headers with their scope, a body a group; no styles and no scripts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape

from robustbench_msda.tables.text import caption_text, group_text, value_texts
from robustbench_msda.tables.values import Column, TableData, Value, is_bold

# The class of cells that hold numbers, and of the table itself: what a page's own style sheet may speak of.
NUMBER, TABLE = "number", "results"


def to_html(table: TableData) -> str:
    """Return ``table`` as one ``<table>`` element whose id is its name.

    The first column leads its row (``th scope="row"``); rows of a group share a ``tbody`` under their heading where
    there are several groups; every header names its scope; every text is escaped.
    """
    texts = value_texts(table)
    lines = [
        f'<table class="{TABLE}" id="{anchor(table.name)}">',
        f"<caption>{escape(caption_text(table))}</caption>",
        "<thead>",
        *header_lines(table.columns),
        "</thead>",
    ]
    pairs = zip(table.rows, texts, strict=True)
    for group, members in itertools.groupby(pairs, key=lambda pair: pair[0].group):
        heading = group_text(table.group_names, group) if len(table.groups) > 1 else ""
        lines += ["<tbody>", *heading_lines(heading, len(table.columns))]
        lines += [row_line(row.values, printed, table.columns) for row, printed in members]
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"]) + "\n"


def anchor(name: str) -> str:
    """Return ``name`` as an id: letters, digits, ``_`` and ``-`` stay, anything else becomes ``-``."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in name)


def header_lines(columns: Sequence[Column]) -> Iterator[str]:
    """Yield the header rows: spans above where there are any, then the titles."""
    spans = [(span, len(list(members))) for span, members in itertools.groupby(columns, key=lambda each: each.span)]
    if any(span for span, _ in spans):
        cells = [
            f'<th scope="colgroup" colspan="{width}">{escape(span)}</th>' if span else f'<td colspan="{width}"></td>'
            for span, width in spans
        ]
        yield f"<tr>{''.join(cells)}</tr>"
    titles = [f'<th scope="col"{number_class(column)}>{escape(column.title)}</th>' for column in columns]
    yield f"<tr>{''.join(titles)}</tr>"


def heading_lines(heading: str, width: int) -> list[str]:
    """Return the line above the rows of a group; nothing where it has no heading."""
    return [f'<tr><th scope="rowgroup" colspan="{width}">{escape(heading)}</th></tr>'] if heading else []


def row_line(values: Sequence[Value], printed: Sequence[str], columns: Sequence[Column]) -> str:
    """Return one row of the body."""
    cells = []
    for position, (value, text, column) in enumerate(zip(values, printed, columns, strict=True)):
        inner = f"<strong>{escape(text)}</strong>" if is_bold(value) else escape(text)
        tag = ("th", ' scope="row"') if position == 0 else ("td", number_class(column))
        cells.append(f"<{tag[0]}{tag[1]}>{inner}</{tag[0]}>")
    return f"<tr>{''.join(cells)}</tr>"


def number_class(column: Column) -> str:
    """Return the class attribute of cells of ``column``."""
    return "" if column.format == "text" else f' class="{NUMBER}"'
