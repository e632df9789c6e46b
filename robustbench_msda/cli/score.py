"""``robustbench-msda score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    import pandas as pd

# The aggregates a user looks for first; PLAIN are distances, nats and costs, the others shares.
HEADLINES = "error|rms_calibration|mean_.*|(relative_)?mce_.*|mfr_.*"
# What stands for a benchmark that has no aggregate: not all of it was done.
# What is printed of attacks: of each set of attacked images, and the means over those of a box.
ATTACKED = ("error", "gray_box_error", "black_box_error")
SINGLE = ("corruption_error", "flip_probability", "error", "aupr", "auroc", "kl_human_model")
COSTS = ("parameters", "flops", "epoch_seconds", "step_seconds", "images_per_s")
PLAIN = ("mean_top5_distance", "kl_human_model", *COSTS)


@click.command(epilog="Example: robustbench-msda score augmentation=cutmix,model=resnet20 --name cutmix")
@click.argument("selections", nargs=-1, metavar="[CHECKPOINTS]...")
@click.option("--name", default="all", show_default=True, help="Of the table, kept in scores/ of the results folder.")
@click.option("--normalise-by", default="", metavar="CHECKPOINT", help="Whose errors divide, besides AlexNet's.")
@options.allow_partial
@options.results
def score(selections: tuple[str, ...], name: str, normalise_by: str, allow_partial: bool, results: Path) -> None:
    """Score the stored predictions of CHECKPOINTS, or of all of them; no network runs.

    A checkpoint is a run folder, a fingerprint or its first digits, or fields such as augmentation=cutmix,seed=0.
    """
    from robustbench_msda import verbs
    from robustbench_msda.cli.display import progress
    from robustbench_msda.evaluation import Place

    place = Place(results=results, allow_partial=allow_partial)
    with progress("scoring", "checkpoints") as update:
        frame = verbs.score(selections, place=place, normalise_by=normalise_by, name=name, progress=update)
    print_headlines(frame)
    click.echo(f"{len(frame)} scores in {results / 'scores' / name}.csv.gz", err=True)


def print_headlines(frame: pd.DataFrame) -> None:
    """Print what all images together say: each benchmark's aggregates, or its errors where it has none."""
    import pandas as pd

    from robustbench_msda.cli.display import table

    whole = frame[(frame["subset"] == "all") & (frame["level"] == "")]
    told = whole[(whole["condition"] == "") & whole["metric"].str.fullmatch(HEADLINES)]
    apart = whole[~whole["benchmark"].isin(set(told["benchmark"]))]
    attacked = frame["metric"].isin(ATTACKED) & frame["condition"].str.contains("(", regex=False)
    single = apart[apart["metric"].isin(SINGLE) & ~apart["condition"].str.contains("(", regex=False)]
    # Where there is nothing to print the flags say why.
    untold = (apart["flags"] != "") & (apart["benchmark"] != "training")
    silent = apart[untold & ~apart["benchmark"].isin(set(single["benchmark"]))]
    told = pd.concat([told, single, silent, frame[attacked & (frame["subset"] == "all")]])
    rows = [
        [
            row["fingerprint"],
            " ".join(filter(None, (row["augmentation"], f"seed {row['seed']}" if row["seed"] else ""))),
            " ".join(filter(None, (row["benchmark"], row["condition"], row["level"], row["source"]))),
            row["metric"] if row["metric"] in PLAIN else f"{row['metric']} (%)",
            f"{row['value'] if row['metric'] in PLAIN else 100 * row['value']:.2f}",
            str(row["n"]),
            row["flags"],
        ]
        for row in told.sort_index().to_dict("records")
    ]
    table(["checkpoint", "method", "benchmark", "metric", "value", "n", ""], rows)
