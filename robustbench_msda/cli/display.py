"""Progress and tables on a terminal. Data goes to stdout, progress to stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from robustbench_msda.progress import Progress

LINE_EVERY = 30.0


@contextmanager
def progress(what: str, unit: str) -> Iterator[Progress]:
    """Yield a progress function: a bar with rate and time left on a terminal, elsewhere a line every half minute."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(what, unit, console) as update:
            yield update
    else:
        yield _lines(what, unit)


@contextmanager
def _bar(what: str, unit: str, console: object) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    if not isinstance(console, Console):
        raise TypeError(f"expected a Console, got {type(console).__name__}")
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None, rate="", note="")
        began = time.monotonic()
        first = -1

        def update(done: int, total: int, note: str = "") -> None:
            nonlocal first
            first = done if first < 0 else first
            rate = (done - first) / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=done, total=total, note=note, rate=f"{rate:.4g} {unit}/s" if rate else "")

        yield update


def _lines(what: str, unit: str) -> Progress:
    began = spoken = time.monotonic()
    first = -1

    def update(done: int, total: int, note: str = "") -> None:
        nonlocal spoken, first
        first = done if first < 0 else first
        now = time.monotonic()
        if now - spoken < LINE_EVERY:
            return
        spoken = now
        rate = (done - first) / (now - began)
        left = f", {(total - done) / rate / 60:.1f} min left" if rate else ""
        text = f"{what}: {done}/{total} {unit}, {rate:.4g} {unit}/s{left}"
        click.echo(f"{text} ({note})" if note else text, err=True)

    return update


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns of text to stdout, aligned; plain, so that it can be piped."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    for row in (header, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
