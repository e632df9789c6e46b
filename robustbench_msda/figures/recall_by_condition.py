"""The change of every class's recall under every corruption and attack: a heat map a method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from robustbench_msda.figures.drawing import MOST_LINES, Drawing, file_name
from robustbench_msda.figures.recall import MOST_NAMED, networks
from robustbench_msda.figures.recall_map import draw_changes
from robustbench_msda.figures.style import new_figure
from robustbench_msda.results.aggregates import Absent, tidy, tidy_comparison
from robustbench_msda.results.recalls import CLEAN, ConditionChange, Pair, condition_changes, pairs_of


def recall_by_condition(scores: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[Drawing]:
    """Yield for every method the change of recall against its baseline: a row a condition, a column a class.

    Raises:
        Absent: nothing was compared, only clean images were scored, or there are too many methods or classes.
    """
    changes = tidy_comparison(comparison)
    pairs = pairs_of(changes[changes["on"] == CLEAN])
    if not pairs:
        raise Absent("no comparison with a baseline")
    if len(pairs) > MOST_LINES:
        raise Absent(f"{len(pairs)} comparisons are too many heat maps; see the table dependency_by_condition")
    found = list(condition_changes(tidy(scores), pairs))
    drawn = [[each for each in found if each.pair == pair] for pair in pairs]
    drawn = [each for each in drawn if len(each) > 1 and len(each[0].classes) <= MOST_NAMED]
    if not drawn:
        raise Absent(f"no rows of correct_count but clean ones, or more than {MOST_NAMED} classes")
    sides = {pair: networks(changes[pair_mask(changes, pair)].iloc[0]) for pair in pairs}
    for each in drawn:
        yield condition_map(each, sides[each[0].pair])


def pair_mask(changes: pd.DataFrame, pair: Pair) -> pd.Series[bool]:
    """Return which comparison rows are of ``pair``."""
    names = ("dataset", "model", "baseline", "treatment")
    return pd.concat([changes[name] == value for name, value in zip(names, pair, strict=True)], axis=1).all(axis=1)


def condition_map(found: Sequence[ConditionChange], networks: str) -> Drawing:
    """Return the heat map of one pair of sides, of which ``networks`` says how many each has."""
    dataset, model, baseline, treatment = found[0].pair
    names = [each.condition.removeprefix(f"{dataset}_") for each in found]
    classes = list(dict.fromkeys(name for each in found for name in each.classes))
    rows = pd.DataFrame(
        [
            {"treatment": name, "subset": cls, "value": change, "significant": False}
            for name, each in zip(names, found, strict=True)
            for cls, change in zip(each.classes, each.dependency.recall_change, strict=True)
        ]
    )
    figure = new_figure(f"Recall by condition, {treatment} against {baseline}", 1.5 + 0.24 * len(names))
    axes = figure.subplots()
    draw_changes(axes, rows, names, classes)
    # The names of conditions take room that the classes' would need.
    axes.set_xticks(axes.get_xticks(), classes, rotation=90, ha="center", va="bottom", rotation_mode="default")
    fallen = [each.dependency.degraded.n for each in found]
    return Drawing(
        name=file_name("recall_by_condition", dataset, model, treatment, "vs", baseline),
        title=f"Recall by condition of {treatment} against {baseline}: {model} on {dataset}",
        caption=(
            f"Change of the recall of every class in percentage points, of {model} on {dataset}: {treatment} minus "
            f"{baseline}, averaged over networks ({networks}) and severities first. Rows ending in “all”: "
            "over the test corruptions at once. An attack is made on each network itself. Not tested for significance: "
            "`compare --on` tests one condition."
        ),
        alt=(
            f"Heat map of the recall change of {len(classes)} classes under {len(names)} conditions; "
            f"{min(fallen)} to {max(fallen)} classes degrade in each."
        ),
        figure=figure,
        data=rows.rename(columns={"treatment": "condition"})
        .drop(columns="significant")
        .assign(dataset=dataset, model=model, baseline=baseline, treatment=treatment),
    )
