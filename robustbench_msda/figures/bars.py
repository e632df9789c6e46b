"""A bar a method: error under corruption beside the clean error, and what training takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from robustbench_msda.figures.drawing import Drawing, averaged, file_name, over_networks
from robustbench_msda.figures.style import FAINT, INK, LineStyle, line_styles, new_figure, shaded
from robustbench_msda.results.aggregates import (
    Absent,
    Mean,
    complete_rows,
    flag_texts,
    means_by,
    ordered_labels,
    pick_rows,
    tidy,
)

WHERE = ["dataset", "model"]
# Of a row, what the bars of its benchmarks take together.
FILLED = 0.8
PALE = -0.45


def corruption_bars(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model the mean error under corruption, a bar a method and benchmark, and the clean error.

    Figures 3 and 4 of the Dynamic Mixup paper.

    Raises:
        Absent: no mean over corruptions was scored.
    """
    frame = tidy(scores)
    means = complete_rows(frame, "mean_corruption_error")
    if means.empty:
        raise Absent("no rows of mean_corruption_error")
    clean = frame[(frame["benchmark"] == "clean") & (frame["metric"] == "error") & (frame["subset"] == "all")]
    for (dataset, model), rows in means.groupby(WHERE, sort=True):
        yield bars(rows, clean[(clean["dataset"] == dataset) & (clean["model"] == model)])


def bars(rows: pd.DataFrame, clean: pd.DataFrame) -> Drawing:
    """Return the figure of one model, whose means over corruptions are ``rows``."""
    dataset, model = (str(rows[name].iloc[0]) for name in WHERE)
    labels, benchmarks = ordered_labels(rows["label"]), sorted(rows["benchmark"].unique())
    found, at_rest = means_by(rows, ["benchmark", "label"]), means_by(clean, ["label"])
    figure = new_figure(f"Error under corruption and without: {model} on {dataset}", height_of(labels, benchmarks))
    axes = figure.subplots()
    draw_bars(axes, found, line_styles(labels), benchmarks)
    shown = [place for place, label in enumerate(labels) if (label,) in at_rest]
    axes.plot(
        [100 * at_rest[labels[place],].mean for place in shown],
        shown,
        "D",
        color=INK,
        markeredgecolor="white",
        markersize=5.5,
    )
    axes.set_xlabel("error (%)")
    handles = [Patch(color=shaded(FAINT, PALE * k)) for k in range(len(benchmarks))]
    handles += [Line2D([], [], marker="D", linestyle="", color=INK)] if shown else []  # type: ignore[list-item]
    names = [*benchmarks, *(["clean"] if shown else [])]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), handlelength=1.0)
    told, drawn = "; ".join(flag_texts(rows)), over_networks([mean.n for mean in found.values()])
    worst = max(found, key=lambda key: found[key].mean)
    return Drawing(
        name=file_name("corruption_bars", dataset, model),
        title=f"Error under corruption and without: {model} on {dataset}",
        caption=(
            f"Error (%) of {model} on the test images of {dataset}, averaged over the test corruptions of "
            f"{', '.join(benchmarks)} and their severities{f' ({told})' if told else ''}; diamonds: the clean test "
            f"images. Bars and whiskers: {drawn}"
        ),
        alt=(
            f"Bars of the mean error under corruption of {len(labels)} methods; highest: {worst[1]} on {worst[0]}, "
            f"{100 * found[worst].mean:.1f} %."
        ),
        figure=figure,
        data=averaged(pd.concat([clean, rows])),
    )


def height_of(labels: Sequence[str], benchmarks: Sequence[str] = ("",)) -> float:
    """Return the height, in inches, of a row a label with a bar a benchmark."""
    return 1.3 + len(labels) * max(0.24, 0.15 * len(benchmarks))


def draw_bars(
    axes: Axes, means: Mapping[tuple[str, ...], Mean], styles: Mapping[str, LineStyle], benchmarks: Sequence[str]
) -> None:
    """Draw a bar for each method and benchmark, from the top, in percent; later benchmarks are paler."""
    height = FILLED / len(benchmarks)
    for k, benchmark in enumerate(benchmarks):
        for place, (label, style) in enumerate(styles.items()):
            if (benchmark, label) not in means:
                continue
            mean = means[benchmark, label]
            y = place - FILLED / 2 + height * (k + 0.5)
            spread = None if np.isnan(mean.spread) else 100 * mean.spread
            whisker = {"elinewidth": 1.0, "ecolor": INK}
            colour = shaded(style.colour, PALE * k)
            axes.barh(y, 100 * mean.mean, height * 0.92, color=colour, xerr=spread, error_kw=whisker)
    name_rows(axes, list(styles))


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Write the methods beside their rows, the first at the top."""
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set(ylim=(len(labels) - 0.4, -0.6), xlim=(0, None))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def training_time(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model the time of an epoch over that of vanilla, a bar a method, where one machine timed both.

    Raises:
        Absent: no training was timed, or none of vanilla on the same machine.
    """
    seconds = pick_rows(tidy(scores), "epoch_seconds")
    drawn = [ratio_bars(rows) for _, rows in seconds.groupby([*WHERE, "flags"], sort=True) if compared(rows)]
    if not drawn:
        raise Absent("no rows of epoch_seconds of vanilla and another method on one machine")
    yield from drawn


def compared(rows: pd.DataFrame) -> bool:
    """Return whether vanilla is among ``rows``, and something else."""
    return "vanilla" in set(rows["label"]) and rows["label"].nunique() > 1


def ratio_bars(rows: pd.DataFrame) -> Drawing:
    """Return the figure of one model on one machine, whose times of an epoch are ``rows``."""
    dataset, model, machine = (str(rows[name].iloc[0]) for name in (*WHERE, "flags"))
    labels = ordered_labels(rows["label"])
    times = means_by(rows, ["label"])
    ratios = {label: times[label,].mean / times["vanilla",].mean for label in labels}
    title = f"Training time over vanilla's: {model} on {dataset}"
    figure = new_figure(title, height_of(labels))
    axes = figure.subplots()
    for place, (label, style) in enumerate(line_styles(labels).items()):
        axes.barh(place, ratios[label], FILLED, color=style.colour)
        axes.text(ratios[label], place, f" {ratios[label]:.2f}×", va="center", fontsize=7.5)
    name_rows(axes, labels)
    axes.axvline(1.0, color=INK, linewidth=0.9, dashes=(3, 2))
    axes.set_xlim(0, 1.12 * max(ratios.values()))
    axes.set_xlabel("time of an epoch ÷ vanilla's")
    slowest = max(ratios, key=lambda label: ratios[label])
    return Drawing(
        name=file_name("training_time", dataset, model, machine)[:120],
        title=title,
        caption=(
            f"Wall time of the training steps of an epoch, of {model} on {dataset}, over that of vanilla "
            f"({times['vanilla',].mean:.3g} s), on {machine}; the first epoch is left out. "
            f"{over_networks([mean.n for mean in times.values()]).partition(',')[0].capitalize()}."
        ),
        alt=f"Bars of the training time of {len(labels)} methods; slowest: {slowest}, {ratios[slowest]:.2f} times.",
        figure=figure,
        data=averaged(rows).assign(ratio=lambda table: table["label"].map(ratios)),
    )
