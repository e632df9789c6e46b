"""The scores of perturbation benchmarks, made or official: how far answers move along a video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.benchmarks.base import Basis
from robustbench_msda.benchmarks.corruption_scores import told
from robustbench_msda.conditions import TEN, TEN_OF_SCRIPTS
from robustbench_msda.metrics.baselines import ALEXNET_FLIP_CAUTION, ALEXNET_FLIP_PROBABILITY
from robustbench_msda.metrics.perturbation import Against, flip_probability, mean_flip_rate, top5_distance
from robustbench_msda.records import Cell, Predictions, Score


@dataclass(frozen=True)
class PerturbationSuite:
    """What the aggregates of a perturbation benchmark are over.

    Attributes:
        alexnet: normalise by AlexNet's flip probabilities, which are those of ImageNet-P at 224 px.
        made: the stimuli were made here; aggregates say so.
    """

    alexnet: bool = False
    made: bool = False


def perturbation_scores(cells: Mapping[Cell, Predictions], basis: Basis, suite: PerturbationSuite) -> Iterator[Score]:
    """Yield flip probability and top-5 distance of every perturbation, then their means over the ten.

    Args:
        cells: the complete conditions of one world: rows video by video, frames in order.
        basis: a baseline whose flip probabilities normalise, and whether aggregates may be partial.
        suite: what aggregates are over.
    """
    flips: dict[str, float] = {}
    distances: dict[str, float] = {}
    benchmark = ""
    for cell, predictions in cells.items():
        benchmark, name = cell.benchmark, cell.condition
        answers = as_videos(predictions)
        against: Against = "first" if "noise" in name else "previous"
        flips[name] = flip_probability(answers[..., 0], against)
        distances[name] = top5_distance(answers, against)
        yield Score(benchmark, "flip_probability", flips[name], len(answers), condition=name)
        yield Score(benchmark, "top5_distance", distances[name], len(answers), condition=name)
    yield from aggregates(benchmark, flips, distances, basis, suite)


def aggregates(
    benchmark: str, flips: Mapping[str, float], distances: Mapping[str, float], basis: Basis, suite: PerturbationSuite
) -> Iterator[Score]:
    """Yield the means over the ten of the paper, and the mean flip probability over the ten of the scripts."""
    made = "made" if suite.made else ""
    for metric, ten, values in (
        ("mean_flip_probability", TEN, flips),
        ("mean_flip_probability_spatter", TEN_OF_SCRIPTS, flips),
        ("mean_top5_distance", TEN, distances),
    ):
        if found := averaged(ten, values, basis):
            flags = told(made, partial(found))
            yield Score(benchmark, metric, float(np.mean([values[name] for name in found])), len(found), flags=flags)
    normalisers = {"alexnet": (ALEXNET_FLIP_PROBABILITY, ALEXNET_FLIP_CAUTION)} if suite.alexnet else {}
    if basis.baseline:
        own = {name: error for (name, _), error in basis.baseline.errors.items()}
        normalisers["baseline"] = (own, f"normalised by {basis.baseline.name}")
    for name, (baseline, caution) in normalisers.items():
        found = averaged(TEN, flips, basis)
        if found and all(baseline.get(each, 0) > 0 for each in found):
            rate = mean_flip_rate(
                np.array([flips[each] for each in found]), np.array([baseline[each] for each in found])
            )
            yield Score(benchmark, f"mfr_{name}", rate, len(found), flags=told(made, partial(found), caution))


def averaged(ten: Sequence[str], values: Mapping[str, float], basis: Basis) -> list[str]:
    """Return the perturbations of ``ten`` that a mean is over; none where some are missing and may not be."""
    found = [name for name in ten if name in values]
    return found if len(found) == len(ten) or basis.allow_partial else []


def partial(found: Sequence[str]) -> str:
    """Return what a mean over ``found`` is of, where it is not of ten."""
    return "" if len(found) == len(TEN) else f"partial: {len(found)} of {len(TEN)} perturbations"


def as_videos(predictions: Predictions) -> NDArray[np.int16]:
    """Return the first five answers (videos, frames, 5) of rows that go video by video.

    Raises:
        ValueError: the rows are no videos of one number of frames.
    """
    frames = int(predictions.frame.max()) + 1 if len(predictions) else 0
    if not frames or len(predictions) % frames or (predictions.frame.reshape(-1, frames) != np.arange(frames)).any():
        raise ValueError(f"expected videos of {frames} frames each, got {len(predictions)} rows in another order")
    return predictions.top5.reshape(-1, frames, predictions.top5.shape[1])
