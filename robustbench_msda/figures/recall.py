"""The change of every class's recall, sorted: figure 2 of the class-dependency paper, a figure a method or for all."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from robustbench_msda.figures.drawing import MOST_LINES, Drawing, file_name
from robustbench_msda.figures.recall_map import change_map
from robustbench_msda.figures.style import DEGRADED, FAINT, IMPROVED, INK, new_figure
from robustbench_msda.results.aggregates import Absent, label_order, tidy_comparison

MOST_NAMED = 40
PALE = 0.42
NULL_MEANING = ": the median number and central 95 % over all splits of the networks into two sides of these sizes."
# Width of a bold character, as a share of the axes.
CHARACTER = 0.011


def recall_change(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every method the change of recall against its baseline, a bar a class, in percentage points.

    Methods compared with one baseline share their scale; many of them share one heat map.

    Raises:
        Absent: nothing was compared.
    """
    frame = tidy_comparison(comparison)
    changes = frame[(frame["metric"] == "recall_change") & frame["value"].notna()]
    if changes.empty:
        raise Absent("no comparison with a baseline")
    nulls = frame[frame["metric"] == "n_degraded_null_median"]
    for _, group in changes.groupby(["dataset", "model", "baseline", "on"], sort=True):
        treatments = sorted(group["treatment"].unique(), key=label_order)
        if len(treatments) > MOST_LINES and group["subset"].nunique() <= MOST_NAMED:
            yield change_map(group, treatments)
            continue
        limits = common_limits(group)
        for treatment in treatments:
            rows = group[group["treatment"] == treatment]
            yield one_change(rows, limits, null_text(nulls, rows.iloc[0]))


def common_limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of a scale, in percentage points, with room for the names of the extremes."""
    ends = 100 * rows[["value", "seed_low", "seed_high"]].to_numpy()
    low, high = min(0.0, float(np.nanmin(ends))), max(0.0, float(np.nanmax(ends)))
    room = 0.13 * max(high - low, 1.0)
    return low - room, high + room


def null_text(nulls: pd.DataFrame, row: pd.Series[float]) -> str:
    """Return how many classes seed noise alone would degrade in the comparison of ``row``, or what that needs."""
    pair = ("dataset", "model", "baseline", "treatment", "on")
    own = nulls[np.logical_and.reduce([nulls[name] == row[name] for name in pair])]
    if own.empty:
        return ""
    null = own.iloc[0]
    if np.isnan(null["value"]):
        return f"degraded by seed noise alone: {null['flags'].split('; ')[0] or 'not known'}"
    ends = "" if np.isnan(null["low"]) else f" [{null['low']:.3g}, {null['high']:.3g}]"
    return f"degraded by seed noise alone: {null['value']:.3g}{ends}"


def stimuli_text(on: str) -> str:
    """Return on what stimuli a comparison was made."""
    return "the clean test set" if on == "clean" else on.replace(":", " ")


def one_change(rows: pd.DataFrame, limits: tuple[float, float], null: str) -> Drawing:
    """Return the figure of one method, whose comparison rows are ``rows``; ``null`` says what seed noise alone does."""
    ordered = rows.sort_values("value", ascending=False, kind="stable")
    first = ordered.iloc[0]
    dataset, model, baseline, treatment = (str(first[name]) for name in ("dataset", "model", "baseline", "treatment"))
    told = counted(ordered)
    figure = new_figure(f"{treatment} against {baseline}: {told}", 3.8)
    axes = figure.subplots()
    draw_bars(axes, ordered)
    explain(figure, ordered)
    axes.set_ylim(*limits)
    on = stimuli_text(str(first["on"]))
    where = dataset if first["on"] == "clean" else on
    axes.set_title(" · ".join(filter(None, (f"{model} on {where}", networks(first), null))), color=FAINT)
    name_classes(axes, list(ordered["subset"]))
    name_extremes(axes, ordered)
    last = ordered.iloc[-1]
    extremes = f"highest {named(first)}, lowest {named(last)}"
    return Drawing(
        name=file_name("recall_change", where, model, treatment, "vs", baseline),
        title=f"Recall change of {treatment} against {baseline}: {model} on {where}",
        caption=(
            f"Change of the recall of every class on {on} in percentage points, of {model} on {dataset}, "
            f"averaged over networks first ({networks(first)}): {told}; {extremes}. Thin lines: range over "
            "the networks of the method. Pale: not significant at 5 % after Benjamini–Hochberg."
            + (f" {null[0].upper()}{null[1:]}{NULL_MEANING if '[' in null else '.'}" if null else "")
        ),
        alt=f"Bars of the recall change of {len(ordered)} classes, sorted: {told}; {extremes} percentage points.",
        figure=figure,
        data=ordered,
    )


def counted(rows: pd.DataFrame) -> str:
    """Return how many classes improved, degraded and tied."""
    value = rows["value"]
    return f"{(value > 0).sum()} improved, {(value < 0).sum()} degraded, {(value == 0).sum()} tied"


def named(row: pd.Series[float]) -> str:
    """Return the class of ``row`` and its change in percentage points."""
    change = f"{100 * row['value']:+.2f}"
    return f"{row['subset']}: {change.replace('-', '−')}"


def networks(row: pd.Series[float]) -> str:
    """Return how many networks each side has."""
    return f"n={row['seeds_treatment']:g} against {row['seeds_baseline']:g} networks"


def draw_bars(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw a bar a class, pale where the change is not significant, and the range over networks as a thin line."""
    x, value = np.arange(len(rows)), 100 * rows["value"].to_numpy()
    tested = rows["q"].notna().any()
    solid = rows["significant"].to_numpy() if tested else np.full(len(rows), True)
    width = 0.8 if len(rows) <= MOST_NAMED else 1.0
    for colour, side in ((IMPROVED, value > 0), (DEGRADED, value < 0)):
        for alpha, sure in ((1.0, solid), (PALE, ~solid)):
            here = side & sure
            axes.bar(x[here], value[here], width, color=colour, alpha=alpha, linewidth=0)
    low, high = (100 * rows[name].to_numpy() for name in ("seed_low", "seed_high"))
    axes.vlines(x, low, high, color=INK, linewidth=min(1.1, 120 / len(rows)), alpha=0.75)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_ylabel("change of recall (pp)")
    axes.grid(visible=False, axis="x")


def explain(figure: Figure, rows: pd.DataFrame) -> None:
    """Draw the legend below the axes, where no bar can reach, of what ``rows`` have."""
    drawn: dict[str, Artist] = {"improved": Patch(color=IMPROVED), "degraded": Patch(color=DEGRADED)}
    if rows["q"].notna().any():
        drawn["not significant"] = Patch(color=INK, alpha=PALE)
    if (rows["seed_high"] > rows["seed_low"]).any():
        drawn["range over networks"] = Line2D([], [], color=INK, linewidth=1.1)
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=len(drawn), handlelength=1.0)


def name_classes(axes: Axes, names: list[str]) -> None:
    """Write the classes below their bars where they fit; else say how many there are."""
    axes.set_xlim(-0.6, len(names) - 0.4)
    if len(names) > MOST_NAMED:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(names)} classes, from the largest rise to the largest fall")
        return
    fits = len(names) * max(len(name) for name in names) <= 90
    axes.set_xticks(range(len(names)), names, rotation=0 if fits else 45, ha="center" if fits else "right")
    axes.tick_params(axis="x", length=0)


def name_extremes(axes: Axes, rows: pd.DataFrame) -> None:
    """Write name and change beyond the highest and the lowest bar, and beyond the ranges of the bars below the text.

    Where no class rose, the best is named above the zero line all the same; likewise the worst where none fell.
    """
    ends = 100 * rows[["value", "seed_low", "seed_high"]].fillna(0.0).to_numpy()
    for first, here, ha, side in ((0, ends, "left", 1), (len(rows) - 1, ends[::-1], "right", -1)):
        text = named(rows.iloc[first])
        below = here[: math.ceil(len(rows) * len(text) * CHARACTER)]
        axes.annotate(
            text,
            (first - 0.4 * side, side * max(0.0, float((side * below).max()))),
            (0, 3 * side),
            textcoords="offset points",
            ha=ha,
            va="bottom" if side > 0 else "top",
            fontsize=8,
            fontweight="bold",
        )
