"""The scores of corruption benchmarks, made or official: by condition, by corruption, and over corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robustbench_msda.benchmarks.base import Baseline, Basis
from robustbench_msda.benchmarks.rows import condition_scores
from robustbench_msda.conditions import FIFTEEN, STAND_INS, TWELVE
from robustbench_msda.corruptions.three_d import CORRUPTIONS_3DCC
from robustbench_msda.metrics.baselines import ALEXNET, ROBUSTBENCH5K, ROBUSTBENCH5K_3DCC, Normaliser
from robustbench_msda.metrics.corruption import corruption_error, relative_corruption_error
from robustbench_msda.records import Cell, Predictions, Score

LEVELS = ("1", "2", "3", "4", "5")
Errors = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Suite:
    """What the aggregates of a corruption benchmark are over.

    Attributes:
        tested: the corruptions that aggregates are over; others are for validation, and scored one by one.
        normalisers: published networks whose errors divide.
        made: the stimuli were made here; aggregates say so.
    """

    tested: tuple[str, ...] = FIFTEEN
    normalisers: tuple[Normaliser, ...] = ()
    made: bool = False


CIFAR_SUITE = Suite()
MADE_SUITE = Suite(made=True)
IMAGENET_SUITE = Suite(normalisers=(ALEXNET, ROBUSTBENCH5K))
THREE_D_SUITE = Suite(TWELVE, (ROBUSTBENCH5K_3DCC,))
# Those of the twelve that need no depth.
MADE_THREE_D_SUITE = Suite(tuple(CORRUPTIONS_3DCC), made=True)


def corruption_scores(
    cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis, suite: Suite
) -> Iterator[Score]:
    """Yield the scores of every condition, then those of every corruption, then those over corruptions.

    A corruption without all five severities, and a mean without all corruptions, is left out unless the basis allows
    partial aggregates, which say what they are of.

    Args:
        cells: the complete conditions of one world.
        classes: names, in label order.
        basis: the clean error, a baseline, and whether aggregates may be partial.
        suite: what aggregates are over.
    """
    errors: dict[str, dict[str, float]] = {}
    calibration: dict[str, dict[str, float]] = {}
    benchmark = ""
    for cell, predictions in cells.items():
        benchmark = cell.benchmark
        for score in condition_scores(cell, predictions, classes):
            table = {"error": errors, "rms_calibration": calibration}.get(score.metric)
            if table is not None and score.subset == "all":
                table.setdefault(cell.condition, {})[cell.level] = score.value
            yield score
    yield from aggregates(benchmark, errors, calibration, basis, suite)


def aggregates(benchmark: str, errors: Errors, calibration: Errors, basis: Basis, suite: Suite) -> Iterator[Score]:
    """Yield the scores of every corruption and over corruptions.

    Args:
        benchmark: its name.
        errors: corruption and level to error.
        calibration: corruption and level to RMS calibration error; may lack conditions.
        basis: see ``corruption_scores``.
        suite: see ``corruption_scores``.
    """
    usable = {name: levels for name, levels in errors.items() if basis.allow_partial or set(levels) == set(LEVELS)}
    normalisers = [*suite.normalisers, *([as_normaliser(basis.baseline, usable)] if basis.baseline else [])]
    for name, levels in usable.items():
        flags = told("" if len(levels) == len(LEVELS) else f"partial: severities {', '.join(sorted(levels))}")
        values = {"corruption_error": float(np.mean(list(levels.values())))}
        for normaliser in normalisers:
            values |= normalised(name, levels, normaliser, basis.clean_error)
        for metric, value in values.items():
            yield Score(benchmark, metric, value, len(levels), condition=name, flags=flags)
    tested = [present for name in suite.tested if (present := standing_in(name, usable))]
    if not tested or (len(tested) < len(suite.tested) and not basis.allow_partial):
        return
    flags = mean_flags(tested, usable, suite)
    yield from means(benchmark, {name: usable[name] for name in tested}, normalisers, basis, flags)
    yield from calibration_means(benchmark, tested, calibration, flags)


def means(
    benchmark: str, errors: Errors, normalisers: Sequence[Normaliser], basis: Basis, flags: str
) -> Iterator[Score]:
    """Yield the means over the corruptions of ``errors``: raw, and normalised where the normaliser has them all."""
    raw = [float(np.mean(list(levels.values()))) for levels in errors.values()]
    yield Score(benchmark, "mean_corruption_error", float(np.mean(raw)), len(raw), flags=flags)
    for normaliser in normalisers:
        each = [normalised(name, levels, normaliser, basis.clean_error) for name, levels in errors.items()]
        for metric in dict.fromkeys(metric for values in each for metric in values):
            if all(metric in values for values in each):
                value = float(np.mean([values[metric] for values in each]))
                name = metric.replace("corruption_error", "mce")
                yield Score(benchmark, name, value, len(each), flags=told(flags, normaliser.caution))


def normalised(
    corruption: str, levels: Mapping[str, float], normaliser: Normaliser, clean_error: float | None
) -> dict[str, float]:
    """Return the normalised and, where the clean error is known, the relative error of one corruption, by metric.

    Both sums run over the severities that are there. Relative errors are left out where the normaliser gains by the
    corruption, as a short-trained one may.
    """
    baseline = normaliser.errors.get(corruption, ())
    if len(baseline) != len(LEVELS):
        return {}
    at = [LEVELS.index(level) for level in levels]
    errors = np.array([list(levels.values())])
    divisor = np.array([np.mean([baseline[k] for k in at])])
    if not np.isfinite(divisor[0]) or divisor[0] <= 0:
        return {}
    values = {f"corruption_error_{normaliser.name}": float(corruption_error(errors, divisor)[0])}
    if clean_error is not None and divisor[0] > normaliser.clean_error:
        relative = relative_corruption_error(errors, clean_error, divisor, normaliser.clean_error)
        values[f"relative_corruption_error_{normaliser.name}"] = float(relative[0])
    return values


def as_normaliser(baseline: Baseline, errors: Errors) -> Normaliser:
    """Return another checkpoint as the normaliser of ``errors``; what it was not evaluated on is NaN."""
    table = {name: tuple(baseline.errors.get((name, level), float("nan")) for level in LEVELS) for name in errors}
    clean = float("inf") if baseline.clean_error is None else baseline.clean_error
    return Normaliser("baseline", table, clean, f"normalised by {baseline.name}")


def calibration_means(benchmark: str, tested: Sequence[str], calibration: Errors, flags: str) -> Iterator[Score]:
    """Yield the RMS calibration error averaged over corruptions: at each severity, and over all of them.

    By severity as Figure 9 of seed 000 has it; over all cells as PixMix (Hendrycks et al. 2022) prints it.
    """
    everything: list[float] = []
    for level in LEVELS:
        values = [calibration[name][level] for name in tested if level in calibration.get(name, {})]
        if len(values) == len(tested):
            everything += values
            yield Score(
                benchmark, "mean_rms_calibration", float(np.mean(values)), len(values), level=level, flags=flags
            )
    if len(everything) == len(tested) * len(LEVELS):
        yield Score(benchmark, "mean_rms_calibration", float(np.mean(everything)), len(everything), flags=flags)


def standing_in(name: str, errors: Errors) -> str:
    """Return ``name`` where it is among ``errors``, else its stand-in where that is, else nothing."""
    return next((found for found in (name, STAND_INS.get(name, "")) if found in errors), "")


def mean_flags(tested: Sequence[str], errors: Errors, suite: Suite) -> str:
    """Return what a reader must know of means over ``tested``."""
    cells = sum(len(errors[name]) for name in tested)
    whole = len(suite.tested) * len(LEVELS)
    stand_ins = [f"{made} for {name}" for name, made in STAND_INS.items() if made in tested]
    return told(
        "made" if suite.made else "",
        *stand_ins,
        f"partial: {len(tested)} of {len(suite.tested)} corruptions, {cells} of {whole} cells" if cells < whole else "",
    )


def told(*flags: str) -> str:
    """Return the ``flags`` that say something, as one text."""
    return "; ".join(filter(None, flags))
