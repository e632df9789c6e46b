"""Recall of the classes a method raises and lowers most: figures 8 and 9 of the class-dependency paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from robustbench_msda.figures.drawing import MOST_LINES, Drawing, averaged, file_name, over_networks
from robustbench_msda.figures.style import FAINT, line_styles, new_figure
from robustbench_msda.results.aggregates import (
    Absent,
    Mean,
    base_method,
    label_order,
    means_by,
    tidy,
    tidy_comparison,
)
from robustbench_msda.results.recalls import CLEAN, Pair, pairs_of

# Of each end.
MOST_CLASSES = 10
# The place of the mean over classes, which stands apart.
MEAN_PLACE = -1.5


def class_recalls(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:
    """Yield for every method the recall of its ten most improved and ten most degraded classes, and the mean.

    Beside it stand its baseline and the methods that wrap it, such as ``dropmix(of=cutmix)``.

    Raises:
        Absent: nothing was compared, or too many methods.
    """
    frame, changes = tidy(scores), tidy_comparison(comparison)
    changes = changes[(changes["on"] == CLEAN) & (changes["metric"] == "recall_change") & changes["value"].notna()]
    recall = frame[(frame["metric"] == "recall") & (frame["benchmark"] == CLEAN)]
    # A comparison names what other scores may call otherwise, where they hold another recipe of an augmentation.
    known = set(zip(recall["dataset"], recall["model"], recall["label"], strict=True))
    bare = sorted(
        (
            pair
            for pair in pairs_of(changes)
            if "of=" not in pair[3] and pair[2] != pair[3] and {(*pair[:2], pair[2]), (*pair[:2], pair[3])} <= known
        ),
        key=lambda p: (p[:3], label_order(p[3])),
    )
    if not bare or recall.empty:
        raise Absent("no comparison of a method with a baseline, or no rows of recall of the benchmark clean")
    if len(bare) >= MOST_LINES:
        raise Absent(f"{len(bare)} comparisons are too many figures; see the table classes")
    for pair in bare:
        rows = recall[(recall["dataset"] == pair[0]) & (recall["model"] == pair[1])]
        own = changes[[tuple(row) == pair for row in changes[["dataset", "model", "baseline", "treatment"]].to_numpy()]]
        wrappers = sorted(
            {label for label in rows["label"] if "of=" in label and base_method(label) == base_method(pair[3])}
        )
        yield recalls(rows, own, pair, [pair[2], pair[3], *wrappers])


def recalls(rows: pd.DataFrame, changes: pd.DataFrame, pair: Pair, labels: Sequence[str]) -> Drawing:
    """Return the figure of the methods ``labels``, whose recalls are ``rows``, with classes chosen by ``changes``."""
    dataset, model, baseline, treatment = pair
    ordered = changes.sort_values("value", ascending=False, kind="stable")
    raised = list(ordered.loc[ordered["value"] > 0, "subset"].head(MOST_CLASSES))
    lowered = list(ordered.loc[ordered["value"] < 0, "subset"].tail(MOST_CLASSES))
    classes = [*raised, *lowered]
    shown = rows[rows["label"].isin(list(labels))]
    means = means_by(shown, ["label", "subset"])
    title = f"Recall of the classes that {treatment} moves most: {model} on {dataset}"
    figure = new_figure(title, 4.0)
    axes = figure.subplots()
    drawn = draw_recalls(axes, means, shown, labels, classes)
    if raised and lowered:
        axes.axvline(len(raised) - 0.5, color=FAINT, linewidth=0.9, dashes=(3, 2))
    axes.set_xticks([MEAN_PLACE, *range(len(classes))], ["mean of all", *classes], rotation=45, ha="right")
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("recall (%)")
    figure.legend(loc="outside lower center", ncols=min(3, len(labels)))
    return Drawing(
        name=file_name("class_recalls", dataset, model, treatment, "vs", baseline),
        title=title,
        caption=(
            f"Recall (%) on the clean test set of {dataset}, {model}, of the classes that {treatment} raises most "
            f"against {baseline} (left of the line: {len(raised)}) and lowers most (right: {len(lowered)}), and the "
            f"mean over all classes. Marks and whiskers: {over_networks(drawn)}"
        ),
        alt=f"Marks of the recall of {len(classes)} classes under {', '.join(labels)}.",
        figure=figure,
        data=averaged(shown[shown["subset"].isin(classes)]),
    )


def draw_recalls(
    axes: Axes,
    means: dict[tuple[str, ...], Mean],
    rows: pd.DataFrame,
    labels: Sequence[str],
    classes: Sequence[str],
) -> list[int]:
    """Draw a mark for each method and class, and for the mean over all classes, in percent; return what n they have."""
    offsets = np.linspace(-0.22, 0.22, len(labels))
    drawn: list[int] = []
    for offset, (label, style) in zip(offsets, line_styles(labels).items(), strict=True):
        here = [(place, means[label, name]) for place, name in enumerate(classes) if (label, name) in means]
        overall = rows[rows["label"] == label].groupby("fingerprint")["value"].mean()
        points = [(MEAN_PLACE, Mean(overall.mean(), overall.std(), len(overall))), *here]
        axes.errorbar(
            [place + offset for place, _ in points],
            [100 * mean.mean for _, mean in points],
            yerr=[100 * np.nan_to_num(mean.spread) for _, mean in points],
            fmt=style.marker,
            color=style.colour,
            elinewidth=1.1,
            label=label,
        )
        drawn += [mean.n for _, mean in points]
    axes.axvspan(MEAN_PLACE - 0.5, MEAN_PLACE + 0.5, color=FAINT, alpha=0.12, linewidth=0)
    axes.set_xlim(MEAN_PLACE - 0.6, len(classes) - 0.4)
    return drawn
