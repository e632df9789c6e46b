"""Error under white-box attack against its strength."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.figures.drawing import Drawing, draw_lines, file_name, in_parts, over_networks, panel_grid
from robustbench_msda.figures.style import LineStyle, legend_below, new_figure
from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import ordered_levels, tidy, white_box


def attack_curves(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model the error against ε: a panel an attack, a line a method.

    Curves start at ε = 0 with the clean error where it was measured on as many images; else they would mix two worlds.

    Raises:
        Absent: no attack was scored.
    """
    frame = tidy(scores)
    errors = white_box(frame)
    clean = frame[(frame["benchmark"] == "clean") & (frame["metric"] == "error")]
    for (dataset, model), rows in errors.groupby(["dataset", "model"], sort=True):
        unattacked = clean[(clean["dataset"] == dataset) & (clean["model"] == model)]
        yield from in_parts(partial(curves, rows, unattacked.assign(level="0")), rows["label"])


def curves(rows: pd.DataFrame, clean: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model, whose errors under attack are ``rows``, for the methods of ``styles``."""
    rows, clean = (each[each["label"].isin(set(styles))] for each in (rows, clean))
    dataset, model = (str(rows[name].iloc[0]) for name in ("dataset", "model"))
    attacks = list(rows[["benchmark", "condition"]].drop_duplicates().itertuples(index=False, name=None))
    columns = 2 if len(attacks) == 4 else min(3, len(attacks))
    figure = new_figure(f"Error under attack: {model} on {dataset}", 1.1 + 2.3 * -(-len(attacks) // columns))
    drawn: list[int] = []
    for (name, text), axes in zip(attacks, panel_grid(figure, len(attacks), columns, "ε"), strict=True):
        here = rows[(rows["benchmark"] == name) & (rows["condition"] == text)]
        points = pd.concat([clean[clean["n"] == here["n"].max()], here])
        drawn += draw_lines(axes, points.assign(x=points["level"].map(level_value)), styles)
        axes.set_title(text)
        name_levels(axes, list(points["level"]))
    figure.supylabel("error (%)", fontsize="medium")
    legend_below(figure, styles)
    return Drawing(
        name=file_name("attack_curves", dataset, model),
        title=f"Error under attack: {model} on {dataset}",
        caption=(
            f"Error (%) of {model} on the test images of {dataset} under white-box attack; an image that is wrong "
            f"without attack counts as wrong. {images(rows)} Lines and bands: {over_networks(drawn)}"
        ),
        alt=f"Lines of the error against epsilon under {len(attacks)} attacks, one for each of {', '.join(styles)}.",
        figure=figure,
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
