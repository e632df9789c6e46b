"""Reliability diagrams: accuracy against confidence, bin by bin, on the clean test set."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.figures.drawing import Drawing, file_name, over_networks, panel_grid
from robustbench_msda.figures.style import DEGRADED, FAINT, GRID, LineStyle, line_styles, new_figure, wrapped
from robustbench_msda.results.aggregates import Absent, Mean, means_by, tidy

NETWORK = ["label", "fingerprint", "subset"]


def reliability(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model its reliability diagrams, a panel a method.

    Raises:
        Absent: the clean test set was not scored.
    """
    frame = tidy(scores)
    clean = frame[frame["benchmark"] == "clean"]
    bins = clean[clean["metric"].isin(["bin_confidence", "bin_accuracy"])]
    if bins.empty:
        raise Absent("no rows of bin_confidence and bin_accuracy of the benchmark clean")
    styles = line_styles(frame["label"])
    for _, rows in clean.groupby(["dataset", "model"], sort=True):
        yield diagrams(rows, {label: style for label, style in styles.items() if label in set(rows["label"])})


def diagrams(rows: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model, whose clean scores are ``rows``."""
    dataset, model = (str(rows[name].iloc[0]) for name in ("dataset", "model"))
    points = bin_points(rows)
    errors = means_by(rows[rows["metric"] == "rms_calibration"], ["label"])
    texts = {label: error_text(error) for (label,), error in errors.items()}
    columns = min(4, len(styles))
    size = 0.6 + 2.2 * math.ceil(len(styles) / columns), max(4.0, 0.5 + 1.75 * columns)
    figure = new_figure(f"Reliability: {model} on {dataset}", *size)
    for label, axes in zip(styles, panel_grid(figure, len(styles), columns, "confidence (%)"), strict=True):
        draw_diagram(axes, points[points["label"] == label], styles[label])
        axes.set_title(f"{wrapped(label, 24)}\n{texts.get(label, '')}".strip())
    figure.supylabel("accuracy (%)", fontsize="medium")
    told = "; ".join(f"{label} {texts[label]}" for label in styles if label in texts)
    return Drawing(
        name=file_name("reliability", dataset, model),
        title=f"Reliability: {model} on {dataset}",
        caption=(
            f"Accuracy against confidence of {model} on the clean test images of {dataset}, in bins of equal width: "
            "points are pooled over networks, their area is the share of images, thin lines are the single networks. "
            "Above the diagonal a network is too cautious, below it too sure. "
            f"RMS calibration error: {over_networks([error.n for error in errors.values()])}"
        ),
        alt=f"Reliability diagrams. {told}." if told else "Reliability diagrams.",
        figure=figure,
        data=points,
    )


def bin_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the bins of every network: columns label, fingerprint, subset, n, bin_confidence, bin_accuracy."""
    bins = rows[rows["metric"].isin(["bin_confidence", "bin_accuracy"])]
    table = bins.pivot_table(index=[*NETWORK, "n"], columns="metric", values="value")
    return table.reset_index().sort_values("bin_confidence")


def pooled(points: pd.DataFrame) -> pd.DataFrame:
    """Return the bins with the images of all networks together, by rising confidence."""
    weights = points["n"]
    sums = (
        points.assign(confidence=points["bin_confidence"] * weights, accuracy=points["bin_accuracy"] * weights)
        .groupby("subset")[["n", "confidence", "accuracy"]]
        .sum()
    )
    means = sums.assign(confidence=sums["confidence"] / sums["n"], accuracy=sums["accuracy"] / sums["n"])
    return means.sort_values("confidence")


def draw_diagram(axes: Axes, points: pd.DataFrame, style: LineStyle) -> None:
    """Draw the diagram of one method, with its gaps to the diagonal."""
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=0.9, dashes=(3, 2))
    for _, network in points.groupby("fingerprint"):
        axes.plot(
            100 * network["bin_confidence"], 100 * network["bin_accuracy"], color=style.colour, lw=0.7, alpha=0.45
        )
    bins = pooled(points)
    confidence, accuracy = 100 * bins["confidence"].to_numpy(), 100 * bins["accuracy"].to_numpy()
    axes.vlines(confidence, confidence, accuracy, color=DEGRADED, linewidth=1.2, alpha=0.7)
    share = bins["n"].to_numpy() / bins["n"].sum()
    axes.scatter(
        confidence, accuracy, s=8 + 180 * share, color=style.colour, edgecolor="white", linewidth=0.6, zorder=3
    )
    axes.set(xlim=(-4, 104), ylim=(-4, 104), xticks=np.arange(0, 101, 25), yticks=np.arange(0, 101, 25))
    axes.grid(color=GRID)
    axes.set_box_aspect(1)


def error_text(error: Mean) -> str:
    """Return the RMS calibration error of a method with its spread, or with n=1."""
    spread = f" ± {100 * error.spread:.2f} %" if error.n > 1 else " % (n=1)"
    return f"RMS {100 * error.mean:.2f}{spread}"
