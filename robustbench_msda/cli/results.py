"""``robustbench-msda results``."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_msda.cli import options


@click.group()
def results() -> None:
    """Results folders."""


@results.command("merge", epilog="Example: robustbench-msda results merge lab_a/results lab_b/results --into results")
@click.argument("folders", nargs=-1, required=True, metavar="FOLDERS...", type=options.FOLDER)
@click.option("--into", required=True, type=options.FOLDER, help="The folder that receives; what is there stays.")
def merge(folders: tuple[Path, ...], into: Path) -> None:
    """Bring the results FOLDERS of several labs together: predictions, checkpoints, scores and studies.

    Nothing is written where two folders hold other predictions for one cell, another checkpoint under one fingerprint
    or two values of one score.
    """
    from robustbench_msda.results.merge import merge_results

    merged = merge_results(folders, into)
    for what, count in merged.copied.items():
        click.echo(f"{what}: {count} written, {merged.alike.get(what, 0)} there already")
    for told in merged.kept:
        click.echo(told, err=True)
