"""Error under white-box attack against its strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.figures.drawing import (
    Drawing,
    averaged,
    draw_lines,
    file_name,
    in_parts,
    over_networks,
    panel_grid,
)
from robustbench_msda.figures.style import LineStyle, legend_below, new_figure
from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import ordered_levels, tidy, white_box
from robustbench_msda.results.attacks import WORST, attack_name, single, suites, told_attack_flags, worst_cases

# Of the width of an axis, at least, between two ε that are named below it.
BETWEEN_NAMES = 0.2


def attack_curves(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model the error against ε: a panel an attack, a line a method; a figure a suite.

    Curves start at ε = 0 with the clean error where it was measured on as many images; else they would mix two worlds.

    Raises:
        Absent: no attack was scored.
    """
    frame = tidy(scores)
    errors = white_box(frame)
    clean = frame[(frame["benchmark"] == "clean") & (frame["metric"] == "error")].assign(level="0")
    for (dataset, model), rows in errors.groupby(["dataset", "model"], sort=True):
        unattacked = clean[(clean["dataset"] == dataset) & (clean["model"] == model)]
        if len(alone := single(rows)):
            yield from in_parts(partial(curves, alone, unattacked), alone["label"])
        worst = worst_cases(frame[(frame["dataset"] == dataset) & (frame["model"] == model)])
        for benchmark, suite in suites(rows).groupby("benchmark", sort=True):
            whole = pd.concat([suite, worst[worst["benchmark"] == benchmark]])
            yield from in_parts(partial(suite_curves, whole, unattacked), suite["label"])


def curves(rows: pd.DataFrame, clean: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model, whose errors under attack are ``rows``, for the methods of ``styles``."""
    dataset, model = (str(rows[name].iloc[0]) for name in ("dataset", "model"))
    name, title = file_name("attack_curves", dataset, model), f"Error under attack: {model} on {dataset}"
    drawing, panels = panels_of(rows, clean, styles, (name, title))
    for axes, levels in panels:
        name_levels(axes, levels)
    return drawing


def suite_curves(rows: pd.DataFrame, clean: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of several attacks on one model and their worst case; ε on a logarithmic scale that holds 0."""
    dataset, model, suite = (str(rows[name].iloc[0]) for name in ("dataset", "model", "benchmark"))
    name = file_name("attack_curves", dataset, model, suite)
    title = f"Error under several attacks ({suite}): {model} on {dataset}"
    drawing, panels = panels_of(rows, clean, styles, (name, title))
    for axes, levels in panels:
        values = [level_value(level) for level in ordered_levels(levels)]
        # Linear up to the smallest ε, which stands where 0 does not crowd it.
        axes.set_xscale("symlog", linthresh=min((value for value in values if value > 0), default=1.0))
        axes.set_xticks(far_apart(axes, values), minor=False)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return drawing


def far_apart(axes: Axes, values: Sequence[float]) -> list[float]:
    """Return those of the rising ``values`` that can be named below ``axes`` without touching, the largest first."""
    places = axes.transData.transform(np.array([[value, 0] for value in values]))[:, 0]
    least = BETWEEN_NAMES * (places[-1] - places[0])
    kept: list[int] = []
    for k in reversed(range(len(values))):
        if not kept or places[kept[-1]] - places[k] >= least:
            kept.append(k)
    return [values[k] for k in reversed(kept)]


def panels_of(
    rows: pd.DataFrame, clean: pd.DataFrame, styles: dict[str, LineStyle], named: tuple[str, str]
) -> tuple[Drawing, list[tuple[Axes, list[str]]]]:
    """Return the figure ``named`` so, a panel an attack, and each panel with the ε of its lines."""
    rows, clean = (each[each["label"].isin(set(styles))] for each in (rows, clean))
    dataset, model = (str(rows[name].iloc[0]) for name in ("dataset", "model"))
    attacks = list(rows[["benchmark", "condition"]].drop_duplicates().itertuples(index=False, name=None))
    columns = 2 if len(attacks) == 4 else min(3, len(attacks))
    figure = new_figure(named[1], 1.1 + 2.3 * -(-len(attacks) // columns))
    drawn: list[int] = []
    panels, shown = [], []
    for (name, text), axes in zip(attacks, panel_grid(figure, len(attacks), columns, "ε"), strict=True):
        here = rows[(rows["benchmark"] == name) & (rows["condition"] == text)]
        same = clean[clean["n"] == here["n"].max()] if all(map(level_value, here["level"])) else clean[:0]
        points = pd.concat([same, here])
        drawn += draw_lines(axes, points.assign(x=points["level"].map(level_value)), styles)
        axes.set_title(text if len(set(rows["benchmark"])) == len(attacks) else attack_name(text))
        panels.append((axes, list(points["level"])))
        # Each panel begins with the clean error: it is told once an attack.
        shown.append(points.assign(benchmark=name, condition=text))
    figure.supylabel("error (%)", fontsize="medium")
    legend_below(figure, styles)
    drawing = Drawing(
        name=named[0],
        title=named[1],
        caption=caption(rows, f"{model} on the test images of {dataset}", drawn),
        alt=f"Lines of the error against epsilon under {len(attacks)} attacks, one for each of {', '.join(styles)}.",
        figure=figure,
        data=averaged(pd.concat(shown)),
    )
    return drawing, panels


def caption(rows: pd.DataFrame, what: str, drawn: list[int]) -> str:
    """Return what is drawn of ``rows``, with what failed a check among them."""
    worst = "Worst case: images that at least one attack fools at that ε. " if WORST in set(rows["condition"]) else ""
    texts = ", ".join(text for text in dict.fromkeys(rows["condition"]) if text != WORST)
    flags = told_attack_flags(rows)
    return (
        f"Error (%) of {what} under white-box attack; an image that is wrong without attack counts as wrong. {worst}"
        f"Attacks: {texts}. {images(rows)} {flags + ' ' if flags else ''}Lines and bands: {over_networks(drawn)}"
    )


def name_levels(axes: Axes, levels: list[str]) -> None:
    """Write every ε below the axis, as n where all of them are n/255."""
    ordered = ordered_levels(levels)
    denominators = {level.partition("/")[2] for level in ordered if level != "0"}
    common = denominators.pop() if len(denominators) == 1 else ""
    texts = [level.partition("/")[0] if common else level for level in ordered]
    axes.set_xticks([level_value(level) for level in ordered], texts)
    if common and axes.get_xlabel():
        axes.set_xlabel(f"ε in units of 1/{common}")


def images(rows: pd.DataFrame) -> str:
    """Return how many images each attack was run on."""
    counts = rows.groupby("benchmark", sort=False)["n"].max()
    return f"Images: {', '.join(f'{name} {n:,}' for name, n in counts.items())}."
