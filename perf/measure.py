"""Ratios of two pieces of work, measured in turns in one run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAIRS = 15


@dataclass(frozen=True)
class Row:
    """One measured ratio: the median of its pairs, and the interval that holds the true median in 95 of 100 cases."""

    name: str
    ratio: float
    low: float
    high: float
    unit: str


def use_one_core() -> None:
    """Keep this process and its threads on one core, where the system allows it: running ahead then costs time too."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def paired(numerator: Callable[[], object], denominator: Callable[[], object], pairs: int = PAIRS) -> list[float]:
    """Return the time of ``numerator`` over that of ``denominator``, once a pair; a first pair warms both up.

    Every other pair runs in the opposite order, so that a machine that slows down favours neither.
    """
    ratios = []
    for number in range(pairs + 1):
        if number % 2:
            top = seconds(numerator)
            bottom = seconds(denominator)
        else:
            bottom = seconds(denominator)
            top = seconds(numerator)
        ratios.append(top / bottom)
    return ratios[1:]


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def summary(name: str, ratios: Sequence[float], unit: str) -> Row:
    """Return the row of ``ratios``; its interval is a pair of order statistics (4th and 12th of 15: 96 %)."""
    ordered = sorted(ratios)
    out = max(0, int(len(ordered) / 2 - 0.98 * len(ordered) ** 0.5))
    return Row(name, ordered[len(ordered) // 2], ordered[out], ordered[-1 - out], unit)
