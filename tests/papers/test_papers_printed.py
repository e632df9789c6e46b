"""The papers' numbers are those of the reference, translated by names.csv; their tables print them cell by cell."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from robustbench_msda.augmentations import AUGMENTATIONS
from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.data.known import DATASETS
from robustbench_msda.expressions import parse, short
from robustbench_msda.metrics import METRICS
from robustbench_msda.models.names import MODELS
from robustbench_msda.papers import layouts
from robustbench_msda.papers.captions import no_scores
from robustbench_msda.papers.cells import Rival, bold_places, paper_cell, value_of
from robustbench_msda.papers.material import Terms
from robustbench_msda.papers.printed import PAPERS, Number, Place, cells, csv_rows, notes, numbers
from robustbench_msda.papers.rendering import paper_table, table_data
from robustbench_msda.tables.html import to_html
from robustbench_msda.tables.latex import to_latex
from robustbench_msda.tables.markdown import to_markdown

NAMES = {(row["kind"], row["theirs"]): row["ours"] for row in csv_rows("names.csv")}
EVERY = [number for paper in PAPERS for number in numbers(paper)]
# Tables whose bold is lost in the text at hand.
LOST = {name for name in layouts() if name.startswith("kmix.")}
# Cells that a paper sets in bold against its own rule, or the other way round, and why.
AGAINST_THE_RULE = {
    "dynmix.T3": {(2, 15)},  # 57 is the best of its column, and plain
    "unified.T1": {(1, 2)},  # 64.4 is the best of its row, and plain
    "unified.T2": {(5, 3)},  # a tie with what is bold
    "fmix.T2": {(6, 2), (6, 4)},  # a quoted number is better, and bold instead
}


def reference_rows(reference: Path) -> list[dict[str, str]]:
    with (reference / "reference" / "paper_results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def reference_tables(reference: Path) -> dict[str, dict[str, object]]:
    tables = json.loads((reference / "reference" / "table_layouts.json").read_text(encoding="utf-8"))["tables"]
    return {name.replace("/", "."): table for name, table in tables.items()}


def ours(kind: str, row: dict[str, str], *theirs: str) -> str | None:
    """The translation of the first of ``theirs`` that names.csv has, the more particular context first."""
    for name in theirs:
        for context in (f"{row['paper']}.{row['table']}: ", f"{row['paper']}: ", ""):
            if (kind, context + name) in NAMES:
                return NAMES[kind, context + name]
    return None


def test_every_number_is_the_references(reference: Path) -> None:
    rows = reference_rows(reference)
    assert len(rows) == len(EVERY) == 1039
    kept = {"row_order": "row", "col_order": "column", "value": "value", "std": "std", "author_quoted": "quoted"}
    by_paper = [row for paper in PAPERS for row in rows if row["paper"] == paper]
    for row, number in zip(by_paper, EVERY, strict=True):
        assert (row["paper"], row["table"]) == (number.paper, number.table)
        assert {name: row[name] for name in kept} == {name: str(getattr(number, other)) for name, other in kept.items()}
        quoted_bold = "author_quoted value is bold" in row["note"]
        assert (number.bold in ("true", "both")) == (row["bold"] == "true")
        assert (number.bold == "") == (row["bold"] == "")
        assert (number.bold in ("quoted", "both")) == quoted_bold
        assert row["unit"] == number.unit


def test_every_name_is_translated_by_names_csv(reference: Path) -> None:
    by_paper = [row for paper in PAPERS for row in reference_rows(reference) if row["paper"] == paper]
    used = set()
    for row, number in zip(by_paper, EVERY, strict=True):
        method = f"{row['method']} {row['method_params']}"
        assert number.dataset == ours("dataset", row, row["dataset"])
        assert number.model == ours("model", row, row["model"])
        assert number.augmentation == ours("augmentation", row, method)
        assert number.metric == ours("metric", row, row["metric"])
        assert number.form == ours("form", row, row["metric"])
        assert number.condition == (ours("condition", row, row["metric"], row["dataset"]) or "")
        assert number.level == (ours("level", row, row["metric"]) or "")
        if number.form not in ("", "setting"):
            assert number.benchmark == ours("benchmark", row, row["metric"], row["dataset"])
        used |= {("metric", row["metric"]), ("model", row["model"]), ("dataset", row["dataset"])}
    theirs = {(kind, name.rpartition(": ")[2]) for kind, name in NAMES if kind in ("metric", "dataset")}
    assert theirs == {each for each in used if each[0] != "model"}


def test_names_of_ours_are_names_of_ours() -> None:
    compared = [number for number in EVERY if number.augmentation and number.form not in ("", "setting")]
    assert len(compared) > 700
    beyond = {layout.name for layout in layouts().values() if layout.needs}
    for number in compared:
        if f"{number.paper}.{number.table}" in beyond or number.table == "prose":
            continue
        assert short(parse(number.augmentation, AUGMENTATIONS, "augmentation"), AUGMENTATIONS) == number.augmentation
        assert number.model == "mean" or "/" in number.model or number.model in MODELS
        assert number.dataset in DATASETS
        assert number.metric in METRICS
        known = {*benchmarks_of(number.dataset), "training"}
        assert number.benchmark in known, number


def test_every_table_of_the_reference_has_a_layout(reference: Path) -> None:
    tables = reference_tables(reference)
    assert list(tables) == list(layouts())
    for name, table in tables.items():
        layout = layouts()[name]
        assert len(layout.rows) == len(table["rows"])
        assert len(layout.columns) == len(table["columns"])
        spans = {k: group["label"] for group in table["column_groups"] for k in group["cols"]}
        assert [each.span for each in layout.columns] == [spans.get(k + 1, "") for k in range(len(layout.columns))]


def plain(text: str) -> str:
    """A cell without what only typography decides."""
    text = re.sub(r"\$?10\^\{(-\d)\}\$?", r"1e\1", text).replace("$", "")
    return re.sub(r"\s|\\", "", text.replace("−", "-").replace("–", "-").replace("×", "x"))


def test_every_cell_is_printed_as_the_paper_prints_it(reference: Path) -> None:
    for name, table in reference_tables(reference).items():
        printed = cells(layouts()[name])
        for each in table["cells"]:
            place = (each["row"], each["col"])
            column = layouts()[name].columns[each["col"] - 1]
            cell = paper_cell(printed[place], column) if place in printed else None
            assert plain(cell.text if cell else "") == plain(each["text"]), (name, place)
            if name not in LOST and cell is not None:
                assert cell.bold == ([*place] in table["bold_cells"] and printed[place][0].bold != "quoted"), (
                    name,
                    place,
                )


def paper_rivals(printed: Mapping[Place, Sequence[Number]]) -> dict[Place, Rival]:
    """Return the paper's numbers that compete for bold."""
    found = {}
    for place, here in printed.items():
        value = value_of(here[0])
        if value is not None:
            std = float(here[0].std) if here[0].std else math.nan
            found[place] = (value, std, (here[0].metric, here[0].form))
    return found


@pytest.mark.parametrize("name", sorted(set(layouts()) - LOST))
def test_the_rule_for_bold_finds_what_the_paper_set_in_bold(name: str) -> None:
    layout, printed = layouts()[name], cells(layouts()[name])
    theirs = {place for place, each in printed.items() if each[0].bold in ("true", "both")}
    found = bold_places(layout, paper_rivals(printed))
    assert found ^ theirs == AGAINST_THE_RULE.get(name, set())


def test_every_table_of_the_papers_in_every_format_has_all_its_cells() -> None:
    for name, layout in layouts().items():
        table = table_data(paper_table(layout, "paper", no_scores(), Terms()))
        texts = [value.text for row in table.rows for value in row.values if not isinstance(value, str)]
        assert len(texts) == len(layout.rows) * len(layout.columns)
        assert "Paper: table" in table.caption
        assert to_html(table).count('<td class="number">') == len(texts)
        assert to_latex(table).startswith("% \\usepackage{booktabs")
        bold = sum(value.bold for row in table.rows for value in row.values if not isinstance(value, str))
        assert to_markdown(table).count("**") == 2 * bold + 2
        assert name in to_html(table).replace("-", ".", 1) or "." not in name


def test_decimals_of_a_column_are_the_papers() -> None:
    """What ours is rounded to: the decimals that most numbers of the column are printed with."""
    for layout in layouts().values():
        for k, column in enumerate(layout.columns, 1):
            values = [each[0].value for place, each in cells(layout).items() if place[1] == k and each[0].form]
            digits = Counter(len(value.partition(".")[2]) for value in values if value)
            assert not digits or digits.most_common(1)[0][0] == column.decimals, (layout.name, column)


def test_notes_speak_of_cells_that_are_there() -> None:
    places = {(number.paper, number.table, number.row, number.column) for number in EVERY}
    assert len(notes()) >= 35
    for note in notes():
        assert (note.paper, note.table, note.row, note.column) in places, note
        assert note.note.endswith(".")
    # The arithmetic of two of them.
    rows = {(each.row, each.column): float(each.value) for each in numbers("dynmix") if each.table == "T2"}
    assert sum(rows[k, 7] for k in range(1, 5)) / 4 == pytest.approx(35.35)
    assert rows[5, 7] == 35.5


def test_a_number_without_a_match_of_ours_says_so() -> None:
    lost = [number for number in EVERY if not number.augmentation]
    assert {number.paper for number in lost} == {"kmix", "classdep", "fmix"}
    assert all(isinstance(number, Number) and (number.form or True) for number in lost)
