"""Accuracy and degraded classes against one parameter of a method: figures 3 and 7 of Lee et al. (2023)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.figures.drawing import Drawing, draw_lines, file_name, over_networks
from robustbench_msda.figures.style import FAINT, LineStyle, line_styles, new_figure
from robustbench_msda.results.aggregates import Absent, base_method, over_seeds, pick_rows, tidy, tidy_comparison
from robustbench_msda.results.recalls import CLEAN

FEWEST = 3
NUMBER = re.compile(r"(?<=[(\s])(\w+)=(-?\d[\d.e+-]*)(?=[,)])")
COUNT, NULL = "n_degraded_classes", "n_degraded_null_median"


@dataclass(frozen=True)
class Sweep:
    """Methods that differ in one number.

    Attributes:
        method: what they have in common; ``…`` stands for the number.
        parameter: its name.
        values: label of each method to its number.
    """

    method: str
    parameter: str
    values: dict[str, float]


def parameter_sweep(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:
    """Yield for every model and parameter, of which a method has three values or more, accuracy and N_DC against it.

    Raises:
        Absent: no method was scored at three values of a parameter.
    """
    frame, changes = tidy(scores), tidy_comparison(comparison)
    errors = pick_rows(frame, "error", CLEAN)
    changes = changes[(changes["on"] == CLEAN) & changes["metric"].isin([COUNT, NULL])]
    found = False
    for (dataset, model), rows in errors.groupby(["dataset", "model"], sort=True):
        here = changes[(changes["dataset"] == dataset) & (changes["model"] == model)]
        for sweep in sweeps(list(rows["label"])):
            found = True
            yield curve(rows, here, sweep)
    if not found:
        raise Absent(f"no method was scored at {FEWEST} values of one of its parameters")


def sweeps(labels: list[str]) -> list[Sweep]:
    """Return the sets of ``labels`` that differ in one number and have three values of it or more."""
    bases = [base_method(label) for label in labels]
    written = {label: base for label, base in zip(labels, bases, strict=True) if bases.count(base) >= FEWEST}
    whole = {label: complete(label) for label in written if "·" not in label}
    found: dict[tuple[str, str], dict[str, float]] = {}
    for label, text in whole.items():
        for match in NUMBER.finditer(text):
            template = f"{text[: match.start(2)]}…{text[match.end(2) :]}"
            found.setdefault((template, match[1]), {})[label] = float(match[2])
    return [
        Sweep(template, name, dict(sorted(values.items(), key=lambda item: item[1])))
        for (template, name), values in sorted(found.items())
        if len(set(values.values())) >= FEWEST
    ]


def complete(label: str) -> str:
    """Return the text of a method with every field written; ``label`` itself where it is none of ours."""
    # The table of methods needs torch, which tables and figures do not, but for this one.
    from robustbench_msda.augmentations import canonical
    from robustbench_msda.errors import UserError

    try:
        return canonical(label)
    except UserError:
        return label


def curve(errors: pd.DataFrame, changes: pd.DataFrame, sweep: Sweep) -> Drawing:
    """Return the figure of one sweep of one model."""
    dataset, model = (str(errors[name].iloc[0]) for name in ("dataset", "model"))
    rows = errors[errors["label"].isin(set(sweep.values))]
    rows = rows.assign(x=rows["label"].map(sweep.values), value=1 - rows["value"], label=sweep.method)
    counted = changes[changes["treatment"].isin(set(sweep.values))]
    counted = counted.assign(x=counted["treatment"].map(sweep.values)).sort_values("x", kind="stable")
    style = line_styles([next(iter(sweep.values))]).popitem()[1]
    figure = new_figure(f"{sweep.method}: {model} on {dataset}", 3.6)
    panels = figure.subplots(1, 2) if len(counted) else [figure.subplots()]
    networks = draw_lines(panels[0], rows, {sweep.method: style})
    vanilla = 1 - errors.loc[errors["label"] == "vanilla", "value"].mean()
    panels[0].axhline(100 * vanilla, color=FAINT, linewidth=1.0, dashes=(3, 2))
    panels[0].set(xlabel=sweep.parameter, ylabel="accuracy (%)")
    told = ""
    if len(counted):
        told = draw_counts(panels[1], counted, style)
        panels[1].set(xlabel=sweep.parameter, ylabel=f"N_DC against {counted['baseline'].iloc[0]}", ylim=(0, None))
    line = "" if vanilla != vanilla else "Dashed: vanilla. "
    return Drawing(
        name=file_name("parameter_sweep", dataset, model, sweep.method.replace("…", "x")),
        title=f"{sweep.method}: {model} on {dataset}",
        caption=(
            f"Accuracy on the clean test set and N_DC, the number of classes whose recall falls, of {model} on "
            f"{dataset} against {sweep.parameter} of {sweep.method}. {line}{told}"
            "A value picked here is picked on the test set. "
            f"Accuracy: {over_networks(networks)}"
        ),
        alt=f"Lines of accuracy and degraded classes against {sweep.parameter} of {sweep.method}.",
        figure=figure,
        data=drawn(rows, counted),
    )


def drawn(accuracy: pd.DataFrame, counted: pd.DataFrame) -> pd.DataFrame:
    """Return the means of accuracy, and the counts of degraded classes, by value of a parameter."""
    means = over_seeds(accuracy.assign(metric="accuracy"), ["dataset", "model", "label", "metric", "x"])
    counts = counted.assign(label=accuracy["label"].iloc[0]).rename(columns={"value": "mean"})
    return pd.concat([means, counts[["dataset", "model", "label", "metric", "x", "mean", "low", "high"]]])


def draw_counts(axes: Axes, counted: pd.DataFrame, style: LineStyle) -> str:
    """Draw N_DC against ``x``, and what seed noise alone would give as a band; return what the band is."""
    n, null = (counted[counted["metric"] == name] for name in (COUNT, NULL))
    axes.plot(n["x"], n["value"], color=style.colour, marker=style.marker)
    null = null[null["value"].notna()]
    if null.empty:
        return "What seed noise alone gives needs 4 networks a side. "
    axes.errorbar(
        null["x"],
        null["value"],
        yerr=[null["value"] - null["low"], null["high"] - null["value"]],
        color=FAINT,
        fmt="_",
        linewidth=1.0,
        capsize=2.5,
    )
    return "Grey: N_DC that seed noise alone would give, median and central 95 %. "
