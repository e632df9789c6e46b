"""``robustbench-msda compare``."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import click

from robustbench_msda.cli import options

ON = "Such as cifar10_c:fog:3; without a level, over all severities; without a condition, over all corruptions."
# Neither counts nor fractions.
CORRELATIONS = "confidence_recall_"
# Not changes, and therefore without a sign.
LEVELS = {"error_baseline", "error_treatment", "recall_change_deviation_degraded", "recall_change_deviation_improved"}


@click.command(
    epilog="Example: robustbench-msda compare --baseline augmentation=vanilla --treatment augmentation=cutmix"
)
@click.option("--baseline", multiple=True, required=True, metavar="SEL", help="The seeds of one group.")
@click.option("--treatment", multiple=True, required=True, metavar="SEL", help="One group or more.")
@click.option("--name", default="", help="Keep the comparison, and draw its chart, under this name.")
@click.option("--on", default="clean", show_default=True, metavar="BENCHMARK[:CONDITION[:LEVEL]]", help=ON)
@options.limit
@options.results
@options.reports
def compare(  # noqa: PLR0913
    baseline: tuple[str, ...], treatment: tuple[str, ...], name: str, on: str, limit: int, results: Path, reports: Path
) -> None:
    """Say what a treatment did to each class: recall changes, N_DC, and which are more than seed noise.

    SEL is a run folder, a fingerprint or its first digits, or fields such as augmentation=cutmix,model=resnet20.
    """
    from robustbench_msda import verbs
    from robustbench_msda.cli.display import table
    from robustbench_msda.evaluation import Place

    frame = verbs.compare(baseline, treatment, place=Place(results=results), limit=limit, on=on, name=name)
    header = ["treatment", "metric", "class", "value (pp, % or n)", "95 % interval", "p", "q", ""]
    table(header, [as_text(row) for row in frame.to_dict("records")])
    if name:
        from robustbench_msda.reporting import draw_comparison

        for path in draw_comparison(frame, reports / name):
            click.echo(str(path))


def as_text(row: Mapping[Hashable, Any]) -> list[str]:
    """Return a row of a comparison as it is printed: counts as they are, changes in percentage points."""

    def number(value: float) -> str:
        if row["metric"].startswith(CORRELATIONS):
            return f"{value:+.2f}"
        if row["metric"].startswith("n_"):
            return f"{value:.0f}"
        return f"{100 * value:.2f}" if row["metric"] in LEVELS else f"{100 * value:+.2f}"

    def chance(value: float) -> str:
        return "" if math.isnan(value) else f"{value:.3f}"

    interval = "" if math.isnan(row["low"]) else f"{number(row['low'])} to {number(row['high'])}"
    value = "" if math.isnan(row["value"]) else number(row["value"])
    head = [row["treatment"], row["metric"], row["subset"], value]
    return [*head, interval, chance(row["p"]), chance(row["q"]), row["flags"]]
