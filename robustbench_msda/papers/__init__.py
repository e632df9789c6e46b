"""The tables of the five papers: their numbers, and ours in their place, beside them or as a difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustbench_msda.errors import UserError, pick, unknown
from robustbench_msda.files import write_text
from robustbench_msda.papers.captions import no_scores
from robustbench_msda.papers.material import PEOPLE, Material, Terms, feeding, read_material, scored_studies
from robustbench_msda.papers.printed import cells, layouts
from robustbench_msda.papers.rendering import SIDES, PaperTable, Show, paper_table, table_data, to_tidy_csv
from robustbench_msda.tables.html import to_html
from robustbench_msda.tables.latex import to_latex
from robustbench_msda.tables.markdown import to_markdown
from robustbench_msda.tables.values import TableData

__all__ = [
    "FORMATS",
    "SIDES",
    "BuiltPapers",
    "Request",
    "Show",
    "Terms",
    "build_paper_tables",
    "layouts",
    "substitutes",
]

# By the name of a format: the end of the file and what writes it.
FORMATS: dict[str, tuple[str, Callable[[PaperTable], str]]] = {
    "csv": ("csv", to_tidy_csv),
    "latex": ("tex", lambda table: to_latex(table_data(table))),
    "markdown": ("md", lambda table: to_markdown(table_data(table))),
    "html": ("html", lambda table: to_html(table_data(table))),
}
DOCUMENT = r"""\documentclass[a4paper,10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[margin=20mm]{geometry}
\usepackage{amsmath,booktabs,longtable,textcomp}
\begin{document}
%s
\end{document}
"""


@dataclass(frozen=True)
class Request:
    """What tables to build, and how.

    Attributes:
        names: of ``layouts()``.
        study: whose scores are ours; '' for those that feed the table, all there are where none says so.
        show: whose numbers.
        terms: what may stand for what.
        formats: of ``FORMATS``.
        document: write a LaTeX document of all tables beside them.
    """

    names: tuple[str, ...]
    study: str = ""
    show: Show = "both"
    terms: Terms = Terms()
    formats: tuple[str, ...] = ("csv", "latex", "markdown")
    document: bool = False


@dataclass(frozen=True)
class BuiltPapers:
    """What was built: the tables, and their files."""

    tables: tuple[TableData, ...]
    paths: tuple[Path, ...]


def build_paper_tables(request: Request, results: Path, out: Path) -> BuiltPapers:
    """Write the tables of ``request`` to ``<out>/tables/<name>.<format>``.

    Args:
        request: what to build.
        results: the results folder; not looked at where only the papers' numbers are shown.
        out: where to.

    Raises:
        UnknownName: a name, or what something stands for, is in none of the tables.
        UserError: scores are missing or damaged, or of several recipes or worlds.
    """
    chosen = [pick(layouts(), name, "table") for name in request.names]
    check_terms(request)
    built, paths = [], []
    for layout in chosen:
        table = paper_table(layout, request.show, material_for(layout.name, request, results), request.terms)
        built.append(table_data(table))
        for name in request.formats:
            suffix, write = pick(FORMATS, name, "format")
            paths.append(out / "tables" / f"{layout.name}.{suffix}")
            write_text(paths[-1], write(table))
    if request.document and "latex" in request.formats:
        inputs = [rf"\input{{{layout.name}.tex}}\clearpage" for layout in chosen]
        paths.append(out / "tables" / "main.tex")
        write_text(paths[-1], DOCUMENT % "\n".join(inputs))
    return BuiltPapers(tuple(built), tuple(paths))


def material_for(table: str, request: Request, results: Path) -> Material:
    """Return the scores that ``table`` is filled from; none where only the paper's numbers are shown."""
    if request.show == "paper":
        return no_scores()
    studies = [request.study] if request.study else feeding(results, scored_studies(results), table)
    return read_material(results, studies)


def check_terms(request: Request) -> None:
    """Raise ``UnknownName`` where something stands for what is in none of the tables."""
    known: dict[str, None] = {}
    for name in request.names:
        for numbers in cells(pick(layouts(), name, "table")).values():
            for number in numbers:
                known |= dict.fromkeys((number.dataset, number.model, number.augmentation))
                # People's answers are to images that another prepared set may hold.
                known |= {PEOPLE: None} if number.benchmark == PEOPLE else {}
    for theirs in request.terms.substitutes:
        if theirs not in known:
            names = sorted(set(known) - {"", "mean"})
            raise unknown(theirs, names, f"name in {', '.join(request.names)} to substitute:")


def substitutes(texts: Sequence[str]) -> dict[str, str]:
    """Return what stands for what from texts such as ``cifar100=cifar10_40k``; augmentations may have brackets.

    Raises:
        UserError: a text has no ``=`` outside brackets, or a name stands twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        theirs, ours = sides_of(text)
        if not theirs or not ours:
            raise UserError(f"--substitute {text!r}: expected THEIRS=OURS, such as cifar100=cifar10_40k")
        if theirs in found:
            raise UserError(f"--substitute: {theirs} is given twice; name one that stands for it")
        found[theirs] = ours
    return found


def sides_of(text: str) -> tuple[str, str]:
    """Return what stands before and behind the first ``=`` of ``text`` that is in no brackets."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "=" and depth == 0:
            return text[:place].strip(), text[place + 1 :].strip()
    return "", ""
