"""``robustbench-msda score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    import pandas as pd


@click.command(epilog="Example: robustbench-msda score augmentation=cutmix,model=resnet20 --name cutmix")
@click.argument("selections", nargs=-1, metavar="[CHECKPOINTS]...")
@click.option("--name", default="all", show_default=True, help="Of the table, kept in scores/ of the results folder.")
@options.results
def score(selections: tuple[str, ...], name: str, results: Path) -> None:
    """Score the stored predictions of CHECKPOINTS, or of all of them; no network runs.

    A checkpoint is a run folder, a fingerprint or its first digits, or fields such as augmentation=cutmix,seed=0.
    """
    from robustbench_msda import verbs
    from robustbench_msda.cli.display import progress

    place = verbs.Place(results=results)
    with progress("scoring", "checkpoints") as update:
        frame = verbs.score(selections, place=place, name=name, progress=update)
    print_headlines(frame)
    click.echo(f"{len(frame)} scores in {results / 'scores' / name}.csv.gz", err=True)


def print_headlines(frame: pd.DataFrame) -> None:
    """Print, in percent, what all images together say: each benchmark's aggregates, and errors by condition."""
    from robustbench_msda.cli.display import table

    told = frame[
        (frame["subset"] == "all") & frame["metric"].isin(["error", "mean_corruption_error", "rms_calibration"])
    ]
    told = told[(told["metric"] != "rms_calibration") | (told["benchmark"] == "clean")]
    made = told["benchmark"].str.endswith("_c_made")
    told = told[~(made & (told["metric"] == "error"))]
    rows = [
        [
            row["fingerprint"],
            " ".join(filter(None, (row["augmentation"], f"seed {row['seed']}" if row["seed"] else ""))),
            " ".join(filter(None, (row["benchmark"], row["condition"], row["level"]))),
            f"{row['metric']} (%)",
            f"{100 * row['value']:.2f}",
            str(row["n"]),
            row["flags"],
        ]
        for row in told.to_dict("records")
    ]
    table(["checkpoint", "method", "benchmark", "metric", "value", "n", ""], rows)
