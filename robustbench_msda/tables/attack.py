"""Tables of errors under white-box attack: by attack and ε, and in the worst case over several attacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from robustbench_msda.results.aggregates import WHO, Absent, in_order, ordered_levels, tidy, white_box
from robustbench_msda.results.attacks import (
    DAGGER,
    WORST,
    attack_name,
    shown_level,
    single,
    suite_rows,
    told_attack_flags,
    worst_cases,
)
from robustbench_msda.tables.assembly import (
    Filled,
    assembled,
    by_label,
    filled,
    images_sentence,
    sentences,
    spread_sentence,
)
from robustbench_msda.tables.values import Column, Estimate, TableData

AUGMENTATION = Column("augmentation", "Augmentation")
WRONG = "an image that is wrong without attack counts as wrong."
UNITS = "ε in units of the pixel range [0, 1]."
# In the order seed 004 names them; the worst case follows.
ORDER = ("fgsm", "pgd", "bim", "uniform_noise", "deepfool")


def attacks(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the error under every white-box attack at every ε.

    Raises:
        Absent: no attack was scored.
    """
    errors = single(white_box(tidy(scores)))
    if errors.empty:
        raise Absent("no rows of error under an attack that is a benchmark of its own")
    columns = []
    for name in errors["benchmark"].unique():
        rows = errors[errors["benchmark"] == name]
        for level in ordered_levels(rows["level"]):
            column = Column(f"error:{name}:{level}", f"ε = {level}", "share", attack_title(name))
            columns.append(flagged(column, rows[rows["level"] == level], WHO))
    header, rows = assembled(AUGMENTATION, columns, by_label(columns))
    texts = errors[["benchmark", "condition"]].drop_duplicates()
    told = [f"{attack_title(name)}: {text}" for name, text in zip(texts["benchmark"], texts["condition"], strict=True)]
    caption = sentences(
        f"Error (%) under white-box attacks on the test images; {WRONG}",
        "; ".join(told) + ".",
        UNITS,
        told_attack_flags(errors),
        spread_sentence(columns),
        images_sentence(errors),
    )
    return TableData("attacks", "Error under attack", caption, header, rows)


def attack_suites(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the error under each of several white-box attacks at every ε, and in the worst case over them.

    Raises:
        Absent: no such attacks were scored.
    """
    frame = tidy(scores)
    errors = white_box(frame)
    rows = suite_rows(frame, errors)
    by = ["dataset", "model", "benchmark", "attack", "label"]
    named = rows.assign(attack=rows["condition"].map(attack_name))
    columns = []
    for norm in in_order(named["norm"], ("L∞", "L2")):
        of_norm = named[named["norm"] == norm]
        for level in ordered_levels(of_norm["level"]):
            column = Column(f"error:{norm}:{level}", level, "share", f"Error (%) at ε in {norm}")
            columns.append(flagged(column, of_norm[of_norm["level"] == level], by))
    keys = sorted(by_label(columns), key=lambda key: (key[:3], attack_rank(key[3])))
    header, lines = assembled(AUGMENTATION, columns, keys)
    caption = sentences(
        f"Error (%) under white-box attacks on the test images; {WRONG}",
        "Worst case: images that at least one of the attacks fools at that ε." if WORST in set(named["attack"]) else "",
        f"Attacks: {', '.join(dict.fromkeys(errors.loc[errors['benchmark'].isin(rows['benchmark']), 'condition']))}.",
        UNITS,
        told_attack_flags(named),
        spread_sentence(columns),
        images_sentence(errors[errors["benchmark"].isin(rows["benchmark"])]),
    )
    names = ("dataset", "model", "benchmark", "attack")
    return TableData("attack_suites", "Error under several attacks", caption, header, lines, names)


def attack_rank(attack: str) -> tuple[bool, int, str]:
    """Return the key that sorts attacks: as papers name them, others by name, the worst case last."""
    bare = attack.removeprefix("l2_")
    return attack == WORST, ORDER.index(bare) if bare in ORDER else len(ORDER), attack


def attack_columns(frame: pd.DataFrame, span: str) -> Iterator[Filled]:
    """Yield the error under every white-box attack, or in the worst case over several, at the ε nearest to 8/255."""
    for rows in shown_attacks(frame):
        name, level = rows["benchmark"].iloc[0], rows["level"].iloc[0]
        metric, title = rows["metric"].iloc[0], attack_title(name)
        title = f"{title}, {WORST}" if metric != "error" else title
        yield flagged(Column(f"{metric}:{name}:{level}", f"{title}, ε = {level}", "share", span), rows, WHO)


def shown_attacks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of each attack, and of the worst case of each suite, that are shown at a glance."""
    try:
        errors = single(white_box(frame))
    except Absent:
        return
    for rows in (errors, worst_cases(frame)):
        for name in rows["benchmark"].unique():
            here = rows[rows["benchmark"] == name]
            yield here[here["level"] == shown_level(name, here["level"])]


def attack_flags(frame: pd.DataFrame) -> str:
    """Return what failed a check among what ``attack_columns`` shows."""
    shown = list(shown_attacks(frame))
    return told_attack_flags(pd.concat(shown)) if shown else ""


def attack_title(benchmark: str) -> str:
    """Return how an attack benchmark is printed."""
    return benchmark.upper() if len(benchmark) <= 4 else benchmark


def flagged(column: Column, rows: pd.DataFrame, by: Sequence[str]) -> Filled:
    """Return ``column`` with the means over networks of ``rows``, those of a network that failed a check marked."""
    found = filled(column, rows, by)
    failed = set(rows.loc[rows["flags"] != "", list(by)].itertuples(index=False, name=None))
    marked = {
        key: replace(value, mark=DAGGER) if key in failed and isinstance(value, Estimate) else value
        for key, value in found.values.items()
    }
    return replace(found, values=marked)
