"""What the pages of a report hold: tags that nest, ids, references, tables; and reports to read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
from synthetic_scores import comparison_frame, scores_frame

from robustbench_msda.figures import build_figures
from robustbench_msda.page import Study, build_pages
from robustbench_msda.page.glossary import glossary
from robustbench_msda.tables import build_tables

VOID = {"meta", "img", "br", "link", "input", "hr"}
# Of SVG; a slash closes them.
SHAPES = {"path", "rect", "circle"}
HOSTILE = '<script>alert("x")</script>'
FACTS = {"Command": "robustbench-msda run demo", "Split": "digits: the last 360 & <none> else"}
NOTES = ["Corruptions were made, <b>not</b> downloaded."]
METHODS = ("vanilla", "mixup", "cutmix", "dropmix(rate=0.4, of=cutmix)")


class Reader(HTMLParser):
    """Checks that tags nest, and keeps what a page refers to and says."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.references += [values[name] for name in ("href", "src", "srcset", "action") if name in values]
        if tag == "table":
            self.tables.append([])
        if tag == "caption":
            self.captions.append("")
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID | SHAPES:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in SHAPES or (self.open and self.open[-1] == tag):
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if "caption" in self.open:
            self.captions[-1] += data


class SvgReader(Reader):
    """The same where shapes have children, such as the title of a point."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag in SHAPES:
            self.open.append(tag)


def read(page: Path) -> Reader:
    reader = SvgReader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def targets(page: Path, references: Sequence[str]) -> list[tuple[Path, str]]:
    """Return the file and anchor of every reference; '' for none."""
    found = []
    for reference in references:
        assert not re.match(r"\w+:|/", reference) or reference == "data:,", reference
        if reference != "data:,":
            address, _, anchor = reference.partition("#")
            found.append(((page.parent / unquote(address)).resolve() if address else page.resolve(), unquote(anchor)))
    return found


def two_datasets() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores of two data sets, and their comparison."""
    scores = pd.concat([scores_frame(METHODS), scores_frame(("vanilla", "cutmix"), dataset="cifar10")])
    return scores, comparison_frame(scores)


def build(out: Path, scores: pd.DataFrame, comparison: pd.DataFrame, **fields: object) -> tuple[Path, ...]:
    """Write the report of ``scores``, with some of its tables and figures, to ``out``; return its pages."""
    tables = build_tables(scores, comparison, out, ["overview", "corruptions", "classes"])
    figures = build_figures(scores, comparison, out, ["attack_curves"])
    values = {"title": "DropMix & classes", "glossary": glossary(scores, comparison)} | fields
    study = Study(name="s", scores=scores, comparison=comparison, **values)  # type: ignore[arg-type]
    return build_pages(study, out, tables.tables, figures.figures)
