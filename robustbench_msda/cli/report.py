"""``robustbench-msda figures`` and ``report``: from stored scores only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    from robustbench_msda.tables.values import Spread

NAME = click.argument("name", metavar="STUDY")
INTERVALS = click.option(
    "--intervals", "spread", is_flag=True, flag_value="interval", default="deviation", help="Print [low, high], not ±."
)


@click.group()
def figures() -> None:
    """Charts of a study's scores."""


@figures.command("list")
def list_figures() -> None:
    """List the charts."""
    from robustbench_msda.cli.display import table
    from robustbench_msda.cli.listing import figures as listing

    table(*listing())


@figures.command("build", epilog="Example: robustbench-msda figures build quick recall_change")
@NAME
@click.argument("names", nargs=-1, metavar="[FIGURES]...")
@options.results
@options.reports
def build_figures(name: str, names: tuple[str, ...], results: Path, reports: Path) -> None:
    """Draw the charts of STUDY as PNG and SVG, with the CSV behind each."""
    from robustbench_msda.reporting import build_figures

    show(*build_figures(name, results, reports, names or None))


@click.command(epilog="Example: robustbench-msda report quick")
@NAME
@INTERVALS
@click.option(
    "--data-dir",
    type=options.FOLDER,
    help="Where data sets are: pages of classes then show the images that flipped.  [default: no images]",
)
@options.results
@options.reports
def report(name: str, spread: Spread, data_dir: Path | None, results: Path, reports: Path) -> None:
    """Write tables, charts and pages of STUDY: the name of a file in scores/ of the results folder.

    Open index.html of the folder: a leaderboard, a page a method and a class, and two methods side by side. It needs
    neither a server nor the network, and shows images only where --data-dir is given.
    """
    from robustbench_msda.reporting import build

    built = build(name, results, reports, spread, data_dir)
    click.echo(built.overview)
    show(built.paths, built.skipped)


def show(paths: tuple[Path, ...], skipped: dict[str, str]) -> None:
    """Print what was written, and on stderr what could not be and why."""
    for path in paths:
        click.echo(str(path))
    for name, reason in skipped.items():
        click.echo(f"not built: {name}: {reason}", err=True)
