"""What became of a class: its recall under every method and corruption, and to whom its images went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from robustbench_msda.page.class_numbers import Change, ClassNumbers
from robustbench_msda.page.grids import Cell, Grid, Header, amount, change_bar, dash, shade_all, words
from robustbench_msda.page.sections import Section
from robustbench_msda.page.summary import Who, plain
from robustbench_msda.results.aggregates import ordered_corruptions, ordered_levels
from robustbench_msda.results.attacks import attack_name
from robustbench_msda.tables.text import signed
from robustbench_msda.tables.values import Estimate, Format

MOST_ANSWERS = 8
# Data set and class.
Name = tuple[str, str]
# Caption, headers and rows of a grid.
Content = tuple[str, tuple[Header, ...], tuple[tuple[Cell, ...], ...]]


@dataclass(frozen=True)
class ClassPage:
    """The page of a class: its name, and sections, for each model."""

    name: Name
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Side:
    """A method on the page of a class: its label, its page, its numbers and those of its baseline, if it has one."""

    label: str
    href: str
    own: ClassNumbers
    base: ClassNumbers | None


def class_names(numbers: Mapping[Who, ClassNumbers]) -> list[Name]:
    """Return every class of every data set, in the order of the networks' answers."""
    return list(dict.fromkeys((who[0], name) for who, known in numbers.items() for name in known.recall))


def class_page(
    numbers: Mapping[Who, ClassNumbers], baselines: Mapping[Who, str], name: Name, hrefs: Mapping[Who, str]
) -> ClassPage:
    """Return the page of a class.

    Args:
        numbers: what is known of the classes under each method.
        baselines: what each method is compared with.
        name: data set and class.
        hrefs: where the pages of methods are, in their order.
    """
    models = list(dict.fromkeys(who[1] for who in hrefs if who[0] == name[0]))
    sections: list[Section] = []
    for place, model in enumerate(models):
        sides = [
            Side(who[2], href, numbers[who], numbers.get((*who[:2], baselines[who])))
            for who, href in hrefs.items()
            if who[:2] == (name[0], model)
        ]
        sections += model_sections(sides, name[1], place, f": {model}" if len(models) > 1 else "")
    return ClassPage(name, tuple(sections))


def model_sections(sides: Sequence[Side], name: str, place: int, behind: str) -> list[Section]:
    """Return the sections of one model, the ``place``-th; ``behind`` ends their titles."""
    benchmarks = sorted({benchmark for side in sides for benchmark in side.own.conditions})
    found = [
        ("recall", "Recall by augmentation", recall_grid(sides, name)),
        ("answers", "To whom its images went", answer_grid(sides, name)),
        *((f"on-{k}", f"Recall on {each}", condition_grid(sides, each, name)) for k, each in enumerate(benchmarks)),
    ]
    return [
        Section(f"{part}-{place}", f"{title}{behind}", (Grid(f"{part}-{place}-grid", *grid, sortable=True),))
        for part, title, grid in found
        if grid[2]
    ]


def recall_grid(sides: Sequence[Side], name: str) -> Content:
    """Return the recall of a class under every method, its interval, and its change against the baseline."""
    end = longest(side.own.changes.get(name) for side in sides)
    rows = []
    for side in sides:
        recall = side.own.recall.get(name)
        if recall is None:
            continue
        row = [words(side.label, side.href), amount(recall, "share", recall.n), interval(recall.low, recall.high)]
        rows.append([*row, *change_cells(side.own.changes.get(name), end)])
    headers = [Header("Augmentation"), Header("recall (%)", True), Header("95 % interval", True)]
    headers += [Header("Δ (pp)", True), Header("95 % interval", True), Header("q", True), Header("")]
    caption = "Recall on the clean test set; its interval is over networks (Student's t), of a single one over images."
    if end:
        caption += (
            " Δ: change against the baseline, averaged over networks first, with a bootstrap interval over networks "
            "and images; * and q: after Benjamini–Hochberg over the classes."
        )
    kept = len(headers) if end else 3
    return caption, tuple(headers[:kept]), tuple(tuple(row[:kept]) for row in rows)


def longest(changes: Iterable[Change | None]) -> float:
    """Return the largest size of a change or of an end of its interval; 0 for none."""
    sizes = [abs(x) for change in changes if change for x in change[:3] if not math.isnan(x)]
    return max(sizes, default=0.0)


def change_cells(change: Change | None, end: float) -> list[Cell]:
    """Return the cells of a change: its value, interval, q and bar; blank where there is none."""
    if change is None:
        return [dash(), dash(), dash(), Cell()]
    return [
        amount(Estimate(change.value, mark="*" if change.significant else ""), "change", 0),
        interval(change.low, change.high, "change"),
        amount(Estimate(change.q), "probability", 0),
        change_bar(change.value, change.low, change.high, end),
    ]


def interval(low: float, high: float, style: Format = "share") -> Cell:
    """Return an interval of numbers printed in ``style``; a dash where there is none."""
    if math.isnan(low):
        return dash()
    texts = [amount(Estimate(end), style, 0).text for end in (low, high)]
    return Cell(f"[{', '.join(texts)}]", number=True)


def answer_grid(sides: Sequence[Side], name: str) -> Content:
    """Return what share of a class's images each method answers with another class, the most frequent ones."""
    known = [(side, side.own.answers[name]) for side in sides if name in side.own.answers]
    totals: dict[str, float] = {}
    for _, shares in known:
        for answer, share in shares.items():
            totals[answer] = totals.get(answer, 0.0) + share
    order = sorted(totals, key=lambda answer: -totals[answer])[:MOST_ANSWERS]
    rows = []
    for side, shares in known:
        before = side.base.answers.get(name) if side.base else None
        cells = [flow_cell(shares.get(answer, 0.0), before, answer) for answer in order]
        rows.append([words(side.label, side.href), *cells])
    caption = (
        "Images of this class on the clean test set that are answered with another: percent of them, averaged over "
        "networks; in brackets the change against the baseline in percentage points."
    )
    caption += f" The {MOST_ANSWERS} most frequent answers." if len(totals) > MOST_ANSWERS else ""
    headers = (Header("Augmentation"), *(Header(answer, True) for answer in order))
    return caption, headers, tuple(tuple(row) for row in shade_all(rows))


def flow_cell(after: float, before: Mapping[str, float] | None, answer: str) -> Cell:
    """Return a share of a class's images, with the change from the shares of the baseline where there are any."""
    moved = after - before.get(answer, 0.0) if before else 0.0
    told = f" ({signed(moved)})" if abs(moved) >= 5e-5 else ""
    return Cell(amount(Estimate(after), "share", 0).text + told, sort=f"{after:.9g}", number=True)


def condition_grid(sides: Sequence[Side], benchmark: str, name: str) -> Content:
    """Return the recall of a class under every corruption, over its severities, or at every ε of an attack."""
    known = [(side, side.own.conditions[benchmark].get(name, {})) for side in sides if benchmark in side.own.conditions]
    keys = {key for _, recalls in known for key in recalls}
    order = ordered_corruptions(condition for condition, _ in keys)
    columns = [
        (condition, level)
        for condition in order
        for level in ordered_levels(level for other, level in keys if other == condition)
    ]
    rows = [
        [words(side.label, side.href), *(share_cell(recalls.get(key)) for key in columns)]
        for side, recalls in known
        if recalls
    ]
    several = len(order) > 1
    names = [attack_name(condition) for condition in order]
    short = {
        condition: name if names.count(name) == 1 else condition for condition, name in zip(order, names, strict=True)
    }
    titles = [
        plain(condition) if not level else f"{short[condition]} {level}" if several else f"ε = {level}"
        for condition, level in columns
    ]
    over = "" if any(level for _, level in columns) else ", over all its severities"
    caption = (
        f"Recall (%) of this class under each condition of {benchmark}{over}, averaged over networks; darker: higher."
    )
    return caption, (Header("Augmentation"), *(Header(title, True) for title in titles)), tuple(map(tuple, rows))


def share_cell(value: float | None) -> Cell:
    """Return a cell with a share, shaded by it."""
    return dash() if value is None else replace(amount(Estimate(value), "share", 0), shade=value)
