"""``robustbench-msda evaluate``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    from robustbench_msda.errors import UserError
    from robustbench_msda.evaluation import Place, Plan
    from robustbench_msda.opening import Foreign
    from robustbench_msda.records import Cell
    from robustbench_msda.verbs import Planned


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases of click
    """Numbers between commas, one a channel."""

    name = "numbers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers of a text such as ``0.49,0.48,0.45``."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"expected numbers between commas such as 0.49,0.48,0.45, found {value!r}", param, ctx)


@click.command(
    epilog="Example: robustbench-msda evaluate weights.pth --model net.py:resnet20 --dataset cifar10 "
    "--mean 0.491,0.482,0.447 --std 0.247,0.243,0.262"
)
@click.argument("checkpoints", nargs=-1, required=True)
@click.option("--benchmarks", default="", metavar="NAMES", help="Names between commas.  [default: all that can run]")
@options.limit
@options.allow_partial
@options.sources("Substitutes: show it also what attacks make of them, in a gray or a black box.")
@click.option("--model", default="", help="The model source of a weights file, such as path/to/net.py:resnet20.")
@click.option("--dataset", default="", help="What a weights file classifies.")
@click.option("--mean", type=Numbers(), default=(), help="Its normalisation, a channel.  [default: the data set's]")
@click.option("--std", type=Numbers(), default=(), help="Likewise.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and how long it would take.")
@options.data_dir
@options.results
@options.device
@options.batch_size
def evaluate(  # noqa: PLR0913
    checkpoints: tuple[str, ...],
    benchmarks: str,
    limit: int,
    allow_partial: bool,
    sources: tuple[str, ...],
    model: str,
    dataset: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    dry_run: bool,
    data_dir: Path,
    results: Path,
    device: str,
    batch_size: int,
) -> int:
    """Predict what is missing of the benchmarks' cells for CHECKPOINTS, then print the scores.

    A checkpoint is a run folder, one of our .safetensors, a weights file with --model and --dataset, or a source with
    cached pretrained weights. What is there already is not done again.
    """
    from robustbench_msda import verbs
    from robustbench_msda.cli.display import progress
    from robustbench_msda.cli.score import print_headlines
    from robustbench_msda.opening import Foreign

    place = options.place(data_dir, results, device, batch_size, allow_partial=allow_partial)
    limits = dict.fromkeys(options.listed(benchmarks), limit) or limit
    foreign = Foreign(model, dataset, mean, std)
    fingerprints, failures = [], 0
    for argument in checkpoints:
        planned = verbs.plan(argument, limits, foreign=foreign, place=place, sources=sources)
        announce(argument, planned.cells)
        if dry_run:
            announce_hours(planned, place)
            continue
        announce_preflight(argument, planned, foreign)
        with progress("evaluating", "images") as update:
            failed = verbs.carry_out(planned, place, update)
        announce_failures(argument, failed)
        failures += len(failed)
        fingerprints.append(planned.checkpoint.fingerprint)
    if fingerprints:
        print_headlines(verbs.score(fingerprints, place=place, name=""))
    return options.SOME_FAILED if failures else 0


def announce(argument: str, plan: Plan) -> None:
    """Say on stderr how many cells there are, how many are missing, and what cannot run here."""
    cells = Counter(task.benchmark.name for task in plan.tasks)
    missing = Counter(task.benchmark.name for task in plan.missing)
    told = ", ".join(f"{name} {n - missing[name]}/{n}" for name, n in cells.items())
    click.echo(f"{argument}: cells done: {told}", err=True)
    for name, lack in plan.skipped.items():
        click.echo(f"{argument}: skipped {name}: {lack.reason}; {lack.remedy}", err=True)
    for name, conditions in plan.lacking.items():
        click.echo(f"{argument}: {name} is not all here; missing: {', '.join(conditions)}", err=True)


def announce_preflight(argument: str, planned: Planned, foreign: Foreign) -> None:
    """Say on stderr how a stranger's checkpoint does under the normalisation that is assumed, and what seems wrong."""
    from robustbench_msda import preflight
    from robustbench_msda.cli.display import progress

    for line in preflight.other_view(planned):
        click.echo(f"{argument}: {line}", err=True)
    with progress("preflight", "images") as update:
        found = preflight.findings(planned, foreign, update)
    for line in found:
        click.echo(f"{argument}: {line}", err=True)


def announce_failures(argument: str, failed: Mapping[Cell, UserError]) -> None:
    """Say on stderr which cells could not be done, and why, a line a reason."""
    by_reason: dict[str, list[str]] = {}
    for cell, reason in failed.items():
        name = " ".join(filter(None, (cell.benchmark, cell.condition, cell.level)))
        by_reason.setdefault(str(reason), []).append(name)
    for told, names in by_reason.items():
        click.echo(f"{argument}: failed: {', '.join(dict.fromkeys(names))}: {told}", err=True)


def announce_hours(planned: Planned, place: Place) -> None:
    """Say how long the missing cells would take."""
    from robustbench_msda.estimates import evaluation_hours

    hours = evaluation_hours(planned, place)
    click.echo(f"{planned.path}: {len(planned.cells.missing)} cells missing, about {60 * hours:.1f} min")
