"""Confidence against recall by class, and change against change: figure 5 of Lee et al. (2023)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.figures.drawing import Drawing, averaged, file_name, in_parts
from robustbench_msda.figures.style import FAINT, LineStyle, legend_below, new_figure
from robustbench_msda.results.aggregates import Absent, over_seeds, tidy, tidy_comparison
from robustbench_msda.results.recalls import CLEAN

METRICS = ("class_top_confidence", "recall")
CHANGES = ("confidence_change", "recall_change")
KEY = ["label", "subset"]


def confidence_recall(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:
    """Yield for every model the confidence and recall of its classes, a point a class and method, and their changes.

    Raises:
        Absent: the confidence of classes was not scored on the clean test set.
    """
    frame, changes = tidy(scores), tidy_comparison(comparison)
    points = frame[frame["metric"].isin(METRICS) & (frame["benchmark"] == CLEAN)]
    if METRICS[0] not in set(points["metric"]):
        raise Absent(f"no rows of {METRICS[0]} of the benchmark clean")
    changes = changes[changes["on"] == CLEAN]
    for (dataset, model), rows in points.groupby(["dataset", "model"], sort=True):
        here = changes[(changes["dataset"] == dataset) & (changes["model"] == model)]
        baselines = sorted(here["baseline"].unique())
        here = here[here["baseline"] == ("vanilla" if "vanilla" in baselines else next(iter(baselines), ""))]
        yield from in_parts(partial(scatter, rows, here), rows["label"])


def scatter(rows: pd.DataFrame, changes: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model, for the methods of ``styles``."""
    dataset, model = (str(rows[name].iloc[0]) for name in ("dataset", "model"))
    means = over_seeds(rows, [*KEY, "metric"]).pivot_table(index=KEY, columns="metric", values="mean")
    moves = changes.rename(columns={"treatment": "label"})
    moves = moves[moves["metric"].isin(CHANGES)]
    moved = moves.pivot_table(index=KEY, columns="metric", values="value")
    shown = {label: style for label, style in styles.items() if label in set(means.index.get_level_values("label"))}
    both = set(CHANGES) <= set(moved.columns)
    figure = new_figure(f"Confidence and recall by class: {model} on {dataset}", 3.9)
    panels = figure.subplots(1, 2) if both else [figure.subplots()]
    draw_points(panels[0], means[list(METRICS)], shown)
    panels[0].axline((50, 50), slope=1, color=FAINT, linewidth=0.9, dashes=(3, 2))
    panels[0].set(xlabel="confidence (%)", ylabel="recall (%)")
    told = ""
    if both:
        draw_points(panels[1], moved[list(CHANGES)], shown)
        baseline = str(changes["baseline"].iloc[0])
        panels[1].set(xlabel="change of confidence (pp)", ylabel="change of recall (pp)", title=f"against {baseline}")
        panels[1].axhline(0, color=FAINT, linewidth=0.9)
        panels[1].axvline(0, color=FAINT, linewidth=0.9)
        told = correlations_text(changes, list(shown))
    legend_below(figure, shown)
    counts = rows.groupby("label")["fingerprint"].nunique()
    n = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return Drawing(
        name=file_name("confidence_recall", dataset, model),
        title=f"Confidence and recall by class: {model} on {dataset}",
        caption=(
            f"A point a class and method, of {model} on the clean test images of {dataset}, averaged over networks (n="
            f"{n}). Confidence: mean probability of the first answer; below the dashed line a class is answered with "
            f"more confidence than recall. {told}"
        ).strip(),
        alt=f"Scatter of confidence against recall by class, of {', '.join(shown)}. {told}".strip(),
        figure=figure,
        data=pd.concat([averaged(rows[rows["label"].isin(list(shown))]), drawn_changes(moves, shown)]),
    )


def drawn_changes(changes: pd.DataFrame, styles: dict[str, LineStyle]) -> pd.DataFrame:
    """Return the changes of the methods of ``styles`` with the columns of means, and the baseline they are against."""
    own = changes[changes["label"].isin(list(styles))].rename(columns={"value": "mean"})
    return own[["dataset", "model", "label", "baseline", "subset", "metric", "mean"]]


def draw_points(axes: Axes, points: pd.DataFrame, styles: dict[str, LineStyle]) -> None:
    """Draw the first column of ``points`` against the second, in percent, in the style of each method."""
    labels = points.index.get_level_values("label")
    for label, style in styles.items():
        x, y = (100 * points.loc[labels == label, name].to_numpy() for name in points.columns)
        axes.scatter(x, y, s=16, color=style.colour, marker=style.marker, alpha=0.8, linewidth=0)


def correlations_text(changes: pd.DataFrame, labels: list[str]) -> str:
    """Return the correlations of both changes over classes, method by method; empty where there are none."""
    kinds = {"confidence_recall_pearson": "r", "confidence_recall_spearman": "ρ"}
    rows = changes[changes["metric"].isin(kinds) & changes["value"].notna()]
    told = []
    for label in labels:
        here = rows[rows["treatment"] == label]
        pairs = zip(here["metric"], here["value"], here["p"], strict=True)
        texts = [f"{kinds[metric]} = {value:.2f} (p {p_text(p)})".replace("-", "−") for metric, value, p in pairs]
        told += [f"{label} {', '.join(texts)}"] if texts else []
    return f"Correlation of the changes, Pearson's r and Spearman's ρ: {'; '.join(told)}." if told else ""


def p_text(p: float) -> str:
    """Return a p as it follows the letter."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
