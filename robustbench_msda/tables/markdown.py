"""A table as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from robustbench_msda.tables.text import caption_text, value_texts
from robustbench_msda.tables.values import Column, TableData, is_bold

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|&~#$"} | {"\n": " "})


def to_markdown(table: TableData) -> str:
    """Return ``table`` as Markdown: a caption and a pipe table, led by the group where there are several."""
    several = len(table.groups) > 1
    lead = list(table.group_names) if several else []
    header = [*lead, *(column_title(column) for column in table.columns)]
    rules = ["---"] * len(lead) + ["---" if column.format == "text" else "---:" for column in table.columns]
    lines = [f"**{table.name}.** {escaped(caption_text(table))}", "", line(map(escaped, header)), line(rules)]
    for row, values in zip(table.rows, value_texts(table), strict=True):
        cells = [
            f"**{escaped(text)}**" if is_bold(value) else escaped(text)
            for value, text in zip(row.values, values, strict=True)
        ]
        lines.append(line([*(map(escaped, row.group) if several else ()), *cells]))
    return "\n".join(lines) + "\n"


def column_title(column: Column) -> str:
    """Return the header of ``column`` on one line."""
    return f"{column.span}: {column.title}" if column.span else column.title


def line(cells: Iterable[str]) -> str:
    """Return one line of a pipe table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Return ``text`` with what Markdown and HTML read as markup escaped."""
    return text.translate(SPECIAL)
