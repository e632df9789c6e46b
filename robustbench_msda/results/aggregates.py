"""Score rows made ready for tables and figures: checked, labelled, ordered, averaged over the seeds of a recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from robustbench_msda.conditions import CORRUPTION_FAMILIES, EXTRA, FOUR, STAND_INS, TEN
from robustbench_msda.errors import UserError
from robustbench_msda.records import COLUMNS, level_value

WHO = ["dataset", "model", "label"]

FOR_VALIDATION = {*EXTRA, *FOUR}
STANDS_FOR = {made: real for real, made in STAND_INS.items()}

COMPARISON_TEXT = ("dataset", "model", "baseline", "treatment", "metric", "subset", "flags", "on")
COMPARISON_NUMBERS = ("value", "low", "high", "seed_low", "seed_high", "p", "q", "n", "spread")
COMPARISON_SEEDS = ("seeds_baseline", "seeds_treatment")


class Absent(LookupError):
    """The scores hold no rows for a table or figure; the message says which rows, and what makes them."""


class Mean(NamedTuple):
    """A mean over ``n`` networks and its standard deviation (ddof 1), NaN for one network."""

    mean: float
    spread: float
    n: int


def tidy(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``scores`` by network, without repeated rows, and with a column ``label``: what a table prints for it.

    The label is the augmentation; where networks of one data set, model and augmentation come from several recipes, a
    digest is added, because networks of different recipes are never averaged. A stranger's is its fingerprint.

    Args:
        scores: a frame with the columns ``COLUMNS``, or one without columns, which holds no rows; one that is tidy
            already is returned as it is.

    Raises:
        ValueError: a column is missing.
        UserError: a benchmark was run in several worlds, or one number was stored with two values.
    """
    if "label" in scores.columns:
        return scores
    if scores.columns.empty:
        return pd.DataFrame(columns=[*COLUMNS, "label"])
    if missing := [name for name in COLUMNS if name not in scores.columns]:
        raise ValueError(f"expected the columns of score rows, got none named {', '.join(missing)}: use read_scores")
    frame = scores[list(COLUMNS)].drop_duplicates(ignore_index=True)
    check_worlds(frame)
    check_unique(frame)
    labelled = frame.assign(label=labels_of(frame)).dropna(subset=["value"])
    # The order of networks decides the last bit of a mean; the order of a network's own rows, that of its classes.
    return labelled.sort_values([*WHO, "fingerprint"], kind="stable", ignore_index=True)


def check_worlds(scores: pd.DataFrame) -> None:
    """Raise ``UserError`` where a benchmark of a data set was run in several worlds: they never meet in an average."""
    for (dataset, benchmark), rows in scores.groupby(["dataset", "benchmark"], sort=True):
        # The n of an aggregate counts what it is over, not images.
        sizes = rows[rows["metric"].isin(["error", "flip_probability"])].groupby("world")["n"].max()
        if rows["world"].nunique() > 1:
            unit = "videos" if "flip_probability" in set(rows["metric"]) else "images"
            found = ", ".join(f"{world} ({sizes.get(world, 0)} {unit})" for world in sorted(rows["world"].unique()))
            raise UserError(
                f"the scores of {benchmark} on {dataset} are from {rows['world'].nunique()} worlds ({found}), "
                "which are never averaged; score one --limit or one study, then build again"
            )


def check_unique(scores: pd.DataFrame) -> None:
    """Raise ``UserError`` where one number is stored with two values, as when old and new scores are joined."""
    key = ["fingerprint", "benchmark", "world", "condition", "level", "source", "subset", "metric"]
    repeated = scores[scores.duplicated(key)]
    if len(repeated):
        first = repeated.iloc[0]
        raise UserError(
            f"the scores hold two values of {first['metric']} of {first['benchmark']} for checkpoint "
            f"{first['fingerprint']}; make them again: robustbench-msda score"
        )


def labels_of(scores: pd.DataFrame) -> pd.Series[str]:
    """Return for every row its label (see ``tidy``)."""
    recipe = scores["group"].where(scores["group"] != "", scores["fingerprint"])
    name = scores["augmentation"].where(scores["augmentation"] != "", scores["fingerprint"])
    count = recipe.groupby([scores["dataset"], scores["model"], name]).transform("nunique")
    return name.where(count == 1, name + " · " + recipe.str[:6])


def tidy_comparison(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return ``comparison`` with every column a table or figure reads; what is absent is NaN, '' or False."""
    frame = comparison.reindex(columns=[*COMPARISON_TEXT, *COMPARISON_NUMBERS, *COMPARISON_SEEDS, "significant"])
    for name in COMPARISON_TEXT:
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    frame["on"] = frame["on"].replace("", "clean")
    for name in (*COMPARISON_NUMBERS, *COMPARISON_SEEDS):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame["significant"] = frame["significant"].astype(str).str.lower().isin(["yes", "true"])
    return frame


def pick_rows(frame: pd.DataFrame, metric: str, benchmark: str = "") -> pd.DataFrame:
    """Return the rows of ``metric`` over all classes, of one benchmark or of all of them.

    Raises:
        Absent: there are none.
    """
    rows = frame[(frame["metric"] == metric) & (frame["subset"] == "all")]
    rows = rows[rows["benchmark"] == benchmark] if benchmark else rows
    if rows.empty:
        raise Absent(f"no rows of {metric}" + (f" of the benchmark {benchmark}" if benchmark else ""))
    return rows


def complete_rows(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows of the aggregate ``metric`` that rest on what the most complete of their kind rests on.

    An aggregate over fewer corruptions or severities, over a stand-in where another network has the real one, or
    normalised by another network, is no estimate of the same number, and is left out.
    """
    rows = frame[(frame["metric"] == metric) & (frame["subset"] == "all")]
    bases = bases_of(frame) if len(rows) else {}
    columns = (rows[name] for name in ("fingerprint", "benchmark", "condition", "n", "flags"))
    ranks = []
    for fingerprint, benchmark, condition, n, flags in zip(*columns, strict=True):
        basis = () if condition else bases.get((fingerprint, benchmark), ())
        ranks.append((n, not any(name in STANDS_FOR for name, _ in basis), basis, flags))
    kinds = list(zip(*(rows[name] for name in ("dataset", "benchmark", "condition", "level")), strict=True))
    best = {kind: max(rank for rank, other in zip(ranks, kinds, strict=True) if other == kind) for kind in set(kinds)}
    kept = [best[kind] == rank for kind, rank in zip(kinds, ranks, strict=True)]
    return rows[pd.Series(kept, index=rows.index, dtype=bool)]


def bases_of(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Return what the aggregates of every network and benchmark rest on: conditions, each with its flags, sorted."""
    rows = frame[frame["metric"].isin(["corruption_error", "flip_probability"])]
    found: dict[tuple[str, str], dict[str, str]] = {}
    for *who, condition, flags in rows[["fingerprint", "benchmark", "condition", "flags"]].itertuples(index=False):
        if condition not in FOR_VALIDATION:
            found.setdefault((who[0], who[1]), {})[condition] = flags
    return {
        key: tuple(sorted((name, flags) for name, flags in here.items() if STANDS_FOR.get(name) not in here))
        for key, here in found.items()
    }


def flag_texts(rows: pd.DataFrame) -> list[str]:
    """Return what the flags of ``rows`` say, each once, with the conditions that say it."""
    found: dict[str, dict[str, None]] = {}
    for condition, flags in rows.loc[rows["flags"] != "", ["condition", "flags"]].itertuples(index=False):
        for flag in flags.split("; "):
            found.setdefault(flag, {}).update({condition: None} if condition else {})
    return [f"{flag} of {', '.join(names)}" if names else flag for flag, names in found.items()]


def white_box(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the errors under attacks on the network itself, one row a network, attack and ε.

    Raises:
        Absent: there are none.
    """
    errors = pick_rows(frame, "error")
    # The condition of an attack cell is its call expression; a source names a substitute.
    rows = errors[errors["condition"].str.contains("(", regex=False) & (errors["source"] == "")]
    if rows.empty:
        raise Absent("no rows of error under an attack")
    return rows


def over_seeds(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return for every group of ``by`` the mean of ``value`` over networks, its spread and their number.

    Returns:
        Columns ``by``, ``mean``, ``spread`` (standard deviation, ddof 1; NaN for one network) and ``n`` networks.
    """
    grouped = rows.groupby(list(by), sort=False)["value"]
    return grouped.agg(mean="mean", spread="std", n="count").reset_index()


def means_by(rows: pd.DataFrame, by: Sequence[str]) -> dict[tuple[str, ...], Mean]:
    """Return the mean over networks of ``rows`` for every group of the text columns ``by`` (see ``over_seeds``)."""
    table = over_seeds(rows, by)
    keys = zip(*(table[name].astype(str) for name in by), strict=True)
    numbers = zip(table["mean"], table["spread"], table["n"], strict=True)
    return {key: Mean(float(mean), float(spread), int(n)) for key, (mean, spread, n) in zip(keys, numbers, strict=True)}


def ordered_labels(labels: Iterable[str]) -> list[str]:
    """Return ``labels``, each once: vanilla first, then by method, each followed by what wraps it, by parameters."""
    return sorted(set(labels), key=label_order)


def label_order(label: str) -> tuple[bool, str, bool, list[str | float]]:
    """Return the key that sorts ``label``; numbers in it sort by their value."""
    pieces = re.split(r"(\d+(?:\.\d+)?)", label)
    natural: list[str | float] = [float(piece) if k % 2 else piece for k, piece in enumerate(pieces)]
    return not label.startswith("vanilla"), base_method(label), "of=" in label, natural


def base_method(label: str) -> str:
    """Return the innermost method of an augmentation: ``cutmix`` of ``dropmix(rate=0.4, of=cutmix)``."""
    return re.findall(r"(?:^|of=)([^\W]\w*)", label)[-1] if re.match(r"\w", label) else label


def ordered_levels(levels: Iterable[str]) -> list[str]:
    """Return ``levels``, each once, by the number they stand for."""
    return sorted(set(levels), key=level_value)


def ordered_corruptions(conditions: Iterable[str]) -> list[str]:
    """Return ``conditions``, each once, in the order the literature prints corruptions; others follow by name."""
    return in_order(conditions, [name for _, names in CORRUPTION_FAMILIES for name in names])


def ordered_perturbations(conditions: Iterable[str]) -> list[str]:
    """Return ``conditions``, each once: the ten in the order of the paper, those for validation, others by name."""
    return in_order(conditions, (*TEN, *FOUR))


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Return ``names``, each once, as they stand in ``order``; others follow by name."""
    rank = {name: position for position, name in enumerate(order)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))


def family_of(corruption: str) -> str:
    """Return the family of ``corruption``; ``other`` for one the literature does not list."""
    return next((family for family, names in CORRUPTION_FAMILIES if corruption in names), "other")
