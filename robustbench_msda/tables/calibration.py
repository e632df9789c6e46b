"""Table of calibration: every measure on the clean test set, and the mean under corruption and attack."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from robustbench_msda.results.aggregates import (
    WHO,
    Absent,
    complete_rows,
    flag_texts,
    ordered_levels,
    pick_rows,
    tidy,
)
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
from robustbench_msda.tables.values import Column, TableData

COLUMNS = (
    Column("rms_calibration", "RMS (%)", "share", "clean"),
    Column("rms_calibration_published", "RMS, published (%)", "share", "clean"),
    Column("ece", "ECE (%)", "share", "clean"),
    Column("ece_equal_mass", "ECE, equal mass (%)", "share", "clean"),
    Column("max_calibration", "MCE (%)", "share", "clean"),
    Column("brier", "Brier", "precise", "clean"),
    Column("nll", "NLL (nats)", "precise", "clean"),
    Column("aurra", "AURRA (%)", "share", "clean"),
    Column("soft_f1", "soft F1 (%)", "share", "clean"),
    Column("temperature", "T", "precise", "temperature scaling"),
    Column("rms_calibration_scaled", "RMS (%)", "share", "temperature scaling"),
    Column("ece_scaled", "ECE (%)", "share", "temperature scaling"),
    Column("brier_scaled", "Brier", "precise", "temperature scaling"),
    Column("nll_scaled", "NLL (nats)", "precise", "temperature scaling"),
)
ELSEWHERE = "RMS elsewhere (%)"
CAPTION = (
    "RMS: over bins of 100 images, every bin; published: without the most confident one, as the published code. ECE, "
    "MCE: 15 bins of equal width, or of equally many images. Brier: summed over classes, 0 to 2. AURRA and soft F1: "
    "larger is better."
)
SCALED = (
    "Temperature scaling: T has the lowest cross-entropy on all clean images, found as the published code does; the "
    "numbers beside it scale each half of the images (every other one) by the T of the other half."
)


def calibration(scores: pd.DataFrame, comparison: pd.DataFrame) -> TableData:  # noqa: ARG001
    """Return the calibration of every method on the clean test set, and its RMS error under corruption and attack.

    Raises:
        Absent: the clean test set was not scored.
    """
    frame = tidy(scores)
    clean = frame[(frame["benchmark"] == "clean") & (frame["subset"] == "all")]
    pick_rows(frame, COLUMNS[0].key, "clean")
    found = {column: clean[clean["metric"] == column.key] for column in COLUMNS}
    columns = [filled(column, rows, WHO) for column, rows in found.items() if len(rows)]
    means = complete_rows(frame, "mean_rms_calibration")
    columns += [*corrupted(means[means["level"] == ""]), *attacked(frame)]
    fitted = found[next(column for column in COLUMNS if column.key == "temperature")]
    caption = sentences(
        CAPTION,
        SCALED if len(fitted) else "",
        "".join(f"T: {text}. " for text in flag_texts(fitted)).strip(),
        told_flags(means[means["level"] == ""]),
        spread_sentence(columns),
        images_sentence(frame),
    )
    header, rows = assembled(Column("augmentation", "Augmentation"), columns, by_label(columns))
    return TableData("calibration", "Calibration", caption, header, rows)


def corrupted(means: pd.DataFrame) -> Iterator[Filled]:
    """Yield the mean over corruptions and severities of each benchmark."""
    for benchmark in sorted(means["benchmark"].unique()):
        column = Column(f"mean_rms_calibration:{benchmark}", str(benchmark), "share", ELSEWHERE)
        yield filled(column, means[means["benchmark"] == benchmark], WHO)


def attacked(frame: pd.DataFrame) -> Iterator[Filled]:
    """Yield the RMS calibration error under every white-box attack at its largest ε."""
    try:
        rows = pick_rows(frame, "rms_calibration")
    except Absent:
        return
    rows = rows[rows["condition"].str.contains("(", regex=False) & (rows["source"] == "")]
    for (benchmark, condition), here in rows.groupby(["benchmark", "condition"], sort=True):
        level = ordered_levels(here["level"])[-1]
        title = f"{benchmark}, ε = {level}" if level else str(condition)
        column = Column(f"rms_calibration:{condition}:{level}", title, "share", ELSEWHERE)
        yield filled(column, here[here["level"] == level], WHO)
