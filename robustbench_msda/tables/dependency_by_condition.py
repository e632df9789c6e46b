"""Table of class dependency under every corruption and attack."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_msda.results.aggregates import Absent, ordered_labels, tidy, tidy_comparison
from robustbench_msda.results.recalls import CLEAN, ConditionChange, condition_changes, pairs_of
from robustbench_msda.tables.assembly import Filled, Key, assembled, images_sentence, sentences
from robustbench_msda.tables.dependency import DEGRADED_CHANGE, flags_sentence, sides_sentence
from robustbench_msda.tables.text import signed
from robustbench_msda.tables.values import Column, Estimate, TableData, Value

CAPTION = (
    "N_DC: classes whose recall under the condition, averaged over networks (and severities) first, falls below that "
    "of the baseline, of all classes with images there; ΔR_DC: the mean fall of these classes in percentage points ± "
    "their standard deviation (ddof 0); worst: the class that loses most. An attack is made on each network itself. "
    "Seed noise alone degrades about half of the classes: the command compare tests a condition."
)


def by_condition(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:
    """Return N_DC, ΔR_DC and the worst class of every method under every condition, a row a condition.

    Raises:
        Absent: nothing was compared, or only clean images were scored.
    """
    changes = tidy_comparison(comparison)
    found = list(condition_changes(tidy(scores), pairs_of(changes[changes["on"] == CLEAN])))
    if all(each.condition == CLEAN for each in found):
        raise Absent("no comparison with a baseline" if changes.empty else "no rows of correct_count but clean ones")
    keys: list[Key] = list(dict.fromkeys((*each.pair[:3], each.condition) for each in found))
    columns = [
        column
        for label in ordered_labels(each.pair[3] for each in found)
        for column in method_columns(label, [each for each in found if each.pair[3] == label])
    ]
    header, rows = assembled(Column("condition", "Condition"), columns, sorted(keys, key=lambda key: key[:3]))
    told = flags_sentence(changes[changes["flags"].str.contains("recipes differ")], "")
    caption = sentences(CAPTION, sides_sentence(changes), told, images_sentence(tidy(scores)))
    title = "Class dependency by condition"
    return TableData("dependency_by_condition", title, caption, header, rows, ("dataset", "model", "baseline"))


def method_columns(label: str, found: list[ConditionChange]) -> list[Filled]:
    """Return the columns of the method ``label``, whose changes are ``found``."""
    counts: dict[Key, Value] = {}
    falls: dict[Key, Value] = {}
    worst: dict[Key, Value] = {}
    for each in found:
        key, part = (*each.pair[:3], each.condition), each.dependency.degraded
        counts[key] = Estimate(part.n)
        falls[key] = Estimate(part.mean, part.std_population, part.n)
        worst[key] = worst_class(each)
    return [
        Filled(Column(f"n_degraded_classes:{label}", "N_DC", "count", label, over="classes"), counts),
        Filled(
            Column(f"mean_recall_change_degraded:{label}", DEGRADED_CHANGE.title, "change", label, "classes"), falls
        ),
        Filled(Column(f"worst_class:{label}", "worst (pp)", "text", label), worst),
    ]


def worst_class(found: ConditionChange) -> str | None:
    """Return the class that lost most and its change in percentage points; None where no class lost."""
    if not found.dependency.degraded.n:
        return None
    k = int(np.nanargmin(found.dependency.recall_change))
    return f"{found.classes[k]} {signed(float(found.dependency.recall_change[k]))}"
