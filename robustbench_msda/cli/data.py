"""``robustbench-msda data``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    from robustbench_msda.data.check import DataStatus
    from robustbench_msda.data.check_survey import Layout


@click.group()
def data() -> None:
    """Fetch and prepare data sets and benchmarks, and check what is there."""


@data.command(epilog="Example: robustbench-msda data prepare cifar10 --from downloads/cifar-10-batches-py")
@click.argument("name")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), required=True, help="A folder or archive of the data set."
)
@options.data_dir
def prepare(name: str, source: Path, data_dir: Path) -> None:
    """Bring the data set NAME into the data folder, memory-mappable.

    The source is the official CIFAR folder or archive, the four idx files of Fashion-MNIST or, beside classes.txt, of a
    set like it, class folders (train|test)/<class>/*.png|jpg as a folder, zip or tar, or arrays
    {train,test}/images.npy, labels.npy and classes.txt. Any other NAME makes a data set of your own.
    """
    from robustbench_msda.cli.display import progress
    from robustbench_msda.data.prepare import prepare as prepare_data

    with progress(f"preparing {name}", "images") as update:
        dataset = prepare_data(name, source, data_dir, update)
    counts = ", ".join(f"{len(dataset.labels(split)):,} {split}" for split in dataset.splits)
    click.echo(
        f"{dataset.name}: {counts} images of {dataset.side} px in {len(dataset.classes)} classes: {dataset.root}"
    )


@data.command(epilog="Example: robustbench-msda data fetch cifar10-c")
@click.argument("name")
@options.data_dir
def fetch(name: str, data_dir: Path) -> None:
    """Fetch the official archives of the data set or benchmark NAME, verify and unpack them, prepare what needs it.

    After an interruption the same command goes on where it was. What is there already is not fetched again.
    """
    from robustbench_msda.cli.display import progress
    from robustbench_msda.data.fetch import fetch as fetch_data

    fetched = fetch_data(name, data_dir, progress)
    for one in fetched.arrived:
        note = "verified" if one.published else "recorded, since none is published to verify it with"
        click.echo(f"{one.filename}: md5 {one.md5} {note}")
    click.echo(f"{fetched.folder}: {'complete' if fetched.arrived else 'was there already: nothing was fetched'}")


@data.command(epilog="Example: robustbench-msda data check cifar10-c --data-dir /data/vision")
@click.argument("name", required=False)
@options.data_dir
def check(name: str | None, data_dir: Path) -> None:
    """Say of every data set and benchmark whether it is found, where, what lacks or is wrong, and how to get it.

    With a NAME, look at all of that one: every file's checksum or, of class folders, every file's name and size.
    Leaves with status 1 unless that is found whole.
    """
    from robustbench_msda.data.check import check as check_data
    from robustbench_msda.data.check_benchmarks import check_benchmarks
    from robustbench_msda.data.check_layouts import LAYOUTS, benchmark_name

    if name is None:
        _show([*check_data(data_dir), *check_benchmarks(data_dir)])
    elif (key := benchmark_name(name)) in LAYOUTS:
        _check_layout(LAYOUTS[key], data_dir)
    else:
        _check_dataset(key, data_dir)


def _check_layout(layout: Layout, data_dir: Path) -> None:
    """Print every piece of a benchmark and all that is wrong with it."""
    from robustbench_msda.cli.display import progress, table
    from robustbench_msda.data.check_benchmarks import check_benchmark

    with progress(f"checking {layout.name}", "pieces") as update:
        status, rows, faults = check_benchmark(layout, data_dir, update)
    if rows:
        table(["condition", "level", "sha256", ""], [[r.condition, r.level, r.checksum, r.detail] for r in rows])
    for fault in faults:
        click.echo(fault)
    _conclude(status)


def _check_dataset(name: str, data_dir: Path) -> None:
    """Print the status of one data set, known or the user's own."""
    from robustbench_msda.data.check import check_one
    from robustbench_msda.data.check_layouts import LAYOUTS
    from robustbench_msda.data.known import DATASETS
    from robustbench_msda.errors import unknown

    if name not in DATASETS and not (data_dir / name).is_dir():
        raise unknown(name, (*DATASETS, *LAYOUTS), "data set or benchmark")
    _conclude(check_one(name, data_dir))


def _conclude(status: DataStatus) -> None:
    """Print a status, or raise ``UserError`` where it is not what one hopes for."""
    from robustbench_msda.errors import UserError

    if status.state not in ("found", "embedded"):
        raise UserError(f"{status.name}: {status.state}: {status.where}: {_told(status)}")
    _show([status])


def _show(statuses: Iterable[DataStatus]) -> None:
    from robustbench_msda.cli.display import table

    table(["data", "state", "where", ""], [[each.name, each.state, each.where, _told(each)] for each in statuses])


def _told(status: DataStatus) -> str:
    """Return what is said of a status, and how to get what is not there."""
    told = (status.detail, status.get) if status.state in ("not found", "partial") else (status.detail,)
    return "; ".join(filter(None, told))


@data.command(epilog="Example: robustbench-msda data corrupt cifar10 --out data/cifar10_c_made --workers 4")
@click.argument("name")
@click.option("--out", type=options.FOLDER, required=True, help="The folder to write.")
@click.option("--corruptions", default="", metavar="NAMES", help="Names between commas.  [default: all]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes at once.")
@options.data_dir
@options.device
def corrupt(name: str, out: Path, corruptions: str, workers: int, data_dir: Path, device: str) -> int:
    """Write the corrupted test images of the data set NAME in the layout of CIFAR-C or ImageNet-C.

    They are those of the benchmark NAME_c_made: images of 32 px as arrays, larger ones as JPEG files of quality 85. An
    interrupted command goes on where it was.
    """
    from robustbench_msda.cli.display import progress
    from robustbench_msda.corrupting import write_corrupted

    chosen = [each.strip() for each in corruptions.split(",") if each.strip()]
    found = options.found_device(device)
    with progress(f"corrupting {name}", "pieces") as update:
        outcomes = write_corrupted(name, data_dir, out, chosen, workers=workers, device=found, progress=update)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"failed: {outcome.id}: {outcome.error}", err=True)
    click.echo(f"{out}: {len(outcomes) - len(failed)} pieces made")
    return options.SOME_FAILED if failed else 0
