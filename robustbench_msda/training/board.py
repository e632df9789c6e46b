"""The log of a run for TensorBoard, beside ``log.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from robustbench_msda.errors import UserError

FOLDER = "tensorboard"


class Board(Protocol):
    """What takes the rows of a log."""

    def __call__(self, row: Mapping[str, float]) -> None:
        """Show one epoch's row."""


def hidden(row: Mapping[str, float]) -> None:  # noqa: ARG001
    """Show nothing."""


@contextmanager
def board(out: Path, epoch: int, wanted: bool) -> Iterator[Board]:
    """Give what shows each row of the log in TensorBoard; nothing where it is not ``wanted``.

    Args:
        out: the run folder; the event files go to its folder ``tensorboard``.
        epoch: epochs that are done: what an earlier, killed call showed after them is hidden.
        wanted: whether it is asked for.

    Raises:
        UserError: TensorBoard is not installed.
    """
    if not wanted:
        yield hidden
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard: it is not installed; run: pip install 'robustbench-msda[tensorboard]'"
        ) from None
    with SummaryWriter(str(out / FOLDER), purge_step=epoch + 1) as writer:

        def show(row: Mapping[str, float]) -> None:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(row["epoch"]))

        yield show
