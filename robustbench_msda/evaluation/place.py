"""Where work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robustbench_msda.results.store import Results

BATCH_SIZE = 250


@dataclass(frozen=True)
class Place:
    """Where work is done: the common options of the command line.

    Attributes:
        data_dir: where data sets are.
        results: the results folder.
        device: ``cpu``, ``cuda``, ``cuda:1`` …
        batch_size: images a batch of evaluation.
        allow_partial: evaluate and aggregate what is there of official files that are not all there, and say so.
    """

    data_dir: Path = Path("data")
    results: Path = Path("results")
    device: str = "cpu"
    batch_size: int = BATCH_SIZE
    allow_partial: bool = False

    @property
    def store(self) -> Results:
        """The results folder, opened."""
        return Results(Path(self.results))
