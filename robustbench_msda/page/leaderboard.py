"""The leaderboard: the headline numbers of every method, whichever there are; and the same numbers for other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from robustbench_msda.page.grids import Cell, Grid, Header, amount, shade_columns, whole, words
from robustbench_msda.page.summary import CLEAN, Summary, Who
from robustbench_msda.results.aggregates import WHO, complete_rows
from robustbench_msda.results.normalised import FLIP_RATES, MEANS, normalised_sentence, normalised_title
from robustbench_msda.tables.assembly import Filled, filled, sentences, told_flags
from robustbench_msda.tables.attack import WRONG, attack_columns, attack_flags
from robustbench_msda.tables.dependency import dependency_columns
from robustbench_msda.tables.natural import natural_columns, natural_sentence
from robustbench_msda.tables.robustness import DEPENDENCY_SENTENCE, ERROR, FLIP_SENTENCE, FLIPS, kind_columns
from robustbench_msda.tables.values import Column, Estimate, usual_n

CALIBRATION = "Calibration (%)"
# What is shaded by its size; the sign of a change matters more.
SHADED = ("share", "count")
CLEAN_COLUMNS = (
    Column("rms_calibration", "RMS", "share", CALIBRATION),
    Column("ece", "ECE", "share", CALIBRATION),
)


@dataclass(frozen=True)
class Headlines:
    """The headline numbers.

    Attributes:
        columns: each with its values by data set, model and label.
        caption: what they are.
    """

    columns: tuple[Filled, ...]
    caption: str

    def value(self, column: Filled, who: Who) -> Estimate | None:
        """Return the number of ``who`` in ``column``."""
        found = column.values.get(who)
        return found if isinstance(found, Estimate) and found.mean == found.mean else None


def headlines(frame: pd.DataFrame, comparison: pd.DataFrame) -> Headlines:
    """Return the headline numbers of tidy score rows: those of the overview table, and normalised ones beside them."""
    corrupted, flips = (complete_rows(frame, name) for name in ("mean_corruption_error", "mean_flip_probability"))
    clean = frame[(frame["benchmark"] == CLEAN) & (frame["subset"] == "all")]
    normalised = {name: found for name in (*MEANS, *FLIP_RATES) if len(found := complete_rows(frame, name))}
    dependency = dependency_columns(comparison)
    columns = [
        *clean_columns(clean, (Column("error", "clean", "share", ERROR),)),
        *kind_columns(corrupted, ERROR),
        *attack_columns(frame, ERROR),
        *natural_columns(frame, ERROR),
        *(filled(normalised_column(name), rows, WHO) for name, rows in normalised.items()),
        *clean_columns(clean, CLEAN_COLUMNS),
        *kind_columns(flips, FLIPS),
        *dependency,
    ]
    caption = sentences(
        "Errors on the clean test set, as the mean over corruptions and their severities, and under white-box attack, "
        f"where {WRONG} Calibration error on the clean test set: root mean square (RMS) and expected (ECE).",
        normalised_sentence([name for name in normalised if name in MEANS], "the test corruptions, in percent"),
        natural_sentence(frame),
        FLIP_SENTENCE if len(flips) else "",
        DEPENDENCY_SENTENCE if dependency else "",
        told_flags(pd.concat([corrupted, flips])),
        attack_flags(frame),
    )
    return Headlines(tuple(columns), caption)


def normalised_column(metric: str) -> Column:
    """Return the column of an aggregate that divides by the errors of another network."""
    return Column(metric, normalised_title(metric), "share", "Normalised (%)")


def clean_columns(clean: pd.DataFrame, columns: Sequence[Column]) -> list[Filled]:
    """Return those of ``columns`` that the clean test set was scored by."""
    rows = {column: clean[clean["metric"] == column.key] for column in columns}
    return [filled(column, found, WHO) for column, found in rows.items() if len(found)]


def leaderboard(found: Headlines, summary: Summary, hrefs: Mapping[Who, str]) -> Grid:
    """Return the table of all methods, to be sorted and filtered.

    Args:
        found: the numbers.
        summary: says which methods there are, and of how many networks.
        hrefs: where the page of each is.
    """
    several = {name: len({who[k] for who in hrefs}) > 1 for k, name in enumerate(("Data set", "Model"))}
    lead = [name for name, more in several.items() if more]
    usual = usual_n([[(value, column.column) for value in column.values.values()] for column in found.columns])
    rows = []
    for who, href in hrefs.items():
        row = [words(who[2], href), *(words(who[k]) for k, more in enumerate(several.values()) if more)]
        row.append(whole(summary.networks[who]["fingerprint"].nunique()))
        row += [
            amount(column.values.get(who), column.column.format, told_n(column, who, usual)) for column in found.columns
        ]
        rows.append(row)
    shades = [k for k, column in enumerate(found.columns, len(lead) + 2) if column.column.format in SHADED]
    shown = shade_columns(rows, shades)
    headers = [Header("Augmentation"), *(Header(name) for name in lead), Header("n", number=True)]
    headers += [Header(column.column.title, number=True, span=column.column.span) for column in found.columns]
    spread = (
        f"Mean ± standard deviation (ddof 1) over n={usual} networks (seeds)" if usual > 1 else "One network each (n=1)"
    )
    return Grid(
        "leaderboard",
        f"Leaderboard. {found.caption} {spread}; n: networks. The darker a cell, the larger its number in its column.",
        tuple(headers),
        tuple(tuple(row) for row in shown),
        sortable=True,
        keys=tuple(hrefs),
    )


def told_n(column: Filled, who: Who, usual: int) -> int:
    """Return the n that goes without saying: ``usual`` networks; of a number over classes, its own."""
    value = column.values.get(who)
    return value.n if isinstance(value, Estimate) and column.column.over == "classes" else usual


def profile(found: Headlines, who: Who, baseline: str) -> Grid:
    """Return the headline numbers of one method beside those of its baseline."""
    rows = []
    for column in found.columns:
        own, base = (found.value(column, (who[0], who[1], label)) for label in (who[2], baseline))
        if own is None:
            continue
        style, title = column.column.format, ": ".join(filter(None, (column.column.span, column.column.title)))
        rows.append([words(title), amount(own, style, own.n), *against(own, base, column)])
    headers = [Header("Number"), Header("value", number=True)]
    if baseline:
        headers += [Header(baseline, number=True), Header("change", number=True)]
    return Grid(
        "profile",
        f"At a glance. {found.caption}",
        tuple(headers),
        tuple(tuple(row[: len(headers)]) for row in rows),
    )


def against(own: Estimate, base: Estimate | None, column: Filled) -> list[Cell]:
    """Return the cells of the baseline's number and of the change from it."""
    if base is None:
        return [Cell("–", number=True)] * 2
    style = column.column.format
    moved = Estimate(own.mean - base.mean)
    shown = amount(moved, "change", 0) if style in ("share", "change") else amount(moved, "correlation", 0)
    return [amount(base, style, base.n), shown]
