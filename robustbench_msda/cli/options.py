"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from robustbench_msda.evaluation import Place

F = TypeVar("F", bound=Callable[..., Any])

# The exit status where some of the work failed and is named.
SOME_FAILED = 3

FOLDER = click.Path(path_type=Path, file_okay=False)

data_dir = click.option(
    "--data-dir",
    type=FOLDER,
    envvar="ROBUSTBENCH_MSDA_DATA",
    default=Path("data"),
    show_default="$ROBUSTBENCH_MSDA_DATA, else data",
    help="Where data sets are.",
)
results = click.option(
    "--results", type=FOLDER, default=Path("results"), show_default=True, help="Where results are kept."
)
reports = click.option(
    "--reports", type=FOLDER, default=Path("reports"), show_default=True, help="Where reports are written."
)
device = click.option("--device", default="", show_default="cuda where there is one, else cpu", help="Such as cuda:1.")
batch_size = click.option(
    "--batch-size", type=click.IntRange(1), default=250, show_default=True, help="Images a batch of evaluation."
)
limit = click.option(
    "--limit",
    type=click.IntRange(0),
    default=0,
    show_default="all",
    help="Take N test images, evenly spread; kept apart from full results.",
)
allow_partial = click.option(
    "--allow-partial", is_flag=True, help="Take what is there of incomplete benchmarks; their aggregates say so."
)


def sources(told: str, *, required: bool = False) -> Callable[[F], F]:
    """Return the option that selects substitutes."""
    return click.option("--sources", multiple=True, required=required, metavar="SEL", help=told)


def listed(names: str) -> list[str]:
    """Return the stored names in a text of names between commas; ``-`` reads as ``_``."""
    return [name.strip().replace("-", "_") for name in names.split(",") if name.strip()]


def place(
    data_dir: Path, results: Path, device: str = "cpu", batch_size: int = 250, *, allow_partial: bool = False
) -> Place:
    """Return where work is done; the device that was asked for is checked."""
    from robustbench_msda.evaluation import Place

    return Place(data_dir, results, found_device(device), batch_size, allow_partial)


def found_device(name: str) -> str:
    """Return the device ``name``, or the best there is where it is empty.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    from robustbench_msda.errors import UserError

    if not name:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"--device {name}: not usable here ({reason}); try --device cpu") from None
    return name
