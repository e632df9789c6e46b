"""A table as LaTeX with booktabs: wide tables are cut into panels, long ones break across pages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from robustbench_msda.tables.text import caption_text, group_text, value_texts
from robustbench_msda.tables.values import Column, TableData, is_bold

LONGEST = 40
# Lines of all panels together that a page has room for.
PAGE = 75
# What \footnotesize fits on a line of the usual conference styles, in characters.
WIDEST = 100
GAP = 2
SETTING = r"\centering\footnotesize\setlength{\tabcolsep}{4pt}\setlength{\belowcaptionskip}{6pt}"

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "α": r"$\alpha$",
    "≤": r"$\leq$",
    "‖": r"$\|$",
    # A circumflex above the letter before it.
    "\u0302": r"\textasciicircum{}",
    "Δ": r"$\Delta$",
    "ε": r"$\varepsilon$",
    "ρ": r"$\rho$",
    "∞": r"$\infty$",
    "†": r"\textdagger{}",
    "§": r"\S{}",
    "‡": r"\textdaggerdbl{}",
    '"': "''",
    "\n": " ",
    # At the start of a line these would be arguments of the line break above.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
SPECIAL = str.maketrans(ESCAPES | {character: f"\\{character}" for character in "&%$#_{}"})


def to_latex(table: TableData) -> str:
    """Return ``table`` as LaTeX that needs booktabs and, where it is long, longtable; no multirow."""
    texts = value_texts(table)
    panels = [panel_lines(table, texts, panel) for panel in column_panels(table.columns, texts)]
    caption = [rf"\caption{{{escaped(caption_text(table))}}}", rf"\label{{tab:{table.name}}}"]
    long = len(table.rows) > LONGEST or sum(len(header) + len(rows) for _, header, rows in panels) > PAGE
    body = long_lines(caption, panels) if long else float_lines(caption, panels)
    packages = "booktabs,longtable" if long else "booktabs"
    return "\n".join([rf"% \usepackage{{{packages}}}", *body]) + "\n"


def float_lines(caption: Sequence[str], panels: Sequence[tuple[str, list[str], list[str]]]) -> Iterator[str]:
    """Yield a floating table whose panels stand below each other."""
    yield from (r"\begin{table}", SETTING, *caption)
    for number, (layout, header, body) in enumerate(panels):
        yield from ([r"\par\medskip"] if number else [])
        yield from (rf"\begin{{tabular}}{{{layout}}}", r"\toprule", *header, *body, r"\bottomrule", r"\end{tabular}")
    yield r"\end{table}"


def long_lines(caption: Sequence[str], panels: Sequence[tuple[str, list[str], list[str]]]) -> Iterator[str]:
    """Yield a table that breaks across pages and repeats its header; panels follow each other."""
    yield r"{\footnotesize\setlength{\tabcolsep}{4pt}"
    for number, (layout, header, body) in enumerate(panels):
        yield rf"\begin{{longtable}}{{{layout}}}"
        yield from ([] if number else [*caption, r"\\"])
        yield from (r"\toprule", *header, r"\endhead", *body, r"\bottomrule", r"\end{longtable}")
    yield "}"


def panel_lines(
    table: TableData, texts: Sequence[Sequence[str]], panel: Sequence[int]
) -> tuple[str, list[str], list[str]]:
    """Return the layout, header lines and body lines of the columns numbered ``panel``."""
    columns = [table.columns[k] for k in panel]
    layout = "".join("l" if column.format == "text" else "r" for column in columns)
    header = [*span_lines(columns), cells_line([escaped(column.title) for column in columns]), r"\midrule"]
    body = []
    for number, (row, line) in enumerate(zip(table.rows, texts, strict=True)):
        if len(table.groups) > 1 and (number == 0 or table.rows[number - 1].group != row.group):
            body += heading_lines(group_text(table.group_names, row.group), number, len(columns))
        cells = [rf"\textbf{{{escaped(line[k])}}}" if is_bold(row.values[k]) else escaped(line[k]) for k in panel]
        body.append(cells_line(cells))
    return layout, header, body


def heading_lines(text: str, number: int, width: int) -> list[str]:
    """Return the lines above the first row of a group."""
    heading = rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escaped(text)}}}}} \\"
    return [r"\midrule", heading] if number else [heading]


def span_lines(columns: Sequence[Column]) -> list[str]:
    """Return the line of headers above the headers, with rules below them; nothing where there are none."""
    cells, rules, first = [], [], 1
    for span, members in itertools.groupby(columns, key=lambda column: column.span):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escaped(span)}}}" if span else " & ".join([""] * width))
        rules += [rf"\cmidrule(lr){{{first}-{first + width - 1}}}"] if span else []
        first += width
    return [cells_line(cells), " ".join(rules)] if rules else []


def column_panels(columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the numbers of the columns of each panel: as few panels as fit the line, about equally wide.

    Leading text columns are repeated; the columns of a span stay together where they fit.
    """
    widths = [max([len(column.title), *(len(line[k]) for line in texts)]) + GAP for k, column in enumerate(columns)]
    lead = [k for k, _ in itertools.takewhile(lambda pair: pair[1].format == "text", enumerate(columns))]
    room = max(1, WIDEST - sum(widths[k] for k in lead))
    pieces = list(column_pieces(columns, widths, range(len(lead), len(columns)), room))
    fewest = len(packed(pieces, widths, room))
    balanced = (packed(pieces, widths, narrower) for narrower in range(1, room + 1))
    return [[*lead, *panel] for panel in next(panels for panels in balanced if len(panels) == fewest)]


def packed(pieces: Sequence[Sequence[int]], widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the column numbers of each panel when every panel takes the pieces that fit its ``room``."""
    panels: list[list[int]] = [[]]
    for piece in pieces:
        if panels[-1] and sum(widths[k] for k in [*panels[-1], *piece]) > room:
            panels.append([])
        panels[-1] += piece
    return panels


def column_pieces(
    columns: Sequence[Column], widths: Sequence[int], numbers: Sequence[int], room: int
) -> Iterator[list[int]]:
    """Yield the column numbers that stay together: those of a span, or single ones where a span is too wide."""
    for span, members in itertools.groupby(numbers, key=lambda k: columns[k].span):
        piece = list(members)
        if span and sum(widths[k] for k in piece) <= room:
            yield piece
        else:
            yield from ([k] for k in piece)


def cells_line(cells: Sequence[str]) -> str:
    """Return one line of a tabular."""
    return " & ".join(cells) + r" \\"


def escaped(text: str) -> str:
    """Return ``text`` with what LaTeX reads as markup escaped."""
    return text.translate(SPECIAL)
