"""What the caption of a paper's table says of our numbers: over what they are means, and how they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from robustbench_msda.data.known import DATASETS
from robustbench_msda.papers.cells import ABSENT, MADE, SHORTER, SUBSTITUTED
from robustbench_msda.papers.material import Material, Terms
from robustbench_msda.papers.measured import Measured
from robustbench_msda.papers.printed import Layout, Number, notes
from robustbench_msda.tables.assembly import DEVIATION, NO_SPREAD, images_sentence, sentences

RULES = {
    ("row", "high"): "the best of its row, the highest",
    ("row", "low"): "the best of its row, the lowest",
    ("column", "high"): "the best of its column, the highest",
    ("column", "low"): "the best of its column, the lowest",
}


def paper_sentence(layout: Layout) -> str:
    """Return where the paper's numbers are from, and what contradicts what in them."""
    paper, table = layout.name.split(".")
    told = [
        f"{', '.join(filter(None, (row.group, *row.labels, column.span, column.title)))}: {note.note}"
        for note in notes()
        if (note.paper, note.table) == (paper, table)
        for row, column in [(layout.rows[note.row - 1], layout.columns[note.column - 1])]
    ]
    known = f"Known of its numbers: {' '.join(told)}" if told else ""
    return sentences(f"Paper: table {table} of {layout.paper}, as printed there.", known)


def needs_sentence(layout: Layout) -> str:
    """Return what ours would need; '' where it needs nothing."""
    return f"Ours would need {layout.needs}." if layout.needs else ""


def bold_sentence(layout: Layout) -> str:
    """Return what is bold among our numbers; '' for nothing."""
    if layout.bold is None:
        return ""
    within = ", and what is within its standard deviation" if layout.bold.within_std else ""
    without = f", without {', '.join(layout.bold.without)}" if layout.bold.without else ""
    return f"Bold, as the paper has it: {RULES[layout.bold.along, layout.bold.best]}{within}{without}."


def our_sentences(
    layout: Layout,
    pairs: Sequence[tuple[Number, Measured | None]],
    material: Material,
    terms: Terms,
) -> str:
    """Return what our numbers are: means over how many networks, trained how, on what, and what stands for what."""
    found = [measured for _, measured in pairs if measured is not None]
    if not found:
        return sentences(f"Ours: {ABSENT} nothing of this table was measured.", needs_sentence(layout))
    networks = sorted({who for measured in found for who in measured.networks})
    rows = material.scores[material.scores["fingerprint"].isin(networks)]
    missing = any(measured is None and number.printed == "number" for number, measured in pairs)
    return sentences(
        f"Ours: {', '.join(sorted(set(rows['study'])))}.",
        spread_sentence(found),
        trained_sentence(networks, material, layout),
        f"{SUBSTITUTED} not like for like: {stands(pairs, terms)}." if any(each.substituted for each in found) else "",
        *(split_sentence(name) for name in sorted(set(rows["dataset"]))),
        f"{MADE} on stimuli made here from the test images, not on the official files."
        if any(each.made for each in found)
        else "",
        f"{SHORTER} trained for fewer epochs than the paper's networks." if any(each.shorter for each in found) else "",
        images_sentence(rows[rows["benchmark"].isin(benchmarks(pairs, terms))]),
        f"{ABSENT} not measured, or not defined." if missing else "",
        needs_sentence(layout),
    )


def spread_sentence(found: Sequence[Measured]) -> str:
    """Return over how many networks the numbers ``found`` are means, and what stands behind ±."""
    n = usual_n(found)
    others = ", unless a cell names another n" if len({each.n for each in found} - {0}) > 1 else ""
    if n == 1:
        return f"Values of one network each (n=1), {NO_SPREAD}{others}."
    return f"Mean {DEVIATION} over n={n} networks (seeds){others}."


def usual_n(found: Iterable[Measured]) -> int:
    """Return the most frequent number of networks, the larger of two; 0 where there is none."""
    counts = Counter(each.n for each in found if each.n)
    return max(counts, key=lambda n: (counts[n], n)) if counts else 0


def trained_sentence(networks: Sequence[str], material: Material, layout: Layout) -> str:
    """Return for how long our networks were trained, beside what the paper says."""
    known = [material.recipes[who] for who in networks if who in material.recipes]
    told = sorted({f"{recipe.get('dataset')} {recipe.get('epochs')} epochs" for recipe in known})
    ours = ", ".join(told) if told else "recipes not in this results folder"
    return f"Trained: {ours}; in the paper: {layout.settings}."


def stands(pairs: Sequence[tuple[Number, Measured | None]], terms: Terms) -> str:
    """Return which of ours stands for what of the table."""
    told: dict[str, None] = {}
    for number, measured in pairs:
        if measured is None or not measured.substituted:
            continue
        for theirs in (number.dataset, number.model, number.augmentation, number.benchmark):
            if terms.substitutes.get(theirs, theirs) != theirs:
                told[f"{terms.substitutes[theirs]} stands for {theirs}"] = None
    return ", ".join(told)


def split_sentence(dataset: str) -> str:
    """Return how a data set is split where that is not its authors' way; '' else."""
    spec = DATASETS.get(dataset)
    if spec is None or not spec.test_from_train:
        return ""
    return f"{dataset}: {spec.train:,} images to train and {spec.test:,} to test, all from the training images."


def benchmarks(pairs: Sequence[tuple[Number, Measured | None]], terms: Terms) -> set[str]:
    """Return the benchmarks that our numbers are of."""
    names = {(terms.ours(number).benchmark, measured.made) for number, measured in pairs if measured is not None}
    return {name + "_made" * made for name, made in names}


def our_names(number: Number, terms: Terms) -> dict[str, object]:
    """Return what of ours stands for ``number``, for a CSV file."""
    ours = terms.ours(number)
    return {"our_dataset": ours.dataset, "our_model": ours.model, "our_augmentation": ours.augmentation}


def no_scores() -> Material:
    """Return the material of a table that prints the paper's numbers alone."""
    return Material(pd.DataFrame(), {})
