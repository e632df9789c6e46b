"""How long work tells that it moves: one callable, drawn by the command line and silent elsewhere."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: ``done`` of ``total`` units, and a ``note`` to show beside the bar."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that ``done`` of ``total`` units are done."""


def silent(done: int, total: int, note: str = "") -> None:  # noqa: ARG001
    """Show nothing."""


def within(progress: Progress, base: int, whole: int) -> Progress:
    """Return what tells ``progress`` of a stretch of longer work, which is ``whole`` units and begins at ``base``."""

    def told(done: int, total: int, note: str = "") -> None:  # noqa: ARG001
        progress(base + done, whole, note)

    return told
