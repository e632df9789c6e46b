"""``robustbench-msda data``."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_msda.cli import options


@click.group()
def data() -> None:
    """Prepare data sets, and check what is there."""


@data.command(epilog="Example: robustbench-msda data prepare cifar10 --from downloads/cifar-10-batches-py")
@click.argument("name")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), required=True, help="A folder or archive of the data set."
)
@options.data_dir
def prepare(name: str, source: Path, data_dir: Path) -> None:
    """Bring the data set NAME into the data folder, memory-mappable.

    The source is the official CIFAR folder or archive, class folders (train|test)/<class>/*.png|jpg as a folder, zip or
    tar, or arrays {train,test}/images.npy, labels.npy and classes.txt. Any other NAME makes a data set of your own.
    """
    from robustbench_msda.cli.display import progress
    from robustbench_msda.data.prepare import prepare as prepare_data

    with progress(f"preparing {name}", "images") as update:
        dataset = prepare_data(name, source, data_dir, update)
    counts = ", ".join(f"{len(dataset.labels(split)):,} {split}" for split in dataset.splits)
    click.echo(
        f"{dataset.name}: {counts} images of {dataset.side} px in {len(dataset.classes)} classes: {dataset.root}"
    )


@data.command(epilog="Example: robustbench-msda data check --data-dir /data/vision")
@options.data_dir
def check(data_dir: Path) -> None:
    """Say of every data set whether it is found, not found or damaged, where that was looked for, and how to get it."""
    from robustbench_msda.cli.display import table
    from robustbench_msda.data.check import check as check_data

    rows = []
    for status in check_data(data_dir):
        told = (status.detail, status.get) if status.state == "not found" else (status.detail,)
        rows.append([status.name, status.state, status.where, "; ".join(filter(None, told))])
    table(["data set", "state", "where", ""], rows)
