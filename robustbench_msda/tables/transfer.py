"""Tables of attacks on a substitute: by box, and network by network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from robustbench_msda.results.aggregates import WHO, Absent, ordered_levels, tidy
from robustbench_msda.results.attacks import DAGGER, SEVERAL, attack_name, shown_level, told_attack_flags
from robustbench_msda.tables.assembly import (
    Filled,
    Key,
    assembled,
    by_label,
    images_sentence,
    sentences,
    spread_sentence,
    told_flags,
)
from robustbench_msda.tables.attack import AUGMENTATION, UNITS, WRONG, flagged
from robustbench_msda.tables.values import Column, Estimate, TableData, Value

# Printed behind the error of a network on what was made of itself.
WHITE = "*"
# The metric of each box and its title.
BOXES = {"error": "White box", "gray_box_error": "Gray box", "black_box_error": "Black box"}
NO_SUBSTITUTE = "no rows of an attack on a substitute: evaluate with --sources, or run the command transfer"
TELL_BOXES = (
    "White box: attacked with the network's own gradients; gray box: made of other networks of the same model; "
    "black box: made of networks of another model."
)


def transfer(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the error under every attack that was made of substitutes too, by box and ε.

    Raises:
        Absent: no network was shown what an attack made of another.
    """
    frame = tidy(scores)
    boxed = frame[frame["metric"].isin(BOXES) & (frame["metric"] != "error") & (frame["subset"] == "all")]
    if boxed.empty:
        raise Absent(NO_SUBSTITUTE)
    columns, shown = [], []
    for benchmark, condition, level in conditions(boxed):
        here = at(frame, benchmark, condition, level)
        here = here[(here["source"] == "") & (here["subset"] == "all")]
        for metric, title in BOXES.items():
            rows = here[here["metric"] == metric]
            shown.append(rows)
            column = Column(f"{metric}:{benchmark}:{level}", title, "share", f"{attack_name(condition)}, ε = {level}")
            columns.append(flagged(column, failures(rows), WHO))
    filled_in = [column for column in columns if column.values]
    header, lines = assembled(AUGMENTATION, filled_in, by_label(filled_in))
    texts = ", ".join(dict.fromkeys(boxed["condition"]))
    rows = pd.concat(shown)
    caption = sentences(
        f"Error (%) under attack on the test images; {WRONG} {TELL_BOXES}",
        f"Attacks: {texts}.",
        UNITS,
        told_flags(rows.assign(flags=rows["flags"].str.extract(f"^({SEVERAL})")[0].fillna(""))),
        told_attack_flags(failures(rows)),
        spread_sentence(filled_in),
        images_sentence(rows),
    )
    return TableData("transfer", "Error in the white, gray and black box", caption, header, lines)


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` with the flags alone that say what failed a check."""
    return rows.assign(flags=rows["flags"].str.replace(rf"^{SEVERAL}(?:; )?", "", regex=True))


def at(frame: pd.DataFrame, benchmark: str, condition: str, level: str) -> pd.DataFrame:
    """Return the rows of one attack at one ε."""
    return frame[(frame["benchmark"] == benchmark) & (frame["condition"] == condition) & (frame["level"] == level)]


def conditions(rows: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield the benchmark, attack and ε of ``rows``, each once, ε rising."""
    for (benchmark, condition), here in rows.groupby(["benchmark", "condition"], sort=False):
        for level in ordered_levels(here["level"]):
            yield str(benchmark), str(condition), level


def transfer_matrix(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the error of every network on what an attack made of every substitute, at the ε shown at a glance.

    Raises:
        Absent: no network was shown what an attack made of another.
    """
    frame = tidy(scores)
    errors = frame[(frame["metric"] == "error") & (frame["subset"] == "all")]
    errors = errors[errors["condition"].str.contains("(", regex=False)]
    boxed = errors[errors["source"] != ""]
    if boxed.empty:
        raise Absent(NO_SUBSTITUTE)
    names = network_names(frame)
    columns: list[Filled] = []
    parts = []
    for benchmark, condition, level in conditions(boxed):
        of_attack = boxed[(boxed["benchmark"] == benchmark) & (boxed["condition"] == condition)]
        if level == shown_level(benchmark, of_attack["level"]):
            here = at(errors, benchmark, condition, level)
            parts.append(here)
            columns += source_columns(here, names, f"{attack_name(condition)}, ε = {level}")
    header, lines = assembled(Column("target", "Target"), columns, by_label(columns))
    shown = pd.concat(parts)
    caption = sentences(
        f"Error (%) of each network, a row, on what an attack made of each source, a column; {WRONG}",
        f"{WHITE} its own source: the white box.",
        f"Attacks: {', '.join(dict.fromkeys(shown['condition']))}.",
        UNITS,
        told_attack_flags(shown),
        images_sentence(shown),
    )
    return TableData("transfer_matrix", "Transfer matrix", caption, header, lines)


def source_columns(rows: pd.DataFrame, names: Mapping[str, Key], attack: str) -> Iterator[Filled]:
    """Yield for every source the errors of all networks on what an attack made of it, its own marked."""
    benchmark, level = rows["benchmark"].iloc[0], rows["level"].iloc[0]
    sources = sorted(set(rows["source"]) - {""}, key=lambda source: names.get(source, ("", "", source)))
    for source in sources:
        of_source = rows[(rows["source"] == source) | ((rows["source"] == "") & (rows["fingerprint"] == source))]
        values: dict[Key, Value] = {}
        for row in of_source.itertuples(index=False):
            mark = ("" if row.source else WHITE) + (DAGGER if row.flags else "")
            values[names[row.fingerprint]] = Estimate(row.value, n=1, low=row.low, high=row.high, mark=mark)
        # A substitute that was not scored has no name here.
        _, model, name = names.get(source, ("", "", source))
        span = f"{attack}, made of {model}" if model else attack
        yield Filled(Column(f"error:{benchmark}:{level}:{source}", name, "share", span), values)


def network_names(frame: pd.DataFrame) -> dict[str, Key]:
    """Return data set, model and name of every network, by fingerprint: its label, with its seed where it has one.

    Networks of one recipe and seed, as of two machines, are told apart by their fingerprints.
    """
    networks = frame[["fingerprint", "seed", *WHO]].drop_duplicates("fingerprint")
    several = networks.groupby(WHO)["fingerprint"].transform("count") > 1
    names = networks["label"].where(~several, networks["label"] + ", seed " + networks["seed"])
    same = networks.assign(name=names).duplicated([*WHO, "name"], keep=False)
    names = names.where(~same, names + " · " + networks["fingerprint"].str[:6])
    whole = zip(networks["fingerprint"], networks["dataset"], networks["model"], names, strict=True)
    return {fingerprint: (dataset, model, name) for fingerprint, dataset, model, name in whole}
