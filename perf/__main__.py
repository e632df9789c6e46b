"""Measure ratios and write them, with the machine, to ``results/perf.csv``: all, or the parts that are named."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from perf import attacks, corruptions, epochs, evaluation, memory, pictures, training
from perf.measure import use_one_core
from robustbench_msda.files import write_text
from robustbench_msda.provenance import machine

OUT = Path("results/perf.csv")
HEADER = ["part", "name", "ratio", "low", "high", "unit", "machine"]
PARTS = {
    "evaluation": evaluation,
    "memory": memory,
    "corruptions": corruptions,
    "training": training,
    "epochs": epochs,
    "pictures": pictures,
    "attacks": attacks,
}


def main(names: list[str]) -> None:
    """Measure, print as it goes, and write; rows of parts that are not measured stay as they are."""
    if strange := sorted(set(names) - set(PARTS)):
        sys.exit(f"error: no part {strange[0]}: expected some of {', '.join(PARTS)}")
    use_one_core()
    facts = "; ".join(f"{name}: {value}" for name, value in machine().items())
    rows = {name: kept(name) for name in PARTS}
    for name in names or PARTS:
        rows[name] = []
        for row in PARTS[name].rows():
            print(f"{row.name:40} {row.ratio:8.3f}  [{row.low:.3f}, {row.high:.3f}]  {row.unit}", flush=True)
            numbers = (f"{value:.4g}" for value in (row.ratio, row.low, row.high))
            rows[name].append([name, row.name, *numbers, row.unit, facts])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *(row for part in rows.values() for row in part)])
    write_text(OUT, text.getvalue())


def kept(part: str) -> list[list[str]]:
    """Return the rows of ``part`` that an earlier run measured."""
    if not OUT.exists():
        return []
    with OUT.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if row[0] == part]


if __name__ == "__main__":
    main(sys.argv[1:])
