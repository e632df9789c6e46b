"""``robustbench-msda tables``: of a study's scores, and of the papers beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    from robustbench_msda.papers import Show
    from robustbench_msda.tables.values import Spread

SHOWN = ("ours", "paper", "both", "difference")
# Where the papers' tables are written in the folder of reports.
PAPERS = "papers"


@click.group()
def tables() -> None:
    """Tables of a study's scores, and those of the papers with ours in them."""


@tables.command("list")
def list_tables() -> None:
    """List the tables: ours, then the papers'."""
    from robustbench_msda.cli.display import table
    from robustbench_msda.cli.listing import tables as listing

    table(*listing())


@tables.command(
    "build",
    epilog="Example: robustbench-msda tables build dynmix.T3, or: robustbench-msda tables build quick overview",
)
@click.argument("names", nargs=-1, metavar="[STUDY] [TABLES]...")
@click.option("--all", "every", is_flag=True, help="Every table of the papers, and a LaTeX document of them.")
@click.option(
    "--format", "formats", default="csv,latex,markdown", show_default=True, help="Of csv, latex, markdown and html."
)
@click.option("--show", type=click.Choice(SHOWN), default="both", show_default=True, help="Whose numbers, of a paper.")
@click.option(
    "--substitute",
    "stands",
    multiple=True,
    metavar="THEIRS=OURS",
    help="Ours that stands for a data set, model or augmentation of a paper's table; marked. May be repeated.",
)
@click.option("--allow-made", is_flag=True, help="In a paper's table take stimuli that were made here; marked.")
@click.option(
    "--intervals", "spread", is_flag=True, flag_value="interval", default="deviation", help="Print [low, high], not ±."
)
@options.results
@options.reports
def build_tables(  # noqa: PLR0913 - the options of a command line
    names: tuple[str, ...],
    every: bool,
    formats: str,
    show: Show,
    stands: tuple[str, ...],
    allow_made: bool,
    spread: Spread,
    results: Path,
    reports: Path,
) -> None:
    """Write TABLES: of STUDY's scores those of ``tables list``, all of them by default; and those of the papers.

    A paper's table, such as dynmix.T3, takes ours from STUDY, without one from the studies that say they feed it, or
    from all scores there are. A number of ours is like for like, or stands in by --substitute or --allow-made.
    """
    from robustbench_msda.papers import Request, Terms, build_paper_tables, layouts, substitutes

    study, own, papers = sorted_out(names, results)
    papers = list(layouts()) if every else papers
    kinds = tuple(each.strip() for each in formats.split(",") if each.strip())
    if own or not papers:
        built, skipped = own_tables(study, own, kinds, spread, (results, reports))
        told(built, skipped)
    if papers:
        terms = Terms(substitutes(stands), allow_made)
        request = Request(tuple(papers), study, show, terms, kinds, document=every)
        told(build_paper_tables(request, results, reports / PAPERS).paths, {})


def sorted_out(names: Sequence[str], results: Path) -> tuple[str, list[str], list[str]]:
    """Return the study among ``names``, '' for none, and the names of our tables and of the papers'.

    Raises:
        UnknownName: a name is neither.
    """
    from robustbench_msda.errors import pick, unknown
    from robustbench_msda.papers import layouts
    from robustbench_msda.tables import TABLES

    known = {**{name: name for name in TABLES}, **{name: name for name in layouts()}}
    spelled = [known.get(name, known.get(name.replace("-", "_"), "")) for name in names]
    study = names[0] if names and not spelled[0] else ""
    if study and not (results / "scores" / f"{study}.csv.gz").exists() and "." in study:
        raise unknown(study, known, "table")
    chosen = [pick(known, name, "table") for name in names[bool(study) :]]
    return study, [name for name in chosen if name in TABLES], [name for name in chosen if name in layouts()]


def own_tables(
    study: str, names: Sequence[str], formats: Sequence[str], spread: Spread, folders: tuple[Path, Path]
) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Write our tables ``names`` of ``study``, all of them for none; return their files, and why others were not."""
    from robustbench_msda.reporting import build_tables

    if not study:
        raise click.UsageError("name a STUDY, tables of the papers, or --all; robustbench-msda tables list names them")
    return build_tables(study, *folders, names or None, spread, formats)


def told(paths: tuple[Path, ...], skipped: dict[str, str]) -> None:
    """Print what was written, and on stderr what could not be and why."""
    for path in paths:
        click.echo(str(path))
    for name, reason in skipped.items():
        click.echo(f"not built: {name}: {reason}", err=True)
