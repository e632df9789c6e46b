"""Flips under perturbation: how often answers change along videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.conditions import FOUR
from robustbench_msda.figures.drawing import Drawing, averaged, file_name, in_parts, over_networks
from robustbench_msda.figures.style import FAINT, LineStyle, legend_below, new_figure
from robustbench_msda.results.aggregates import (
    Mean,
    complete_rows,
    flag_texts,
    means_by,
    ordered_perturbations,
    pick_rows,
    tidy,
)

WHERE = ["dataset", "model", "benchmark"]
MEAN = "mean"
BAND = "#f3f3f3"
# Between the tested perturbations, their mean, and those for validation.
GAP = 0.6
# The share of a row that its marks take.
SPREAD = 0.66


def flips(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:  # noqa: ARG001
    """Yield for every model and benchmark the flip probability under every perturbation, a mark a method.

    Raises:
        Absent: no perturbation was scored.
    """
    frame = tidy(scores)
    means = complete_rows(frame, "mean_flip_probability").assign(condition=MEAN)
    rows = pd.concat([pick_rows(frame, "flip_probability"), means])
    for _, here in rows.groupby(WHERE, sort=True):
        yield from in_parts(partial(dots, here), here["label"])


def dots(rows: pd.DataFrame, styles: dict[str, LineStyle]) -> Drawing:
    """Return the figure of one model on one benchmark, of those of its flip probabilities that ``styles`` has."""
    rows = rows[rows["label"].isin(set(styles))]
    dataset, model, benchmark = (str(rows[name].iloc[0]) for name in WHERE)
    means = means_by(rows, ["condition", "label"])
    places = rows_of({name for name, _ in means})
    height = 1.2 + len(places) * max(0.3, 0.075 * len(styles))
    figure = new_figure(f"Flip probability: {model} on {benchmark}", height)
    draw_dots(figure.subplots(), means, places, styles)
    legend_below(figure, styles)
    flags = "; ".join(flag_texts(rows.assign(condition="")))
    most, label = max((key for key in means if key[0] != MEAN), key=lambda key: means[key].mean)
    return Drawing(
        name=file_name("flips", dataset, model, benchmark),
        title=f"Flip probability: {model} on {benchmark}",
        caption=(
            f"Flip probability (%) of {model} under each perturbation of {benchmark}"
            f"{f' ({flags})' if flags else ''}: share of the frames answered otherwise than the frame before, in "
            f"videos of noise than the first, clean frame; {videos(rows)} videos each. {MEAN}: over the tested "
            f"perturbations, without those for validation. Marks and bars: {over_networks(counts(means))}"
        ),
        alt=(
            f"Dots of the flip probability under {len(places) - (MEAN in places)} perturbations for "
            f"{', '.join(styles)}; highest: {most} with {label}, {100 * means[most, label].mean:.1f} %."
        ),
        figure=figure,
        data=averaged(rows),
    )


def videos(rows: pd.DataFrame) -> str:
    """Return how many videos of each perturbation there are."""
    return f"{rows.loc[rows['condition'] != MEAN, 'n'].max():,}"


def counts(means: Mapping[tuple[str, ...], Mean]) -> list[int]:
    """Return the number of networks behind every mean."""
    return [mean.n for mean in means.values()]


def rows_of(names: set[str]) -> dict[str, float]:
    """Return where each perturbation stands, from the top: those tested, their mean, and those for validation."""
    ordered = ordered_perturbations(names - {MEAN})
    validation = [name for name in ordered if name in FOUR]
    groups: Sequence[Sequence[str]] = (
        [name for name in ordered if name not in validation],
        [MEAN] if MEAN in names else [],
        validation,
    )
    places: dict[str, float] = {}
    for k, group in enumerate(filter(None, groups)):
        places |= {name: k * GAP + place for place, name in enumerate(group, len(places))}
    return places


def draw_dots(
    axes: Axes,
    means: Mapping[tuple[str, ...], Mean],
    places: Mapping[str, float],
    styles: Mapping[str, LineStyle],
) -> None:
    """Draw a mark for each perturbation and method, with its spread over networks as a bar, in percent."""
    for place in list(places.values())[::2]:
        axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(styles)) if len(styles) > 1 else [0.0]
    for offset, (label, style) in zip(offsets, styles.items(), strict=True):
        here = {name: means[name, label] for name in places if (name, label) in means}
        x = [100 * mean.mean for mean in here.values()]
        spread = [100 * np.nan_to_num(mean.spread) for mean in here.values()]
        y = [places[name] + offset for name in here]
        axes.errorbar(x, y, xerr=spread, fmt=style.marker, color=style.colour, markersize=4.5, elinewidth=1.2)
    axes.set_yticks(list(places.values()), [name.replace("_", " ") for name in places])
    axes.set_xlabel("flip probability (%)")
    axes.set(xlim=(0, None), ylim=(max(places.values()) + 0.6, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for name, text in zip(places, axes.get_yticklabels(), strict=True):
        text.set_fontweight("bold" if name == MEAN else "normal")
    if validation := [place for name, place in places.items() if name in FOUR]:
        beside, middle = axes.get_yaxis_transform(), float(np.mean(validation))
        axes.text(1.01, middle, "for validation", transform=beside, rotation=270, va="center", color=FAINT)
