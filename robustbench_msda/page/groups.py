"""What the page of a method says: its numbers on everything it was scored on, beside those of its baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from robustbench_msda.figures.reliability import bin_points, pooled
from robustbench_msda.page.charts import Chart, reliability_chart
from robustbench_msda.page.class_numbers import ClassNumbers
from robustbench_msda.page.classes import change_cells, interval, longest
from robustbench_msda.page.graded import attack_section, corruption_sections, perturbation_sections
from robustbench_msda.page.grids import Cell, Grid, Header, amount, words
from robustbench_msda.page.leaderboard import Headlines, profile
from robustbench_msda.page.sections import Section, Sides
from robustbench_msda.page.summary import CLEAN, SEVERITY_MEAN, Summary, Who, estimates, format_of, plain
from robustbench_msda.results.attacks import SEVERAL
from robustbench_msda.tables.values import Estimate

# What a flag of one word says.
MEANINGS = {"made": "Made here from the clean test images, not the official files"}
# What sections of their own show; the rest is listed.
SHOWN = ("corruption_error", "flip_probability", SEVERITY_MEAN)


@dataclass(frozen=True)
class GroupPage:
    """The page of a method.

    Attributes:
        who: data set, model, label.
        baseline: what it is compared with; '' for nothing.
        warnings: what its numbers say about themselves.
        profile: its headline numbers.
        sections: one a kind of benchmark.
        networks: a row a network.
    """

    who: Who
    baseline: str
    warnings: tuple[str, ...]
    profile: Grid
    sections: tuple[Section, ...]
    networks: Grid


def group_page(
    found: Headlines, summary: Summary, numbers: Mapping[Who, ClassNumbers], who: Who, hrefs: Mapping[str, str]
) -> GroupPage:
    """Return what the page of ``who`` says.

    Args:
        found: the headline numbers.
        summary: all others.
        numbers: those of classes.
        who: data set, model, label.
        hrefs: where the pages of its classes are.
    """
    baseline = summary.baselines[who]
    base = (who[0], who[1], baseline)
    sides = Sides(who[2], summary.groups[who], baseline, summary.groups.get(base, summary.groups[who].iloc[:0]))
    sections = [
        *clean_section(sides, summary.bins.get(who)),
        *corruption_sections(sides),
        *attack_section(sides),
        *perturbation_sections(sides),
        *class_section(numbers[who], sides, numbers.get(base), hrefs),
        *other_section(sides),
    ]
    told = warnings(summary.groups[who], summary.recall_changes[who])
    return GroupPage(who, baseline, told, profile(found, who, baseline), tuple(sections), network_grid(summary, who))


def warnings(rows: pd.DataFrame, changes: pd.DataFrame) -> tuple[str, ...]:
    """Return what flags there are, each once, with what they are on."""
    flagged = rows[(rows["flags"] != "") & (rows["benchmark"] != "training")]
    found: dict[str, dict[str, None]] = {}
    for benchmark, metric, flags in flagged[["benchmark", "metric", "flags"]].itertuples(index=False):
        for flag in flags.split("; "):
            if not re.fullmatch(SEVERAL, flag):
                found.setdefault(flag, {})[f"{metric} of {benchmark}"] = None
    told = [f"{MEANINGS.get(flag, flag)}: {', '.join(names)}" for flag, names in found.items()]
    parts = (flag for flags in changes["flags"] for flag in flags.split("; "))
    return (
        *told,
        *dict.fromkeys(f"comparison of classes: {flag}" for flag in parts if flag and not flag.startswith("p: ")),
    )


def clean_section(sides: Sides, bins: pd.DataFrame | None) -> list[Section]:
    """Return every measure on the clean test set, with its interval, and the reliability diagram."""
    own, base = (rows[(rows["benchmark"] == CLEAN) & (rows["subset"] == "all")] for rows in (sides.own, sides.base))
    if own.empty:
        return []
    before = estimates(base, ["metric"])
    rows = []
    for (metric,), value in estimates(own, ["metric"]).items():
        style = format_of(metric)
        row = [
            words(metric, f"../definitions.html#metric-{metric}"),
            amount(value, style, value.n),
            interval(value.low, value.high, style),
        ]
        rows.append(tuple(row + [amount(before.get((metric,)), style, value.n)] * bool(sides.baseline)))
    headers = [Header("Measure"), Header("value", number=True), Header("95 % interval", number=True)]
    headers += [Header(sides.baseline, number=True)] if sides.baseline else []
    images = int(own.loc[own["metric"] == "error", "n"].max()) if "error" in set(own["metric"]) else 0
    caption = (
        f"Clean test set, {images:,} images. In percent, but for nll (nats), brier and temperature. Intervals: over "
        "networks (Student's t), of a single network over images."
    )
    charts = reliability_charts(bins)
    return [
        Section(
            "clean", "Clean images and calibration", (Grid("clean-grid", caption, tuple(headers), tuple(rows)),), charts
        )
    ]


def reliability_charts(bins: pd.DataFrame | None) -> tuple[Chart, ...]:
    """Return the reliability diagram of a method over all of its networks."""
    if bins is None or bins.empty:
        return ()
    table = pooled(bin_points(bins))
    shares = table["n"] / table["n"].sum()
    numbers = zip(table["confidence"], table["accuracy"], shares, strict=True)
    return (reliability_chart("Reliability: accuracy against confidence", list(numbers)),)


def class_section(
    numbers: ClassNumbers, sides: Sides, before: ClassNumbers | None, hrefs: Mapping[str, str]
) -> list[Section]:
    """Return the recall of every class and what became of it, from the largest rise to the largest fall."""
    if not numbers.recall:
        return []
    changes, end = numbers.changes, longest(numbers.changes.values())
    rows = []
    for name in sorted(numbers.recall, key=lambda name: -changes[name].value if name in changes else 0.0):
        own, base = numbers.recall[name], before.recall.get(name) if before else None
        row = [words(name, hrefs.get(name, "")), amount(own, "share", own.n)]
        moved = [amount(base, "share", base.n if base else 0), *change_cells(changes.get(name), end)]
        rows.append((*row, *(moved if changes else ())))
    headers = [Header("Class"), Header("recall (%)", number=True)]
    if changes:
        titles = (f"{sides.baseline} (%)", "Δ (pp)", "95 % interval", "q")
        headers += [*(Header(title, number=True) for title in titles), Header("")]
    caption = "Recall on the clean test set."
    if changes:
        caption += (
            " Δ: its change, averaged over networks first, with a bootstrap interval over networks and images; * and "
            "q: after Benjamini–Hochberg over the classes."
        )
    grid = Grid("classes-grid", caption, tuple(headers), tuple(rows), sortable=True)
    return [Section("classes", "Classes", (grid,))]


def other_section(sides: Sides) -> list[Section]:
    """Return what no other section shows, over all classes."""
    own = sides.own
    graded = own["condition"].str.contains("(", regex=False) & (own["source"] == "")
    elsewhere = own["benchmark"].isin(own.loc[own["metric"].isin(SHOWN), "benchmark"]) | graded
    aggregates = own["metric"] == "worst_case_error"
    # Of what was made of other networks the errors alone.
    told = (own["source"] == "") | (own["metric"] == "error")
    rows = own[~elsewhere & ~aggregates & told & (own["benchmark"] != CLEAN) & (own["subset"] == "all")]
    if rows.empty:
        return []
    cells = []
    for key, value in estimates(rows, ["benchmark", "condition", "level", "source", "metric"]).items():
        where = " ".join(filter(None, (plain(key[1]), key[2], f"from {key[3]}" if key[3] else "")))
        style = format_of(key[4])
        row = (words(key[0]), words(where), words(key[4], f"../definitions.html#metric-{key[4]}"))
        cells.append((*row, amount(value, style, value.n), interval(value.low, value.high, style)))
    titles = (("Benchmark", False), ("condition", False), ("measure", False), ("value", True), ("95 % interval", True))
    headers = tuple(Header(title, number) for title, number in titles)
    return [
        Section(
            "others",
            "Everything else",
            (Grid("others-grid", "In percent, but for counts, times and nats.", headers, tuple(cells)),),
        )
    ]


def network_grid(summary: Summary, who: Who) -> Grid:
    """Return a row a network of the method."""
    networks = summary.networks[who].assign(order=lambda rows: pd.to_numeric(rows["seed"], errors="coerce"))
    networks = networks.sort_values(["order", "fingerprint"], kind="stable")
    rows = []
    for seed, fingerprint, group, error in networks[["seed", "fingerprint", "group", "error"]].itertuples(index=False):
        cells = [words(fingerprint), Cell(seed or "–", number=True), words(group or "–")]
        rows.append((*cells, amount(Estimate(float(error), n=1), "share", 1)))
    headers = (
        Header("Fingerprint"),
        Header("seed", True),
        Header("recipe without its seed"),
        Header("clean error (%)", True),
    )
    return Grid(
        "networks-grid",
        "Networks. A fingerprint names the weights; evaluations are stored under it.",
        headers,
        tuple(rows),
    )
