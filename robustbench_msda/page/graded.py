"""Sections on what has severities: corruptions, attacks and perturbations of one method, beside its baseline's."""

from __future__ import annotations

import re

import pandas as pd

from robustbench_msda.page.charts import Chart, Line, line_chart
from robustbench_msda.page.grids import Cell, Grid, Header, amount, dash, shade_all, words
from robustbench_msda.page.sections import Section, Sides
from robustbench_msda.page.summary import CLEAN, SEVERITY_MEAN, difference, estimates, plain
from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import ordered_corruptions, ordered_levels, ordered_perturbations
from robustbench_msda.results.attacks import WORST, attack_name
from robustbench_msda.tables.values import Estimate

SEVERITIES = tuple("12345")


def corruption_sections(sides: Sides) -> list[Section]:
    """Return a section a benchmark of corruptions: error and calibration by severity, and every corruption."""
    found = sides.own.loc[sides.own["metric"] == SEVERITY_MEAN, "benchmark"].unique()
    return [corruption_section(sides, str(name)) for name in sorted(found)]


def corruption_section(sides: Sides, benchmark: str) -> Section:
    """Return the section of one benchmark of corruptions."""
    metrics = {SEVERITY_MEAN: ("Error", "error"), "mean_rms_calibration": ("RMS calibration error", "rms_calibration")}
    charts = [
        severity_chart(sides, benchmark, *key, *title) for key, title in ((((m,)), t) for m, t in metrics.items())
    ]
    images = int(sides.own.loc[(sides.own["benchmark"] == benchmark) & (sides.own["metric"] == "error"), "n"].max())
    caption = (
        f"Error (%) under each corruption of {benchmark} at severities 1 to 5, {images:,} images each. The darker a "
        "cell, the larger the error."
    )
    grid = corruption_grid(sides, benchmark, caption)
    return Section(f"on-{anchor(benchmark)}", f"Corruptions: {benchmark}", (grid,), tuple(filter(None, charts)))


def severity_chart(sides: Sides, benchmark: str, metric: str, title: str, clean: str) -> Chart | None:
    """Return the mean of a metric over corruptions against severity; at 0 its value on as many clean images."""
    lines = []
    for name, rows in ((sides.name, sides.own), (sides.baseline, sides.base)):
        here = rows[(rows["benchmark"] == benchmark) & (rows["metric"] == metric) & (rows["level"] != "")]
        counts = rows.loc[(rows["benchmark"] == benchmark) & (rows["metric"] == "error"), "n"]
        at_zero = rows[(rows["benchmark"] == CLEAN) & (rows["metric"] == clean) & (rows["subset"] == "all")]
        same = len(at_zero) and len(counts) and at_zero["n"].iloc[0] == counts.max()
        both = pd.concat([at_zero, here]) if same else here
        lines.append(Line(name, points(both)))
    if not lines[0].points:
        return None
    first = 0 if any(x == 0 for x, _, _ in lines[0].points) else 1
    ticks = [(float(k), "0 (clean)" if k == 0 else str(k)) for k in range(first, 6)]
    return line_chart(f"{title} by severity (%)", "severity", ticks, lines)


def points(rows: pd.DataFrame) -> tuple[tuple[float, float, float], ...]:
    """Return (level, mean, spread) of rows of a summary, in percent, by level; without a level it is 0."""
    listed = zip(rows["level"], rows["mean"], rows["spread"], strict=True)
    return tuple(sorted((max(0.0, level_value(level)), 100 * mean, 100 * spread) for level, mean, spread in listed))


def corruption_grid(sides: Sides, benchmark: str, caption: str) -> Grid:
    """Return the error at every severity of every corruption, and the mean beside the baseline's."""
    own, base = (rows[(rows["benchmark"] == benchmark) & (rows["subset"] == "all")] for rows in (sides.own, sides.base))
    errors = estimates(own[own["metric"] == "error"], ["condition", "level"])
    means, before = (estimates(rows[rows["metric"] == "corruption_error"], ["condition"]) for rows in (own, base))
    names = ordered_corruptions({name for name, _ in errors})
    graded = [
        [words(plain(name)), *(amount(errors.get((name, level)), "share", usual(errors)) for level in SEVERITIES)]
        for name in names
    ]
    tails = [compared(means.get((name,)), before.get((name,)), sides.baseline) for name in names]
    rows = tuple((*row, *tail) for row, tail in zip(shade_all(graded), tails, strict=True))
    headers = [Header("Corruption"), *(Header(level, True, "severity") for level in SEVERITIES), Header("mean", True)]
    headers += [Header(sides.baseline, True), Header("change (pp)", True)] if sides.baseline else []
    return Grid(f"grid-{anchor(benchmark)}", caption, tuple(headers), rows)


def usual(found: dict[tuple[str, ...], Estimate]) -> int:
    """Return how many networks the numbers are over, at most."""
    return max((value.n for value in found.values()), default=0)


def compared(own: Estimate | None, base: Estimate | None, baseline: str) -> list[Cell]:
    """Return a number, and where there is a baseline its number and the change from it."""
    first = amount(own, "share", own.n if own else 0)
    if not baseline:
        return [first]
    moved = amount(Estimate(difference(own, base)), "change", 0)
    return [first, amount(base, "share", base.n if base else 0), moved]


def attack_section(sides: Sides) -> list[Section]:
    """Return the error under every white-box attack against ε, and in the worst case over several."""
    own, base = named_attacks(attacked(sides.own), attacked(sides.base))
    if own.empty:
        return []
    charts, rows = [], []
    levels = ordered_levels(own["level"])
    for benchmark, attack in own[["benchmark", "attack"]].drop_duplicates().astype(str).to_numpy():
        here = own[(own["benchmark"] == benchmark) & (own["attack"] == attack)]
        there = base[(base["benchmark"] == benchmark) & (base["attack"] == attack)]
        ticks = [(level_value(level), level) for level in ordered_levels(here["level"])]
        alone = attack_name(attack) == benchmark
        title = f"Error under {attack}" if alone else f"Error under {attack}, {benchmark}"
        lines = [Line(sides.name, points(here)), Line(sides.baseline, points(there))]
        charts += [line_chart(f"{title} (%)", "ε", ticks, lines)] if len(ticks) > 1 else []
        name = attack if alone else f"{benchmark}: {attack}"
        rows.append(attack_row(name, here, levels))
        rows += [attack_row(f"{name}, {sides.baseline}", there, levels)] if len(there) else []
    texts = ", ".join(dict.fromkeys(text for text in [*own["condition"], *base["condition"]] if text))
    caption = f"Error (%) under white-box attack, by ε; an image that is wrong without attack counts as wrong. {texts}."
    headers = (Header("Attack"), *(Header(level, True, "ε") for level in levels))
    grid = Grid("attacks-grid", caption, headers, tuple(tuple(row) for row in shade_all(rows)))
    return [Section("attacks", "White-box attacks", (grid,), tuple(charts))]


def attacked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the errors under white-box attack, with a column ``attack``: its name, or that it is the worst case."""
    single = (rows["metric"] == "error") & rows["condition"].str.contains("(", regex=False)
    chosen = rows[
        (single | (rows["metric"] == "worst_case_error")) & (rows["subset"] == "all") & (rows["source"] == "")
    ]
    worst = chosen["metric"] == "worst_case_error"
    return chosen.assign(attack=chosen["condition"].map(attack_name).where(~worst, WORST))


def named_attacks(own: pd.DataFrame, base: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both sides with the whole text for the name of an attack that stands there with several settings."""
    every = pd.concat([own, base])
    texts: dict[tuple[str, str], set[str]] = {}
    for benchmark, attack, text in zip(every["benchmark"], every["attack"], every["condition"], strict=True):
        texts.setdefault((benchmark, attack), set()).add(text)
    unclear = {key for key, found in texts.items() if len(found) > 1 and key[1] != WORST}
    named = []
    for rows in (own, base):
        keys = zip(rows["benchmark"], rows["attack"], rows["condition"], strict=True)
        names = [text if (benchmark, attack) in unclear else attack for benchmark, attack, text in keys]
        named.append(rows.assign(attack=pd.Series(names, index=rows.index, dtype=object)))
    return named[0], named[1]


def attack_row(name: str, rows: pd.DataFrame, levels: list[str]) -> list[Cell]:
    """Return a row of the table of attacks."""
    found = estimates(rows, ["level"])
    return [words(name), *(amount(found.get((level,)), "share", usual(found)) for level in levels)]


def perturbation_sections(sides: Sides) -> list[Section]:
    """Return a section a benchmark of perturbation sequences: how often the answer flips."""
    flips = sides.own[sides.own["metric"] == "flip_probability"]
    return [perturbation_section(sides, str(name)) for name in sorted(flips["benchmark"].unique())]


def perturbation_section(sides: Sides, benchmark: str) -> Section:
    """Return the section of one benchmark of perturbation sequences."""
    own, base = (rows[rows["benchmark"] == benchmark] for rows in (sides.own, sides.base))
    flips, before = (estimates(rows[rows["metric"] == "flip_probability"], ["condition"]) for rows in (own, base))
    moves = estimates(own[own["metric"] == "top5_distance"], ["condition"])
    rows = []
    for name in ordered_perturbations({name for (name,) in flips}):
        distance = moves.get((name,))
        last = amount(distance, "distance", distance.n) if distance else dash()
        rows.append((words(plain(name)), *compared(flips[name,], before.get((name,)), sides.baseline), last))
    headers = [Header("Perturbation"), Header("flips (%)", True)]
    headers += [Header(sides.baseline, True), Header("change (pp)", True)] if sides.baseline else []
    headers.append(Header("top-5 distance (ranks)", True))
    caption = "How often the answer changes along a video, and how far the first five answers move."
    grid = Grid(f"grid-{anchor(benchmark)}", caption, tuple(headers), tuple(rows))
    return Section(f"on-{anchor(benchmark)}", f"Perturbations: {benchmark}", (grid,))


def anchor(name: str) -> str:
    """Return ``name`` as part of an anchor."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)
