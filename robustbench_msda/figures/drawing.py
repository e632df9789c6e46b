"""A figure with the words that go with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustbench_msda.figures.style import LineStyle, line_styles, title_figure
from robustbench_msda.results.aggregates import ordered_labels, over_seeds

# More lines than these in one panel cannot be told apart.
MOST_LINES = 9
DRAWN = ["dataset", "model", "label", "benchmark", "condition", "level", "subset", "metric"]


@dataclass(frozen=True)
class Drawing:
    """A figure before it is written.

    Attributes:
        name: its file name.
        title: a few words.
        caption: what was measured, on what, the n and the spread.
        alt: what a reader who cannot see it should know.
        figure: drawn, not saved.
        data: the numbers that are drawn, fractions: what stands beside the figure as CSV.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    data: pd.DataFrame


def file_name(*texts: str) -> str:
    """Return ``texts`` as one file name of letters, digits, dots, dashes and underscores."""
    return ".".join(re.sub(r"[^A-Za-z0-9_.=]+", "-", text).strip("-.") for text in texts)


def in_parts(draw: Callable[[dict[str, LineStyle]], Drawing], labels: Iterable[str]) -> Iterator[Drawing]:
    """Yield what ``draw`` makes of the methods ``labels``: one figure, or several where one would hold too many lines.

    Every one of several begins with the first method, against which the others are read.
    """
    ordered = ordered_labels(labels)
    if len(ordered) <= MOST_LINES:
        yield draw(line_styles(ordered))
        return
    baseline, others = ordered[0], ordered[1:]
    count = math.ceil(len(others) / (MOST_LINES - 1))
    for number, group in enumerate(np.array_split(others, count), 1):
        drawing, part = draw(line_styles([baseline, *map(str, group)])), f"{number} of {count}"
        title_figure(drawing.figure, f"{drawing.title} ({part})")
        yield replace(drawing, name=file_name(drawing.name, part), title=f"{drawing.title} ({part})")


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the means over networks of score ``rows``: whose and what they are, mean, spread and n networks."""
    return over_seeds(rows, DRAWN)


def over_networks(counts: Collection[int]) -> str:
    """Return what a number stands for, from the n of all numbers alike: a mean with its spread, or a single network."""
    if not counts or max(counts) == 1:
        return "one network each (n=1), without a spread."
    n = f"{max(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"mean ± standard deviation (ddof 1) over n={n} networks (seeds)."


def draw_lines(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, LineStyle]) -> list[int]:
    """Draw the mean over networks of ``value`` in percent against ``x``, a line a label, its spread as a band.

    Returns:
        How many networks each point is over.
    """
    means = over_seeds(rows, ["label", "x"]).sort_values("x")
    for label, style in styles.items():
        line = means[means["label"] == label]
        x, mean, spread = (100 * line[name].to_numpy() for name in ("x", "mean", "spread"))
        band = np.nan_to_num(spread)
        if len(x) == 1:
            # A band of no width is not seen.
            axes.vlines(x / 100, mean - band, mean + band, color=style.colour, alpha=0.5, linewidth=1.2)
        axes.fill_between(x / 100, mean - band, mean + band, color=style.colour, alpha=0.16, linewidth=0)
        axes.plot(x / 100, mean, color=style.colour, marker=style.marker, dashes=style.dashes or (1, 0))
    return [int(n) for n in means["n"]]


def panel_grid(figure: Figure, count: int, columns: int, xlabel: str) -> list[Axes]:
    """Return ``count`` axes in lines of ``columns`` that share their scales; the lowest bear ``xlabel``."""
    lines = math.ceil(count / columns)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for k, axes in enumerate(panels.flat):
        if k >= count:
            axes.remove()
        elif k + columns >= count:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(xlabel)
    return list(panels.flat[:count])
