"""The table of all classes: what became of each, and which methods raised and lowered it most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robustbench_msda.page.class_numbers import ClassNumbers
from robustbench_msda.page.classes import Name, share_cell
from robustbench_msda.page.grids import Cell, Grid, Header, amount, words
from robustbench_msda.page.summary import Who
from robustbench_msda.tables.text import NOTHING, signed
from robustbench_msda.tables.values import Estimate


def class_index(
    numbers: Mapping[Who, ClassNumbers], baselines: Mapping[Who, str], hrefs: Mapping[Name, str]
) -> list[Grid]:
    """Return a table a data set and model: every class that has a page, and what the methods did to it."""
    pairs = list(dict.fromkeys(who[:2] for who in numbers))
    grids = []
    for place, pair in enumerate(pairs):
        whos = [who for who in numbers if who[:2] == pair]
        names = {name[1]: href for name, href in hrefs.items() if name[0] == pair[0]}
        baseline = next((baselines[who] for who in whos if baselines[who]), whos[0][2])
        known = {who[2]: numbers[who] for who in whos}
        grids.append(index_grid(known, pair, baseline, names, f"index-{place}"))
    return grids


def index_grid(
    known: Mapping[str, ClassNumbers], pair: Sequence[str], baseline: str, names: Mapping[str, str], anchor: str
) -> Grid:
    """Return the table of the classes ``names``, with their pages, of one data set and model, the ``pair``."""
    compared = any(numbers.changes for numbers in known.values())
    base = known[baseline].recall if baseline in known else {}
    rows = []
    for name, href in names.items():
        moved = {label: numbers.changes[name].value for label, numbers in known.items() if name in numbers.changes}
        recall = share_cell(base[name].mean if name in base else None)
        rows.append([words(name, href), recall, *(extremes(moved) if compared else [])])
    headers = [Header("Class"), Header(f"recall, {baseline} (%)", True)]
    if compared:
        headers += [Header("mean Δ (pp)", True), Header("fell under", True)]
        headers += [Header("most raised by"), Header("most lowered by")]
    caption = f"Classes of {pair[0]}, {pair[1]}: recall on the clean test set, averaged over networks."
    if compared:
        caption += f" Δ: its change against {baseline}: the mean over the other methods, and how many lowered it."
    return Grid(anchor, caption, tuple(headers), tuple(tuple(row) for row in rows), sortable=True)


def extremes(changes: Mapping[str, float]) -> list[Cell]:
    """Return the mean of the changes of a class, how many are falls, and the largest both ways with their method."""
    known = {label: value for label, value in changes.items() if value == value}
    if not known:
        return [Cell(NOTHING, number=True)] * 2 + [Cell(NOTHING)] * 2
    fell = sum(value < 0 for value in known.values())
    mean = amount(Estimate(sum(known.values()) / len(known)), "change", 0)
    count = Cell(f"{fell} of {len(known)}", sort=str(fell), number=True)
    most, least = max(known, key=lambda label: known[label]), min(known, key=lambda label: known[label])
    return [mean, count, extreme(most, known[most], known[most] > 0), extreme(least, known[least], known[least] < 0)]


def extreme(label: str, value: float, there: bool) -> Cell:
    """Return a method with its change, or a dash where nothing moved that way."""
    return Cell(f"{label} ({signed(value)})" if there else NOTHING, sort=f"{value:.9g}")
