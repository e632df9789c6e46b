"""HTML prints the same texts as Markdown, escaped, in cells whose headers name their scope."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest
from synthetic_scores import CLASSES, comparison_frame, scores_frame
from table_reading import COMPARISON, SCORES, SPECIAL, pipe_rows

from robustbench_msda.tables import TABLES
from robustbench_msda.tables.html import to_html
from robustbench_msda.tables.markdown import to_markdown
from robustbench_msda.tables.text import caption_text
from robustbench_msda.tables.values import Column, Printed, Row, TableData

SCORED = [name for name in TABLES if name in ("overview", "corruptions", "attacks", "classes", "class_dependency")]


class Reader(HTMLParser):
    """The cells of every row, with their tags and attributes, and the caption."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, dict[str, str | None], str]]] = []
        self.caption, self.open, self.bodies = "", [], 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.bodies += tag == "tbody"
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "caption" in self.open:
            self.caption += data
        elif "th" in self.open or "td" in self.open:
            tag, attributes, text = self.rows[-1][-1]
            self.rows[-1][-1] = (tag, attributes, text + data)


def read(table: TableData) -> Reader:
    reader = Reader()
    reader.feed(to_html(table))
    reader.close()
    assert not reader.open
    return reader


@pytest.mark.parametrize("name", SCORED)
def test_html_holds_what_markdown_prints(name: str) -> None:
    table = TABLES[name](SCORES, COMPARISON)
    found = read(table)
    assert found.caption == caption_text(table)
    body = [[text for *_, text in row] for row in found.rows[-len(table.rows) :]]
    assert body == [[text.replace("\\", "") for text in row] for row in pipe_rows(to_markdown(table))[2:]]
    for row in found.rows[-len(table.rows) :]:
        assert row[0][:2] == ("th", {"scope": "row"})
        assert {tag for tag, *_ in row[1:]} == {"td"}
    heads = [cell for row in found.rows[: -len(table.rows)] for cell in row if cell[0] == "th"]
    assert all(attributes.get("scope") in ("col", "colgroup") for _, attributes, _ in heads)
    widths = [sum(int(attributes.get("colspan") or 1) for _, attributes, _ in row) for row in found.rows]
    assert set(widths) == {len(table.columns)}
    assert "style" not in to_html(table)


def test_groups_are_bodies_under_their_headings() -> None:
    scores = pd.concat([scores_frame(), scores_frame(dataset="other")])
    table = TABLES["overview"](scores, comparison_frame(scores))
    found = read(table)
    assert found.bodies == len(table.groups) == 2
    headings = [row for row in found.rows if row[0][1].get("scope") == "rowgroup"]
    assert [text for row in headings for *_, text in row] == [
        "dataset digits · model small_cnn",
        "dataset other · model small_cnn",
    ]


def test_names_with_markup_stay_text() -> None:
    scores = scores_frame(("vanilla", "<script>alert(1)</script>", *SPECIAL), classes=CLASSES, dataset="d<i>")
    found = read(TABLES["overview"](scores, comparison_frame(scores)))
    assert {"<script>alert(1)</script>", *SPECIAL} <= {row[0][2] for row in found.rows}
    assert "<script" not in to_html(TABLES["overview"](scores, comparison_frame(scores)))


def test_bold_is_strong_and_names_are_ids() -> None:
    columns = (Column("a", "A"), Column("b", "B", "printed"))
    table = TableData("x.T1 <", "T", "C.", columns, (Row((), ("r", Printed("1 < 2", bold=True))),), ())
    assert '<td class="number"><strong>1 &lt; 2</strong></td>' in to_html(table)
    assert to_html(table).startswith('<table class="results" id="x-T1--">')
    assert "**1 \\< 2**" in to_markdown(table)
