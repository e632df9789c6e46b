"""A table as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from robustbench_msda.tables.text import caption_text, value_text
from robustbench_msda.tables.values import Column, TableData

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|&~#$"} | {"\n": " "})


def to_markdown(table: TableData) -> str:
    """Return ``table`` as Markdown: a caption and a pipe table, whose first columns name the group where there are several."""
    several = len(table.groups) > 1
    lead = list(table.group_names) if several else []
    header = [*lead, *(column_title(column) for column in table.columns)]
    rules = ["---"] * len(lead) + ["---" if column.format == "text" else "---:" for column in table.columns]
    lines = [f"**{table.name}.** {escaped(caption_text(table))}", "", line(map(escaped, header)), line(rules)]
    for row in table.rows:
        values = [value_text(*pair, table.usual_n) for pair in zip(row.values, table.columns, strict=True)]
        lines.append(line(map(escaped, [*(row.group if several else ()), *values])))
    return "\n".join(lines) + "\n"


def column_title(column: Column) -> str:
    """Return the header of ``column`` on one line."""
    return f"{column.span} {column.title}".strip()


def line(cells: Iterable[str]) -> str:
    """Return one line of a pipe table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Return ``text`` with what Markdown and HTML read as markup escaped."""
    return text.translate(SPECIAL)
