"""Error under corruption: against severity, and at a glance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robustbench_msda.figures.drawing import (
    Drawing,
    averaged,
    draw_lines,
    file_name,
    in_parts,
    over_networks,
    panel_grid,
)
from robustbench_msda.figures.style import INK, LineStyle, ink_on, legend_below, new_figure, wrapped
from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import (
    Mean,
    complete_rows,
    flag_texts,
    means_by,
    ordered_corruptions,
    ordered_labels,
    pick_rows,
    tidy,
)
from robustbench_msda.results.normalised import MEANS, normalised_sentence, normalised_title, present

WHERE = ["dataset", "model", "benchmark"]
MEAN = "mean"
# The rows below the corruptions; normalised ones are on another scale and have no colour.
NORMALISED = {normalised_title(metric): metric for metric in MEANS}
FOOT = (MEAN, *NORMALISED)
COLOURS = "YlGnBu"


def corruption_by_severity(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model the error against severity: a panel a corruption, a line a method.

    Raises:
        Absent: no corruption was scored.
    """
    frame = tidy(scores)
    benchmarks = pick_rows(frame, "corruption_error")["benchmark"].unique()
    errors = pick_rows(frame, "error")
    errors = errors[errors["benchmark"].isin(benchmarks)].assign(x=errors["level"].map(level_value))
    for _, rows in errors.groupby(WHERE, sort=True):
        yield from in_parts(partial(by_severity, rows), rows["label"])


def by_severity(rows: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model on one benchmark, whose errors are ``rows``, for the methods of ``styles``."""
    rows = rows[rows["label"].isin(set(styles))]
    dataset, model, benchmark = (str(rows[name].iloc[0]) for name in WHERE)
    names = ordered_corruptions(rows["condition"])
    columns = min(5 if len(names) > 8 else 4, len(names))
    figure = new_figure(f"Error by severity: {model} on {benchmark}", 1.1 + 1.5 * math.ceil(len(names) / columns))
    drawn: list[int] = []
    for name, axes in zip(names, panel_grid(figure, len(names), columns, "severity"), strict=True):
        drawn += draw_lines(axes, rows[rows["condition"] == name], styles)
        axes.set_title(name.replace("_", " "))
        axes.set_xticks(range(1, 6))
    figure.supylabel("error (%)", fontsize="medium")
    legend_below(figure, styles)
    return Drawing(
        name=file_name("corruption_by_severity", dataset, model, benchmark),
        title=f"Error by severity: {model} on {benchmark}",
        caption=(
            f"Error (%) of {model} on the test images of {dataset} under each corruption of {benchmark} "
            f"({rows['n'].max():,} images a severity). Lines and bands: {over_networks(drawn)}"
        ),
        alt=f"Lines of the error against severity under {len(names)} corruptions, one for each of {', '.join(styles)}.",
        figure=figure,
        data=averaged(rows),
    )


def corruption_heatmap(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model the error under every corruption, averaged over severities, and its means, by method.

    Raises:
        Absent: no corruption was scored at all severities.
    """
    frame = tidy(scores)
    errors = pick_rows(complete_rows(frame, "corruption_error"), "corruption_error")
    names = {"mean_corruption_error": MEAN} | {metric: title for title, metric in NORMALISED.items()}
    means = [complete_rows(frame, metric).assign(condition=name) for metric, name in names.items()]
    rows = pd.concat([errors, *means])
    for _, here in rows.groupby(WHERE, sort=True):
        yield heatmap(here)


def heatmap(rows: pd.DataFrame) -> Drawing:
    """Return the figure of one model on one benchmark, whose errors by corruption are ``rows``."""
    dataset, model, benchmark = (str(rows[name].iloc[0]) for name in WHERE)
    means = means_by(rows, ["condition", "label"])
    found = {name for name, _ in means}
    names = [*ordered_corruptions(found - set(FOOT)), *present(FOOT, found)]
    labels = ordered_labels(label for _, label in means)
    figure = new_figure(f"Error under corruption: {model} on {benchmark}", *size_of(names, labels))
    if len(labels) > len(names):  # what there is more of goes down the page
        swapped: dict[tuple[str, ...], Mean] = {(label, name): mean for (name, label), mean in means.items()}
        draw_cells(figure, swapped, labels, names)
        for text in figure.axes[0].get_xticklabels():
            text.set(rotation=55, ha="left", rotation_mode="anchor")
    else:
        draw_cells(figure, means, names, labels)
    told = flag_texts(rows.assign(condition=rows["condition"].where(~rows["condition"].isin(FOOT), "")))
    drawn = over_networks([mean.n for mean in means.values()])
    worst, label = max((key for key in means if key[0] not in FOOT), key=lambda key: means[key].mean)
    return Drawing(
        name=file_name("corruption_heatmap", dataset, model, benchmark),
        title=f"Error under corruption: {model} on {benchmark}",
        caption=(
            f"Error (%) of {model} on the test images of {dataset} under each corruption of {benchmark}, averaged over "
            "its severities; mean: over the test corruptions, without those for validation"
            f"{bracketed(told)}. {defined(names)}Cells: {drawn}"
        ),
        alt=(
            f"Heat map of the error under {len(found - set(FOOT))} corruptions for {', '.join(labels)}; highest: "
            f"{worst} with {label}, {100 * means[worst, label].mean:.1f} %."
        ),
        figure=figure,
        data=averaged(rows),
    )


def bracketed(texts: Sequence[str]) -> str:
    """Return ``texts`` in brackets after a space; nothing where there are none."""
    return f" ({'; '.join(texts)})" if texts else ""


def defined(names: Sequence[str]) -> str:
    """Return what the normalised rows among ``names`` are, and that they have no colour; '' where there are none."""
    metrics = [NORMALISED[name] for name in names if name in NORMALISED]
    return (
        f"{normalised_sentence(metrics, 'the test corruptions')} These rows, in %, have no colour. " if metrics else ""
    )


def size_of(names: Sequence[str], labels: Sequence[str]) -> tuple[float, float]:
    """Return height and width, in inches, of the cells of ``names`` (corruptions) and ``labels`` (methods)."""
    if len(labels) > len(names):
        return 2.2 + 0.3 * len(labels), 3.4 + 0.45 * len(names)
    return 1.5 + 0.38 * len(names), max(5.0, 2.4 + 1.15 * len(labels))


def draw_cells(
    figure: Figure, means: Mapping[tuple[str, ...], Mean], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draw a coloured cell for each corruption and method, with its mean error and spread in percent.

    Args:
        figure: where to.
        means: by row and column.
        rows: corruptions or methods, from the top.
        columns: the others, from the left.
    """
    axes = figure.subplots()
    table = np.full((len(rows), len(columns)), np.nan)
    for (row, column), mean in means.items():
        if not {row, column} & set(NORMALISED):
            table[rows.index(row), columns.index(column)] = 100 * mean.mean
    mesh = axes.pcolormesh(table, cmap=COLOURS, edgecolors="white", linewidth=1.5)
    for (down, row), (across, column) in itertools.product(enumerate(rows), enumerate(columns)):
        if (row, column) not in means:
            continue
        mean = means[row, column]
        red, green, blue, _ = mesh.to_rgba(table[down : down + 1, across])[0]
        ink = INK if {row, column} & set(NORMALISED) else ink_on(red, green, blue)
        spread = f"\n± {100 * mean.spread:.1f}" if mean.n > 1 else ""
        text = f"{100 * mean.mean:.1f}{spread}"
        axes.text(across + 0.5, down + 0.5, text, ha="center", va="center", color=ink, fontsize=7.5)
    if MEAN in rows:
        axes.axhline(rows.index(MEAN), color="white", linewidth=5)
    if MEAN in columns:
        axes.axvline(columns.index(MEAN), color="white", linewidth=5)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [wrapped(text) for text in columns])
    axes.set_yticks(np.arange(len(rows)) + 0.5, [text.replace("_", " ") for text in rows])
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.invert_yaxis()
    figure.colorbar(mesh, ax=axes, label="error (%)", shrink=0.7)
