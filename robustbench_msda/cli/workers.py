"""The options that say who does the work of a study."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from robustbench_msda.cli.train import assignments

if TYPE_CHECKING:
    from robustbench_msda.engines import Workers

OPTIONS = (
    click.option("--workers", "count", type=click.IntRange(1), default=1, show_default=True, help="Items at once."),
    click.option(
        "--threads",
        type=click.IntRange(0),
        default=0,
        show_default="cores ÷ workers; slurm: 1",
        help="Cores of each; another number rounds otherwise.",
    ),
    click.option("--engine", default="local", show_default=True, help="local (processes), ray or slurm."),
    click.option("--address", default="", help="Of a Ray cluster that runs.  [default: start one on this machine]"),
    click.option(
        "--engine-option",
        "engine_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="For ray.init, or submitit: slurm_partition=gpu, timeout_min=600, cluster=local …",
    ),
)


def workers(command: Callable[..., int]) -> Callable[..., int]:
    """Return ``command`` with the options that make its argument ``workers``."""

    @functools.wraps(command)
    def with_options(
        count: int, threads: int, engine: str, address: str, engine_options: tuple[str, ...], **others: Any
    ) -> int:
        return command(workers=made(count, threads, engine, address, engine_options), **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(OPTIONS), with_options)


def made(count: int, threads: int, engine: str, address: str, texts: tuple[str, ...]) -> Workers:
    """Return the workers that the options describe.

    Raises:
        UsageError: an engine option has no ``=``.
        UnknownName: there is no such engine.
    """
    from robustbench_msda.engines import ENGINES, Workers
    from robustbench_msda.errors import pick

    pick(ENGINES, engine, "engine")
    given = assignments(texts, "--engine-option")
    # TOML reads 12:30:00 as a time of day; to Slurm it is a limit.
    settings = {
        name: value if isinstance(value, bool | int | float | str | list | dict) else str(value)
        for name, value in given.items()
    }
    return Workers(count, threads, engine, address, settings)
