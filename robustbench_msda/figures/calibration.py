"""Calibration under corruption: RMS calibration error against severity, as in figure 9 of the DynMix paper."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from robustbench_msda.figures.drawing import Drawing, averaged, draw_lines, file_name, in_parts, over_networks
from robustbench_msda.figures.style import LineStyle, legend_below, new_figure
from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import Absent, complete_rows, flag_texts, tidy

WHERE = ["dataset", "model", "benchmark"]


def calibration_by_severity(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model and benchmark of corruptions the RMS calibration error against severity, a line a method.

    Severity 0 is the clean test set; it is joined to the others only where it holds as many images.

    Raises:
        Absent: calibration was not averaged over corruptions at any severity.
    """
    frame = tidy(scores)
    means = complete_rows(frame, "mean_rms_calibration")
    means = means[means["level"] != ""]
    if means.empty:
        raise Absent("no rows of mean_rms_calibration by severity")
    clean = frame[(frame["benchmark"] == "clean") & (frame["metric"] == "rms_calibration")]
    images = frame[(frame["metric"] == "rms_calibration") & (frame["level"] != "")]
    for (dataset, model, benchmark), rows in means.groupby(WHERE, sort=True):
        at_zero = clean[(clean["dataset"] == dataset) & (clean["model"] == model)]
        n = images.loc[(images["dataset"] == dataset) & (images["benchmark"] == benchmark), "n"].max()
        yield from in_parts(partial(by_severity, rows, at_zero, n), rows["label"])


def by_severity(rows: pd.DataFrame, clean: pd.DataFrame, n: int, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model on one benchmark.

    Args:
        rows: its means over corruptions at every severity.
        clean: its RMS calibration error on the clean test set; possibly none.
        n: images a corruption and severity.
        styles: of the methods to show.
    """
    rows, clean = (each[each["label"].isin(set(styles))] for each in (rows, clean))
    dataset, model, benchmark = (str(rows[name].iloc[0]) for name in WHERE)
    figure = new_figure(f"Calibration by severity: {model} on {benchmark}", 3.8)
    axes = figure.subplots()
    corrupted, at_zero = rows.assign(x=rows["level"].map(level_value)), clean.assign(x=0.0)
    lines = [pd.concat([at_zero, corrupted])] if same_images(clean, n) else [at_zero, corrupted]
    drawn = [count for points in lines if len(points) for count in draw_lines(axes, points, styles)]
    axes.set(xlabel="severity", ylabel="RMS calibration error (%)", ylim=(0, None))
    axes.set_xticks(range(6) if len(clean) else range(1, 6), [*(["0 (clean)"] if len(clean) else []), *"12345"])
    legend_below(figure, styles)
    return Drawing(
        name=file_name("calibration_by_severity", dataset, model, benchmark),
        title=f"Calibration by severity: {model} on {benchmark}",
        caption=(
            f"Root mean square calibration error (%) of {model} on the test images of {dataset}, averaged over the "
            f"{rows['n'].max()} corruptions of {benchmark} at each severity{told(rows)}, {n:,} images each. "
            f"{clean_sentence(clean, n)}Lines and bands: {over_networks(drawn)}"
        ),
        alt=f"Lines of the RMS calibration error against severity, one for each of {', '.join(styles)}.",
        figure=figure,
        data=averaged(pd.concat([clean, rows])),
    )


def told(rows: pd.DataFrame) -> str:
    """Return the flags of ``rows`` in brackets; nothing where there are none."""
    flags = "; ".join(flag_texts(rows))
    return f" ({flags})" if flags else ""


def same_images(clean: pd.DataFrame, n: int) -> bool:
    """Return whether the clean test set holds ``n`` images; a line through points of two worlds would mix them."""
    return set(clean["n"]) == {n}


def clean_sentence(clean: pd.DataFrame, n: int) -> str:
    """Return what severity 0 is beside severities of ``n`` images each; nothing where it was not scored."""
    if clean.empty:
        return ""
    apart = "" if same_images(clean, n) else ", and therefore not joined to the others"
    return f"Severity 0 is the clean test images, n={clean['n'].max():,}{apart}. "
