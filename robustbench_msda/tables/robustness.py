"""Tables of errors: at a glance, and under corruption."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from robustbench_msda.results.aggregates import (
    WHO,
    complete_rows,
    family_of,
    ordered_corruptions,
    pick_rows,
    tidy,
)
from robustbench_msda.results.normalised import MEANS, normalised_sentence, normalised_title
from robustbench_msda.tables.assembly import (
    Filled,
    assembled,
    by_label,
    filled,
    images_sentence,
    sentences,
    spread_sentence,
    told_flags,
)
from robustbench_msda.tables.attack import AUGMENTATION, attack_columns, attack_flags
from robustbench_msda.tables.dependency import dependency_columns
from robustbench_msda.tables.natural import natural_columns, natural_sentence
from robustbench_msda.tables.values import Column, TableData

ERROR = "Error (%)"
SHORT = {
    "elastic_transform": "elastic",
    "frost_procedural": "frost (procedural)",
    "jpeg_compression": "JPEG",
    "fog_3d": "fog 3D",
    "h265_abr": "H.265 ABR",
    "h265_crf": "H.265 CRF",
}
# What an aggregate of a data set's own benchmarks is called, by the end of their names.
KINDS = {"c": "corrupted", "c_made": "corrupted (made)", "p": "perturbed", "p_made": "perturbed (made)"}
FLIPS = "Flip prob. (%)"
FLIP_SENTENCE = "Flip probability: how often the answer changes along a video, mean over perturbations."
DEPENDENCY_SENTENCE = (
    "N_DC: classes whose recall, averaged over networks first, falls below that of vanilla; ΔR_DC: its mean change "
    "over these classes in percentage points ± their standard deviation (ddof 0)."
)


def overview(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:
    """Return clean error, mean error under corruption and attack, flips, calibration and class dependency by method.

    Raises:
        Absent: the clean test set was not scored.
    """
    frame = tidy(scores)
    clean = filled(Column("error", "clean", "share", ERROR), pick_rows(frame, "error", "clean"), WHO)
    corrupted, flips = (complete_rows(frame, name) for name in ("mean_corruption_error", "mean_flip_probability"))
    columns = [clean, *kind_columns(corrupted, ERROR), *attack_columns(frame, ERROR)]
    columns += [*natural_columns(frame, ERROR), *kind_columns(flips, FLIPS)]
    columns += calibration_columns(frame)
    dependency = dependency_columns(comparison)
    caption = sentences(
        "Errors on the clean test set, as the mean over corruptions and their severities, and under white-box attack; "
        "root mean square (RMS) calibration error on the clean test set.",
        natural_sentence(frame),
        FLIP_SENTENCE if len(flips) else "",
        told_flags(pd.concat([corrupted, flips])),
        attack_flags(frame),
        spread_sentence(columns),
        images_sentence(frame),
        DEPENDENCY_SENTENCE if dependency else "",
    )
    columns += dependency
    header, rows = assembled(AUGMENTATION, columns, by_label(columns[:1]))
    return TableData("overview", "Robustness at a glance", caption, header, rows)


def kind_columns(rows: pd.DataFrame, span: str) -> Iterator[Filled]:
    """Yield the aggregate that ``rows`` hold for every kind of benchmark."""
    for kind in sorted(rows["benchmark"].map(benchmark_kind).unique()):
        here = rows[rows["benchmark"].map(benchmark_kind) == kind]
        column = Column(f"{here['metric'].iloc[0]}:{kind}", KINDS.get(kind, kind), "share", span)
        yield filled(column, here, WHO)


def benchmark_kind(benchmark: str) -> str:
    """Return how the names of one kind of benchmark end, whatever the data set, else ``benchmark`` itself."""
    return next((kind for kind in KINDS if benchmark.endswith(f"_{kind}")), benchmark)


def calibration_columns(frame: pd.DataFrame) -> Iterator[Filled]:
    """Yield the RMS calibration error on the clean test set, where it was scored."""
    rows = frame[(frame["metric"] == "rms_calibration") & (frame["benchmark"] == "clean")]
    if len(rows):
        yield filled(Column("rms_calibration", "RMS calib. (%)", "share"), rows, WHO)


def corruptions(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the error under every corruption, averaged over its severities, and the means over corruptions.

    Raises:
        Absent: no corruption was scored at all severities.
    """
    frame = tidy(scores)
    errors = pick_rows(complete_rows(frame, "corruption_error"), "corruption_error")
    means = complete_rows(frame, "mean_corruption_error")
    by = ["dataset", "model", "benchmark", "label"]
    columns = []
    for name in ordered_corruptions(errors["condition"]):
        column = Column(f"corruption_error:{name}", short_corruption(name), "share", family_of(name))
        columns.append(filled(column, errors[errors["condition"] == name], by))
    columns += [filled(Column("mean_corruption_error", "mean", "share"), means, by)] if len(means) else []
    normalised = {name: found for name in MEANS if len(found := complete_rows(frame, name))}
    columns += [filled(Column(name, normalised_title(name), "share"), normalised[name], by) for name in normalised]
    header, rows = assembled(AUGMENTATION, columns, by_label(columns))
    caption = sentences(
        "Error (%) under every corruption, averaged over its severities; mean: over the test corruptions, without "
        "those for validation.",
        normalised_sentence(normalised, "the test corruptions, in percent"),
        told_flags(pd.concat([errors, means, *normalised.values()])),
        spread_sentence(columns),
        images_sentence(frame[frame["benchmark"].isin(errors["benchmark"])]),
    )
    names = ("dataset", "model", "benchmark")
    return TableData("corruptions", "Error under corruption", caption, header, rows, names)


def short_corruption(name: str) -> str:
    """Return how a corruption is printed below the name of its family: ``gaussian`` below noise."""
    family = family_of(name)
    return SHORT.get(name, name.removesuffix(f"_{family}").replace("_", " "))
