"""The change of every class's recall under many methods at a glance: a row a method, a column a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from robustbench_msda.figures.drawing import Drawing, file_name
from robustbench_msda.figures.style import DEGRADED, IMPROVED, ink_on, new_figure

COLOURS = LinearSegmentedColormap.from_list("change", [DEGRADED, "white", IMPROVED])


def change_map(rows: pd.DataFrame, treatments: Sequence[str]) -> Drawing:
    """Return the figure of one model and baseline with the recall changes ``rows``, in the order of ``treatments``."""
    dataset, model, baseline = (str(rows[name].iloc[0]) for name in ("dataset", "model", "baseline"))
    classes = list(dict.fromkeys(rows["subset"]))
    figure = new_figure(f"Recall change against {baseline}: {model} on {dataset}", 1.6 + 0.3 * len(treatments))
    draw_changes(figure.subplots(), rows, treatments, classes)
    lowest = rows.sort_values("value", kind="stable").iloc[0]
    fallen = (rows["value"] < 0).groupby(rows["treatment"]).sum()
    on = str(rows["on"].iloc[0])
    where, stimuli = (dataset, "the clean test set") if on == "clean" else (on.replace(":", " "), on.replace(":", " "))
    networks = f"n={rows['seeds_treatment'].max():g} against {rows['seeds_baseline'].max():g} networks"
    return Drawing(
        name=file_name("recall_change", where, model, "all", "vs", baseline),
        title=f"Recall change of {len(treatments)} methods against {baseline}: {model} on {where}",
        caption=(
            f"Change of the recall of every class on {stimuli} in percentage points, of {model} on {dataset}, "
            f"averaged over networks first ({networks}). Bold: significant at 5 % after Benjamini–Hochberg. "
            "The methods are those of the rows, the colour scale is the same both ways."
        ),
        alt=(
            f"Heat map of the recall change of {len(classes)} classes under {len(treatments)} methods; they degrade "
            f"{fallen.min()} to {fallen.max()} classes each, most {lowest['subset']} under {lowest['treatment']}, "
            f"{100 * lowest['value']:+.1f} percentage points."
        ),
        figure=figure,
        data=rows,
    )


def draw_changes(axes: Axes, rows: pd.DataFrame, treatments: Sequence[str], classes: Sequence[str]) -> None:
    """Draw a coloured cell for each method and class, with the change in percentage points."""
    table = rows.pivot_table(index="treatment", columns="subset", values="value").reindex(
        index=list(treatments), columns=list(classes)
    )
    sure = rows[rows["significant"]].groupby(["treatment", "subset"]).size()
    end = 100 * float(np.nanmax(np.abs(table.to_numpy())))
    mesh = axes.pcolormesh(100 * table.to_numpy(), cmap=COLOURS, vmin=-end, vmax=end, edgecolors="white", linewidth=1.2)
    for (row, column), value in np.ndenumerate(100 * table.to_numpy()):
        if np.isnan(value):
            continue
        red, green, blue, _ = mesh.to_rgba(value)
        weight = "bold" if (treatments[row], classes[column]) in sure.index else "normal"
        text = f"{value:+.1f}".replace("-", "−")
        axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            fontsize=7.5,
            fontweight=weight,
            color=ink_on(red, green, blue),
        )
    axes.set_xticks(np.arange(len(classes)) + 0.5, list(classes), rotation=35, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(treatments)) + 0.5, list(treatments))
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.invert_yaxis()
