"""Error under corruption against severity, over all corruptions: figure 9 of the Dynamic Mixup paper, its left part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from robustbench_msda.figures.calibration import clean_sentence, same_images
from robustbench_msda.figures.drawing import Drawing, averaged, draw_lines, file_name, in_parts, over_networks
from robustbench_msda.figures.style import LineStyle, legend_below, new_figure
from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import FOR_VALIDATION, STANDS_FOR, pick_rows, tidy

WHERE = ["dataset", "model", "benchmark"]
NETWORK = ["dataset", "model", "label", "benchmark", "fingerprint", "level"]


def error_by_severity(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model and benchmark of corruptions the mean error against severity, a line a method.

    The mean is over the test corruptions, without those for validation, of which each network has all. Severity 0 is
    the clean test set; it is joined to the others only where it holds as many images.

    Raises:
        Absent: no corruption was scored.
    """
    frame = tidy(scores)
    benchmarks = pick_rows(frame, "corruption_error")["benchmark"].unique()
    errors = pick_rows(frame, "error")
    errors = errors[errors["benchmark"].isin(benchmarks)]
    clean = frame[(frame["benchmark"] == "clean") & (frame["metric"] == "error") & (frame["subset"] == "all")]
    for (dataset, model, _), rows in errors.groupby(WHERE, sort=True):
        names = set(rows["condition"])
        tested = {name for name in names if name not in FOR_VALIDATION and STANDS_FOR.get(name) not in names}
        at_zero = clean[(clean["dataset"] == dataset) & (clean["model"] == model)]
        means = over_corruptions(rows[rows["condition"].isin(tested)], len(tested))
        if len(means):
            yield from in_parts(partial(by_severity, means, at_zero, len(tested)), means["label"])


def over_corruptions(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the mean error of every network and severity over ``count`` corruptions, where it has them all."""
    grouped = rows.groupby(NETWORK, sort=False)
    table = grouped.agg(value=("value", "mean"), n=("n", "max"), count=("condition", "nunique")).reset_index()
    whole = table[table["count"] == count].drop(columns="count")
    return whole.assign(condition="", subset="all", metric="mean_error")


def by_severity(rows: pd.DataFrame, clean: pd.DataFrame, count: int, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model on one benchmark.

    Args:
        rows: its mean errors by network and severity.
        clean: its errors on the clean test set; possibly none.
        count: how many corruptions the means are over.
        styles: of the methods to show.
    """
    rows, clean = (each[each["label"].isin(set(styles))] for each in (rows, clean))
    dataset, model, benchmark = (str(rows[name].iloc[0]) for name in WHERE)
    n = int(rows["n"].max())
    figure = new_figure(f"Mean error by severity: {model} on {benchmark}", 3.8)
    axes = figure.subplots()
    corrupted, at_zero = rows.assign(x=rows["level"].map(level_value)), clean.assign(x=0.0)
    lines = [pd.concat([at_zero, corrupted])] if same_images(clean, n) else [at_zero, corrupted]
    drawn = [count for points in lines if len(points) for count in draw_lines(axes, points, styles)]
    axes.set(xlabel="severity", ylabel="error (%)", ylim=(0, None))
    axes.set_xticks(range(6) if len(clean) else range(1, 6), [*(["0 (clean)"] if len(clean) else []), *"12345"])
    legend_below(figure, styles)
    return Drawing(
        name=file_name("error_by_severity", dataset, model, benchmark),
        title=f"Mean error by severity: {model} on {benchmark}",
        caption=(
            f"Error (%) of {model} on the test images of {dataset}, averaged over the {count} test corruptions of "
            f"{benchmark} at each severity, {n:,} images each. {clean_sentence(clean, n)}"
            f"Lines and bands: {over_networks(drawn)}"
        ),
        alt=f"Lines of the mean error against severity, one for each of {', '.join(styles)}.",
        figure=figure,
        data=averaged(pd.concat([clean, rows])),
    )
