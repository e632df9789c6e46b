"""``robustbench-msda run``."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_msda.cli import options
from robustbench_msda.cli.report import show


@click.command(epilog="Example: robustbench-msda run evaluations/quick.toml --workers 2")
@click.argument("study", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--scale", default="", help="A scale the study names, such as small.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes at once.")
@click.option("--threads", type=click.IntRange(0), default=0, show_default="cores ÷ workers", help="Of each.")
@click.option("--runs", type=options.FOLDER, default=Path("runs"), show_default=True, help="Where run folders are.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do, and how long it would take.")
@options.data_dir
@options.results
@options.reports
@options.device
@options.batch_size
def run(  # noqa: PLR0913
    study: Path,
    scale: str,
    workers: int,
    threads: int,
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
    place = options.place(data_dir, results, device, batch_size)
    todo = estimate(loaded, place, runs)
    click.echo(
        f"{loaded.name}: {loaded.claim}\n{todo.trained}/{todo.recipes} networks trained, {todo.done}/{todo.cells} "
        f"cells predicted; about {60 * todo.hours:.0f} min of all cores for the rest",
        err=True,
    )
    if dry_run:
        return 0
    with progress(loaded.name, "pieces") as update:
        outcomes = running.run_study(loaded, place, runs, running.Workers(workers, threads), update)
    report = reporting.build(loaded.name, results, reports)
    click.echo(report.overview)
    show(report.paths, report.skipped)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"failed: {outcome.id}: {outcome.error}", err=True)
    return options.SOME_FAILED if failed else 0
