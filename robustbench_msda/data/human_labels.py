"""CIFAR-10H: how people answer the CIFAR-10 test images, in their official order.

Peterson, Battleday, Griffiths and Russakovsky, "Human uncertainty makes classification more robust", ICCV 2019; the
files are those of jcpeterson/cifar-10h 597cbc5, ``data``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.check_survey import Row, Survey
from robustbench_msda.data.stored import read_array
from robustbench_msda.errors import DamagedData
from robustbench_msda.progress import Progress

PROBS, COUNTS = "cifar10h-probs.npy", "cifar10h-counts.npy"
AGAIN = "get it again"


@dataclass(frozen=True)
class HumanLayout:
    """``cifar10h-probs.npy``, or the counts of answers that it was made of.

    Attributes:
        name: snake_case.
        official: the authors' name of it.
        images: how many rows there are.
        classes: how many columns.
    """

    name: str = "cifar10h"
    official: str = "CIFAR-10H"
    images: int = 10_000
    classes: int = 10

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of its files."""
        return (PROBS, COUNTS)

    def lacking(self, folder: Path, tops: Sequence[str]) -> list[str]:
        """Return which of the files ``tops`` are not there."""
        return [top for top in tops if not (folder / top).is_file()]

    def quick(self, folder: Path, data_dir: Path) -> Survey:  # noqa: ARG002
        """Return what the files hold; one of the two will do."""
        lacking = self.lacking(folder, self.tops)
        missing = (PROBS,) if len(lacking) == len(self.tops) else ()
        present = [top for top in self.tops if top not in lacking]
        wrong = tuple(fault for top in present for fault in self._faults(folder / top))
        absent = tuple(lacking) if not missing else ()
        return Survey(missing, absent, wrong, f"answers to {self.images:,} images, {self.classes} classes")

    def full(self, folder: Path, data_dir: Path, progress: Progress) -> Survey:
        """Return the same, a row a file."""
        survey = self.quick(folder, data_dir)
        rows = [Row(top.removesuffix(".npy"), "", "") for top in self.tops if (folder / top).is_file()]
        progress(1, 1, self.name)
        return Survey(survey.missing, survey.absent, survey.wrong, survey.detail, tuple(rows))

    def _faults(self, path: Path) -> Iterator[str]:
        try:
            found = read_answers(path)
        except DamagedData as error:
            yield str(error)
            return
        if found.shape != (self.images, self.classes):
            yield f"{path}: expected shape {(self.images, self.classes)}, found {found.shape}; {AGAIN}"


def answers_file(folder: Path) -> Path | None:
    """Return the file of answers in ``folder``: the counts, which say more, else the shares; None without either."""
    return next((folder / name for name in (COUNTS, PROBS) if (folder / name).is_file()), None)


def read_answers(path: Path) -> NDArray[np.float64]:
    """Return (n, K) how many people, or what share of them, chose each class.

    Raises:
        DamagedData: it is no such array: negative, not finite, a row that is empty or, of shares, does not sum to 1.
    """
    found = read_array(path)
    if found.ndim != 2 or found.dtype.kind not in "iuf":
        raise DamagedData(f"{path}: expected numbers (images, classes), found {found.shape} {found.dtype}; {AGAIN}")
    answers = found.astype(np.float64)
    sums = answers.sum(axis=1)
    if not np.isfinite(answers).all() or (answers < 0).any() or (sums <= 0).any():
        raise DamagedData(f"{path}: expected what people answered, at least 0 and not all 0 in a row; {AGAIN}")
    shares = path.name == PROBS
    if shares and (abs(sums - 1) > 1e-6).any() or not shares and (answers != np.rint(answers)).any():
        kind = "shares that sum to 1 in every row" if shares else "whole numbers"
        raise DamagedData(f"{path}: expected {kind}, found others; {AGAIN}")
    return answers
