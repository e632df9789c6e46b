"""From score rows to the rows of a table, and the sentences its caption is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.special import stdtrit

from robustbench_msda.results.aggregates import Mean, flag_texts, label_order, means_by
from robustbench_msda.tables.values import Column, Estimate, Row, Value, usual_n

# What stands behind a mean over several networks, and behind the value of one.
DEVIATION = "± standard deviation (ddof 1)"
NO_SPREAD = "without a spread"

# The group a row stands in, then what leads the row: its augmentation or class.
Key = tuple[str, ...]


@dataclass(frozen=True)
class Filled:
    """A column and its values by row."""

    column: Column
    values: Mapping[Key, Value]


def filled(column: Column, rows: pd.DataFrame, by: Sequence[str]) -> Filled:
    """Return ``column`` with the means over networks of ``rows`` for every group of the columns ``by``."""
    return Filled(column, means(rows, by))


def means(rows: pd.DataFrame, by: Sequence[str]) -> dict[Key, Value]:
    """Return the mean over networks of ``rows``, with its spread and n, for every group of the columns ``by``."""
    singles = rows.groupby(list(by), sort=False)[["low", "high"]].first()
    singles.index = singles.index.to_flat_index()
    own = {tuple(map(str, key)): ends for key, ends in zip(singles.index, singles.to_numpy(), strict=True)}
    return {key: Estimate(*mean, *ends_of(mean, *own[key])) for key, mean in means_by(rows, by).items()}


def ends_of(mean: Mean, low: float, high: float) -> tuple[float, float]:
    """Return the 95 % interval of a mean over networks, Student's t; of a single one its own, ``low`` to ``high``."""
    if mean.n < 2:
        return low, high
    half = float(stdtrit(mean.n - 1, 0.975)) * mean.spread / math.sqrt(mean.n)
    return mean.mean - half, mean.mean + half


def assembled(
    lead: Column, columns: Sequence[Filled], keys: Iterable[Key]
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Return the columns and rows of a table: ``lead`` is its first column, ``keys`` are its rows, in that order."""
    rows = tuple(Row(key[:-1], (key[-1], *(column.values.get(key) for column in columns))) for key in keys)
    return (lead, *(column.column for column in columns)), rows


def by_label(columns: Iterable[Filled]) -> list[Key]:
    """Return every key of ``columns`` once: groups by name, then labels in the order of augmentations."""
    keys = {key for column in columns for key in column.values}
    return sorted(keys, key=lambda key: (key[:-1], label_order(key[-1])))


def spread_sentence(columns: Sequence[Filled]) -> str:
    """Return what the numbers of ``columns`` are means over, and what stands behind ±."""
    pairs = [[(value, column.column) for value in column.values.values()] for column in columns]
    n = usual_n(pairs)
    numbers = {
        value.n for line in pairs for value, column in line if isinstance(value, Estimate) and column.over == "networks"
    }
    others = ", unless a cell names another n" if len(numbers - {0}) > 1 else ""
    if n == 1:
        return f"Values of one network each (n=1), {NO_SPREAD}{others}."
    return f"Mean {DEVIATION} over n={n} networks (seeds){others}."


def images_sentence(rows: pd.DataFrame) -> str:
    """Return how many test images, or videos of them, each benchmark among ``rows`` was run on."""
    return sentences(
        counted_sentence("Test images", rows, "error"), counted_sentence("Videos", rows, "flip_probability")
    )


def counted_sentence(what: str, rows: pd.DataFrame, metric: str) -> str:
    """Return the n of the rows of ``metric`` for each benchmark, as a count of ``what``; '' where there are none."""
    errors = rows[(rows["metric"] == metric) & (rows["subset"] == "all")]
    counts = errors.groupby(["dataset", "benchmark"], sort=False)["n"].max().reset_index()
    names: dict[tuple[str, int], list[str]] = {}
    for dataset, benchmark, n in zip(counts["dataset"], counts["benchmark"], counts["n"], strict=True):
        names.setdefault((dataset, n), []).append(benchmark)
    told = [f"{dataset} {n:,} ({', '.join(benchmarks)})" for (dataset, n), benchmarks in names.items()]
    return f"{what}: {', '.join(told)}." if told else ""


def sentences(*texts: str) -> str:
    """Return the non-empty ``texts``, one after the other."""
    return " ".join(text for text in texts if text)


def told_flags(rows: pd.DataFrame) -> str:
    """Return the flags of ``rows``, each once, benchmark by benchmark."""
    groups = rows[rows["flags"] != ""].groupby("benchmark", sort=False)
    told = [f"{benchmark}: {'; '.join(flag_texts(here))}" for benchmark, here in groups]
    return f"{'; '.join(told)}." if told else ""
