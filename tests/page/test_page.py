"""The page shows every table and figure, needs nothing but its folder, and lets no name become markup."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from synthetic_scores import comparison_frame, scores_frame

from robustbench_msda.figures import BuiltFigures, FigureFile, build_figures
from robustbench_msda.page import build_page
from robustbench_msda.tables import BuiltTables, build_tables
from robustbench_msda.tables.text import value_texts

VOID = {"meta", "img", "br", "link", "input", "hr"}
FACTS = {"Command": "robustbench-msda run demo", "Split": "digits: the last 360 & <none> else"}
NOTES = ["Corruptions were made, <b>not</b> downloaded."]
NAME = '<script>alert("x")</script>'


class Reader(HTMLParser):
    """Checks that tags nest, and keeps what the page refers to and says."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.alts: list[str] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.references += [values[name] for name in ("href", "src", "srcset", "action") if name in values]
        if tag == "img":
            self.alts.append(values["alt"])
            assert int(values["width"]) > 0
            assert int(values["height"]) > 0
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuiltTables, BuiltFigures]:
    out = tmp_path_factory.mktemp("report")
    scores = pd.concat([scores_frame(), scores_frame(("vanilla", "cutmix"), dataset="cifar10")])
    comparison = comparison_frame(scores)
    tables = build_tables(scores, comparison, out)
    return out, tables, build_figures(scores, comparison, out, ["attack_curves", "recall_change"])


@pytest.fixture(scope="module")
def page(built: tuple[Path, BuiltTables, BuiltFigures]) -> Path:
    out, tables, figures = built
    return build_page("DropMix & classes", out, tables.tables, figures.figures, FACTS, NOTES)


def test_every_reference_is_a_file_beside_the_page_or_an_anchor_in_it(page: Path) -> None:
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    for reference in reader.references:
        if reference.startswith("#"):
            assert reference[1:] in reader.ids
        else:
            assert not re.match(r"\w+:|/", reference), reference
            assert (page.parent / unquote(reference)).is_file(), reference


def test_the_page_runs_no_script_and_asks_nobody(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not {"script", "link", "iframe", "object"} & set(read(page).tags)
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_every_printed_value_is_on_the_page(page: Path, built: tuple[Path, BuiltTables, BuiltFigures]) -> None:
    rows = read(page).rows
    for table in built[1].tables:
        for texts in value_texts(table):
            assert texts in rows
        assert [column.title for column in table.columns] in rows


def test_contents_name_every_table_and_figure(page: Path, built: tuple[Path, BuiltTables, BuiltFigures]) -> None:
    reader = read(page)
    _, tables, figures = built
    titles = [table.title for table in tables.tables] + [figure.title for figure in figures.figures]
    assert all(reader.text.count(title) >= 2 for title in titles)
    assert [reference for reference in reader.references if reference.startswith("#")] == [
        *(f"#table-{k + 1}" for k in range(len(tables.tables))),
        *(f"#figure-{k + 1}" for k in range(len(figures.figures))),
    ]
    files = {unquote(reference) for reference in reader.references if not reference.startswith("#")}
    assert {path.relative_to(page.parent).as_posix() for path in (*tables.paths, *figures.paths)} == files


def test_figures_have_words_for_those_who_cannot_see_them(
    page: Path, built: tuple[Path, BuiltTables, BuiltFigures]
) -> None:
    reader = read(page)
    assert reader.alts == [figure.alt for figure in built[2].figures]
    assert all(len(alt) > 40 for alt in reader.alts)
    assert all(figure.caption in reader.text for figure in built[2].figures)


def test_facts_and_notes_are_told_and_escaped(page: Path) -> None:
    reader = read(page)
    assert {*FACTS, *FACTS.values(), *NOTES, "DropMix & classes"} <= set(reader.text)
    assert "b" not in reader.tags


def test_groups_have_a_heading_row(page: Path) -> None:
    rows = read(page).rows
    for heading in ("dataset cifar10 · model small_cnn", "dataset digits · model small_cnn · baseline vanilla"):
        assert [heading] in rows


def test_two_builds_give_the_same_bytes(page: Path, built: tuple[Path, BuiltTables, BuiltFigures]) -> None:
    before = page.read_bytes()
    out, tables, figures = built
    build_page("DropMix & classes", out, tables.tables, figures.figures, FACTS, NOTES)
    assert page.read_bytes() == before


def test_no_name_becomes_markup(tmp_path: Path) -> None:
    scores = scores_frame(("vanilla", NAME), classes=(NAME, "a_b & <c>", "plain"), dataset="<d>")
    comparison = comparison_frame(scores)
    tables = build_tables(scores, comparison, tmp_path)
    figures = build_figures(scores, comparison, tmp_path, ["recall_change"])
    page = build_page(NAME, tmp_path, tables.tables, figures.figures, {NAME: NAME}, [NAME])
    reader = read(page)
    assert "script" not in reader.tags
    assert "c" not in reader.tags
    assert reader.text.count(NAME) >= 4
    assert all((page.parent / unquote(reference)).is_file() for reference in reader.references if reference[0] != "#")


def test_a_report_without_tables_or_figures_is_still_a_page(tmp_path: Path) -> None:
    reader = read(build_page("Nothing yet", tmp_path / "new", [], [], {}))
    assert "table" not in reader.tags
    assert "nav" not in reader.tags
    assert "Nothing yet" in reader.text


def test_a_figure_elsewhere_is_the_callers_mistake(tmp_path: Path) -> None:
    elsewhere = FigureFile("f", "F", "c", "a", (1.0, 1.0), Path("/elsewhere/f.svg"), Path("/elsewhere/f.png"))
    with pytest.raises(ValueError, match="elsewhere"):
        build_page("T", tmp_path, [], [elsewhere], {})


def test_reports_import_neither_torch_nor_the_interactive_side_of_matplotlib() -> None:
    code = "import sys, robustbench_msda.page as p; print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
