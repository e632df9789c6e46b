"""``robustbench-msda run``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options
from robustbench_msda.cli.report import show
from robustbench_msda.cli.workers import workers as workers_options

if TYPE_CHECKING:
    from robustbench_msda.engines import Workers
    from robustbench_msda.estimates import Estimate, Row
    from robustbench_msda.evaluation import Place

MANY_HOURS = 10


@click.command(epilog="Example: robustbench-msda run evaluations/quick.toml --workers 2")
@click.argument("study", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--scale", default="", help="A scale the study names, such as small; paper is the study as it stands.")
@click.option("--part", default="", help="A part the study names, such as T1; results are kept under its name.")
@workers_options
@click.option("--runs", type=options.FOLDER, default=Path("runs"), show_default=True, help="Where run folders are.")
@click.option("--dry-run", is_flag=True, help="Print the grid, what is done, and how long the rest would take.")
@options.data_dir
@options.results
@options.reports
@options.device
@options.batch_size
def run(  # noqa: PLR0913
    study: Path,
    scale: str,
    part: str,
    workers: Workers,
    runs: Path,
    dry_run: bool,
    data_dir: Path,
    results: Path,
    reports: Path,
    device: str,
    batch_size: int,
) -> int:
    """Train, evaluate, score, compare and report what STUDY names; what exists is not done again."""
    from robustbench_msda import reporting, running
    from robustbench_msda.cli.display import progress
    from robustbench_msda.estimates import estimate
    from robustbench_msda.studies import load_study

    loaded = load_study(study)
    loaded = loaded.scaled(scale) if scale else loaded
    loaded = loaded.only(part) if part else loaded
    # What there is to do is measured here, where the engine of other machines need not have its device.
    here = options.place(data_dir, results, device if workers.engine == "local" else "", batch_size)
    place = placed(here, workers.engine, device)
    todo = estimate(loaded, here, runs)
    click.echo(f"{loaded.name}: {loaded.claim}\n{summary(todo)}", err=True)
    for line in todo.lacking:
        click.echo(line, err=True)
    if dry_run:
        show_grid(todo.rows)
        return 0
    with progress(loaded.name, "pieces") as update:
        outcomes = running.run_study(loaded, place, runs, replace(workers, logs=runs / ".slurm"), update)
    report = reporting.build(loaded.name, results, reports)
    click.echo(report.overview)
    show(report.paths, report.skipped)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"failed: {outcome.id}: {outcome.error}", err=True)
    return options.SOME_FAILED if failed else 0


def summary(todo: Estimate) -> str:
    """Return in a line what is done and how long the rest will take."""
    from robustbench_msda.estimates import hours

    networks = todo.networks
    known = [each for each in networks if each.hours is not None]
    about = (
        f"about {duration(hours(known))} of all cores for the rest" if known else "for the rest nothing was measured"
    )
    others = (
        f", without {len(networks) - len(known)} networks, which were not" if known and networks != tuple(known) else ""
    )
    return (
        f"{sum(each.trained for each in networks)}/{len(networks)} networks trained, "
        f"{sum(each.done for each in networks)}/{sum(each.cells for each in networks)} cells predicted; {about}{others}"
    )


def duration(hours: float) -> str:
    """Return ``hours`` in minutes, or in hours where they are many; ? where they are not known."""
    if math.isnan(hours):
        return "?"
    return f"{60 * hours:.0f} min" if hours < MANY_HOURS else f"{hours:,.0f} hours"


def show_grid(rows: Sequence[Row]) -> None:
    """Print a line for the networks that differ in nothing but the seed."""
    from robustbench_msda.augmentations import short
    from robustbench_msda.cli.display import table
    from robustbench_msda.estimates import hours

    shown = []
    for row in rows:
        recipe, networks = row.recipe, row.networks
        trained, cells = sum(each.trained for each in networks), sum(each.cells for each in networks)
        done = f"{sum(each.done for each in networks)}/{cells}" if cells else "?"
        what = [row.part, recipe.dataset, recipe.model, short(recipe.augmentation), str(recipe.epochs)]
        shown.append([*what, f"{trained}/{len(networks)}", done, duration(hours(networks)), row.also])
    table(["part", "dataset", "model", "augmentation", "epochs", "trained", "cells", "left", "also"], shown)


def placed(here: Place, engine: str, device: str) -> Place:
    """Return ``here`` with the device on which ``engine`` works; without one, the best there is here.

    Raises:
        UserError: the device has a number, which is the engine's to choose.
    """
    from robustbench_msda.errors import UserError

    if engine == "local" or not device:
        return here
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: with --engine {engine} expected cpu or cuda; the engine chooses which")
    return replace(here, device=device)
