"""The numbers of a page: score rows averaged over the networks of a method, found by what they are of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from robustbench_msda.results.aggregates import (
    FOR_VALIDATION,
    STANDS_FOR,
    WHO,
    complete_rows,
    ordered_labels,
    tidy_comparison,
)
from robustbench_msda.results.normalised import FLIP_RATES, MEANS
from robustbench_msda.tables.values import Estimate, Format

CLEAN = "clean"
WHAT = ["benchmark", "condition", "level", "source", "subset", "metric"]
# Aggregates over conditions: those that rest on fewer of them than others are no estimate of the same number.
AGGREGATES = (
    *("mean_corruption_error", "mean_rms_calibration", "mean_flip_probability", "mean_flip_probability_spatter"),
    *("mean_top5_distance", *MEANS, *FLIP_RATES),
)
# Metrics that are no fraction, and how they are printed.
FORMATS: dict[str, Format] = {
    **dict.fromkeys(("nll", "nll_scaled", "brier", "brier_scaled", "temperature"), "precise"),
    **dict.fromkeys(("kl_human_model", "kl_model_human_smoothed", "soft_cross_entropy"), "precise"),
    **dict.fromkeys(("top5_distance", "mean_top5_distance"), "distance"),
    **dict.fromkeys(("epoch_seconds", "step_seconds", "images_per_s"), "quantity"),
    **dict.fromkeys(("parameters", "flops"), "millions"),
}
# The mean of error over corruptions at one severity, which is no score row.
SEVERITY_MEAN = "mean_error"
# Data set, model, label.
Who = tuple[str, str, str]


@dataclass(frozen=True)
class Summary:
    """Averages over networks.

    Attributes:
        groups: the rows of each method: columns ``WHAT``, mean, spread, networks, n, low, high, flags.
        networks: of each method a row a network: fingerprint, group, seed, and error, on the clean test set.
        bins: of each method the score rows of its reliability bins.
        changes: rows of a comparison.
        baselines: what each method is compared with: the comparison's baseline, else vanilla or the first; '' for none.
        recall_changes: of each method the rows of its recall changes on the clean images, by class.
    """

    groups: dict[Who, pd.DataFrame]
    networks: dict[Who, pd.DataFrame]
    bins: dict[Who, pd.DataFrame]
    changes: pd.DataFrame
    baselines: dict[Who, str]
    recall_changes: dict[Who, pd.DataFrame]


def summarise(frame: pd.DataFrame, comparison: pd.DataFrame) -> Summary:
    """Return the averages of tidy score rows over the networks of each method.

    Intervals are 95 %: over networks by Student's t, of a single network its own, over images.
    """
    kept = pd.concat([sound(frame), severity_means(frame)], ignore_index=True)
    grouped = kept.groupby([*WHO, *WHAT], sort=False)
    table = grouped.agg(
        mean=("value", "mean"),
        spread=("value", "std"),
        networks=("value", "count"),
        n=("n", "max"),
        low=("low", "first"),
        high=("high", "first"),
        flags=("flags", "first"),
    ).reset_index()
    several = table["networks"] > 1
    half = stdtrit(np.maximum(table["networks"] - 1, 1), 0.975) * table["spread"] / np.sqrt(table["networks"])
    table["low"] = table["low"].where(~several, table["mean"] - half)
    table["high"] = table["high"].where(~several, table["mean"] + half)
    clean = frame[(frame["benchmark"] == CLEAN) & (frame["subset"] == "all")]
    errors = clean[clean["metric"] == "error"].set_index("fingerprint")["value"]
    networks = frame[[*WHO, "fingerprint", "group", "seed"]].drop_duplicates()
    networks = networks.assign(error=networks["fingerprint"].map(errors))
    bins = frame[(frame["benchmark"] == CLEAN) & frame["metric"].isin(["bin_confidence", "bin_accuracy"])]
    groups, changes = by_who(table), tidy_comparison(comparison)
    baselines = {who: baseline_of(who, list(groups), changes) for who in groups}
    moved = {who: recall_changes(who, baselines[who], changes) for who in groups}
    return Summary(groups, by_who(networks), by_who(bins), changes, baselines, moved)


def baseline_of(who: Who, whos: Sequence[Who], changes: pd.DataFrame) -> str:
    """Return the label, one of ``whos``, that ``who`` is compared with; '' for none."""
    here = changes[(changes["dataset"] == who[0]) & (changes["model"] == who[1])]
    labels = [each[2] for each in whos if each[:2] == who[:2]]
    # What a comparison is against may have no scores here, or another name among them.
    here = here[here["baseline"].isin(labels)]
    own = here.loc[here["treatment"] == who[2], "baseline"]
    if len(own):
        return str(own.iloc[0])
    found = str(here["baseline"].iloc[0]) if len(here) else labels[0]
    return "" if found == who[2] else found


def recall_changes(who: Who, baseline: str, changes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the recall changes of ``who`` against ``baseline`` on the clean images, by class."""
    rows = changes[(changes["metric"] == "recall_change") & (changes["on"] == CLEAN)]
    for name, value in zip(("dataset", "model", "baseline", "treatment"), (*who[:2], baseline, who[2]), strict=True):
        rows = rows[rows[name] == value]
    return rows.set_index("subset")


def severity_means(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the error of every network at every severity, averaged over the corruptions that aggregates are over."""
    graded = frame["level"].isin(list("12345")) & ~frame["condition"].str.contains("(", regex=False)
    rows = frame[graded & (frame["metric"] == "error") & (frame["subset"] == "all") & (frame["source"] == "")]
    pieces = []
    for _, here in rows.groupby(["dataset", "benchmark"], sort=True):
        names = tested(here["condition"])
        used = here[here["condition"].isin(names)]
        table = used.groupby([*WHO, "fingerprint", "benchmark", "level"], sort=False)
        means = table.agg(value=("value", "mean"), n=("n", "max"), count=("condition", "nunique")).reset_index()
        pieces.append(means[means["count"] == len(names)].drop(columns="count"))
    empty = {"condition": "", "source": "", "subset": "all", "metric": SEVERITY_MEAN, "flags": ""}
    return pd.concat(pieces).assign(**empty) if pieces else frame.iloc[:0]


def by_who(table: pd.DataFrame) -> dict[Who, pd.DataFrame]:
    """Return the rows of each method, data sets and models by name, methods in their order."""
    found = {tuple(map(str, key)): rows for key, rows in table.groupby(WHO, sort=True)}
    pairs = sorted({key[:2] for key in found})
    ordered = [(*pair, label) for pair in pairs for label in ordered_labels(k[2] for k in found if k[:2] == pair)]
    return {(key[0], key[1], key[2]): found[key].reset_index(drop=True) for key in ordered}


def sound(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` without aggregates that rest on less than others of their kind."""
    drop = pd.Series(False, index=frame.index)
    for metric in set(frame["metric"]) & set(AGGREGATES):
        here = frame["metric"] == metric
        drop |= here & ~frame.index.isin(complete_rows(frame, metric).index)
    return frame[~drop]


def estimates(rows: pd.DataFrame, by: Sequence[str]) -> dict[tuple[str, ...], Estimate]:
    """Return the rows of a summary as numbers, by the columns ``by``."""
    numbers = zip(*(rows[name] for name in ("mean", "spread", "networks", "low", "high")), strict=True)
    keys = zip(*(rows[name].astype(str) for name in by), strict=True)
    return {
        key: Estimate(float(mean), float(spread), int(count), float(low), float(high))
        for key, (mean, spread, count, low, high) in zip(keys, numbers, strict=True)
    }


def difference(after: Estimate | None, before: Estimate | None) -> float:
    """Return the change from ``before`` to ``after``; NaN where one is missing."""
    return math.nan if after is None or before is None else after.mean - before.mean


def tested(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that aggregates are over: not for validation, and no stand-in beside the real one."""
    found = set(names)
    return sorted(name for name in found if name not in FOR_VALIDATION and STANDS_FOR.get(name) not in found)


def format_of(metric: str) -> Format:
    """Return how ``metric`` is printed."""
    return FORMATS.get(metric, "share")


def plain(name: str) -> str:
    """Return the name of a condition in words."""
    return name if "(" in name else name.replace("_", " ")
