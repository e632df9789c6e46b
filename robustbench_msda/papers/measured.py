"""Our number for a printed one, in its unit: a mean over networks, or what a table makes of several such means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from robustbench_msda.metrics.baselines import ALEXNET_FLIP_PROBABILITY
from robustbench_msda.metrics.class_dependency import ClassDependency, class_dependency
from robustbench_msda.papers.material import MADE, Material, Terms
from robustbench_msda.papers.printed import Number, Place
from robustbench_msda.results.recalls import side_counts

VANILLA = "vanilla"
# How a fraction of ours is printed.
SCALES: dict[str, Callable[[float], float]] = {
    "percent": lambda value: 100 * value,
    "accuracy": lambda value: 100 * (1 - value),
    "points": lambda value: 100 * value,
    "plain": lambda value: value,
    "millions": lambda value: value / 1e6,
}
COUNTS = {
    "n_degraded_classes": lambda found: found.degraded.n,
    "n_improved_classes": lambda found: found.improved.n,
    "mean_recall_change_degraded": lambda found: found.degraded.mean,
    "recall_change_deviation_degraded": lambda found: found.degraded.std_sample,
}
CONFIDENCES = {"mean_confidence_change_degraded": -1, "mean_confidence_change_improved": 1}


@dataclass(frozen=True)
class Measured:
    """One number of ours, in the unit that the paper prints.

    Attributes:
        value: over ``n`` networks.
        spread: their standard deviation (ddof 1); NaN where there is none.
        n: networks; 0 where the number is none of networks.
        substituted: whether something else stands for the data set, model or augmentation of the table.
        made: whether the stimuli were made here.
        shorter: whether a network was trained for fewer epochs than any of the paper's table.
        networks: fingerprints.
    """

    value: float
    spread: float = math.nan
    n: int = 0
    substituted: bool = False
    made: bool = False
    shorter: bool = False
    networks: tuple[str, ...] = ()


def measured_cells(
    cells: Mapping[Place, Sequence[Number]], material: Material, terms: Terms, epochs: int
) -> dict[Place, tuple[Measured | None, ...]]:
    """Return our number for every printed one of ``cells``, None where there is none.

    Args:
        cells: the paper's numbers.
        material: where ours are from.
        terms: what stands for what.
        epochs: of the paper's networks, the fewest.

    Raises:
        UserError: the rows of a number are of several recipes or worlds.
    """
    direct = {place: tuple(measure(each, material, terms) for each in numbers) for place, numbers in cells.items()}
    return {
        place: tuple(
            timed(found or derived(number, place, cells, direct, terms), material, epochs)
            for number, found in zip(numbers, direct[place], strict=True)
        )
        for place, numbers in cells.items()
    }


def measure(number: Number, material: Material, terms: Terms) -> Measured | None:
    """Return our mean for ``number``; None where nothing of ours was measured, or nothing stands for it."""
    if not number.augmentation or number.model == "mean" or not printable(number):
        return None
    ours = terms.ours(number)
    for benchmark in (ours.benchmark, *([ours.benchmark + MADE] if terms.allow_made else [])):
        found = measure_here(replace(ours, benchmark=benchmark), material)
        if found is not None:
            names = (number.dataset, number.model, number.augmentation, number.condition)
            substituted = names != (ours.dataset, ours.model, ours.augmentation, ours.condition)
            return replace(found, substituted=substituted, made=benchmark.endswith(MADE))
    return None


def printable(number: Number) -> bool:
    """Return whether a number of ours may stand there: also where the paper has a dash, but for what needs a method."""
    return number.printed == "number" or (number.printed == "dash" and number.augmentation != VANILLA)


def timed(found: Measured | None, material: Material, epochs: int) -> Measured | None:
    """Return ``found``, told whether a network of it was trained for fewer than ``epochs``, where that is known."""
    if found is None:
        return None
    known = (material.recipes.get(who, {}).get("epochs") for who in found.networks)
    return replace(found, shorter=any(isinstance(each, int) and each < epochs for each in known))


def measure_here(number: Number, material: Material) -> Measured | None:
    """Return our mean for ``number``, whose names are those of score rows; None where there is none."""
    if number.metric in COUNTS or number.metric in CONFIDENCES:
        return dependency_number(number, material)
    rows = material.rows(number)
    if rows.empty:
        return None
    if number.form == "over_alexnet":
        return over_networks(rows, lambda value: 100 * value / ALEXNET_FLIP_PROBABILITY[number.condition])
    if number.form in SCALES:
        return over_networks(rows, SCALES[number.form])
    return against_vanilla(number, rows, material)


def over_networks(rows: pd.DataFrame, scale: Callable[[float], float]) -> Measured:
    """Return the mean over networks of ``rows``, each ``scale``d, and its deviation."""
    values = rows.groupby("fingerprint", sort=True)["value"].mean().map(scale)
    return Measured(
        float(values.mean()), float(values.std()), len(values), networks=tuple(str(who) for who in values.index)
    )


def against_vanilla(number: Number, rows: pd.DataFrame, material: Material) -> Measured | None:
    """Return the change or ratio of the mean of ``rows`` against that of training without a method."""
    vanilla = material.rows(replace(number, augmentation=VANILLA, variant=""))
    if vanilla.empty or (number.form == "ratio" and set(rows["flags"]) != set(vanilla["flags"])):
        return None
    method, baseline = over_networks(rows, float), over_networks(vanilla, float)
    change = 100 * (method.value - baseline.value)
    values = {
        "percent_change": change,
        "accuracy_change": -change,
        "ratio": method.value / baseline.value if baseline.value else math.nan,
    }
    if number.form not in values:
        return None
    return Measured(values[number.form], n=method.n, networks=method.networks)


def dependency_number(number: Number, material: Material) -> Measured | None:
    """Return what became of classes against training without a method, with the integers that ``compare`` counts."""
    sides = [
        material.rows(replace(number, augmentation=each), "correct_count") for each in (VANILLA, number.augmentation)
    ]
    classes = tuple(dict.fromkeys(sides[1]["subset"]))
    counts = [side_counts(side, classes) for side in sides]
    if counts[0] is None or counts[1] is None or not np.array_equal(counts[0][1], counts[1][1]):
        return None
    found = class_dependency(counts[0][0], counts[1][0], counts[0][1])
    value = (
        SCALES[number.form](float(COUNTS[number.metric](found)))
        if number.metric in COUNTS
        else confidence_change(number, material, found, classes)
    )
    networks = tuple(sorted(set(sides[1]["fingerprint"])))
    return None if math.isnan(value) else Measured(value, n=len(networks), networks=networks)


def confidence_change(number: Number, material: Material, dependency: ClassDependency, classes: Sequence[str]) -> float:
    """Return the mean change of confidence over the degraded or the improved classes; NaN where there is none."""
    after, before = (
        material.rows(replace(number, augmentation=each), "class_top_confidence").groupby("subset")["value"].mean()
        for each in (number.augmentation, VANILLA)
    )
    changes = (after - before).reindex(list(classes)).to_numpy()[dependency.sign == CONFIDENCES[number.metric]]
    return float(changes.mean()) if len(changes) else math.nan


def derived(
    number: Number,
    place: Place,
    cells: Mapping[Place, Sequence[Number]],
    direct: Mapping[Place, Sequence[Measured | None]],
    terms: Terms,
) -> Measured | None:
    """Return a number that the table makes of others of its own; None where one of those is missing."""
    row, column = place
    if number.model == "mean":
        return joined([direct[each][0] for each in cells if each[1] == column and each[0] < row], np.mean)
    before = [direct[each][0] for each in cells if each[0] == row and each[1] < column]
    if number.form == "deviation":
        return joined(before, lambda values: np.std(values, ddof=1))
    if number.form == "accuracy_difference":
        return joined(before, lambda values: values[1] - values[0])
    if number.form == "setting":
        after = [found for each, found in direct.items() if each[0] == row and each[1] > column]
        measured = [found[0] for found in after if found[0] is not None]
        rate = re.match(r"dropmix\((?:rate=([\d.]+), )?", terms.ours(number).augmentation)
        return replace(measured[0], value=float(rate[1] or 0.5), spread=math.nan, n=0) if measured and rate else None
    return None


def joined(parts: Sequence[Measured | None], join: Callable[[list[float]], object]) -> Measured | None:
    """Return what ``join`` makes of ``parts``, or None where one is missing."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return Measured(
        float(join([part.value for part in known])),  # type: ignore[arg-type]
        substituted=any(part.substituted for part in known),
        made=any(part.made for part in known),
        networks=tuple(sorted({who for part in known for who in part.networks})),
    )
