"""Measure every ratio and write them, with the machine, to ``results/perf.csv``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from perf import corruptions, evaluation, memory, training
from perf.measure import use_one_core
from robustbench_msda.files import write_text
from robustbench_msda.provenance import machine

OUT = Path("results/perf.csv")


def main() -> None:
    """Measure, print as it goes, and write."""
    use_one_core()
    facts = "; ".join(f"{name}: {value}" for name, value in machine().items())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "ratio", "low", "high", "unit", "machine"])
    for part in (evaluation, memory, corruptions, training):
        for row in part.rows():
            print(f"{row.name:40} {row.ratio:8.3f}  [{row.low:.3f}, {row.high:.3f}]  {row.unit}", flush=True)
            numbers = (f"{value:.4g}" for value in (row.ratio, row.low, row.high))
            writer.writerow([row.name, *numbers, row.unit, facts])
    write_text(OUT, text.getvalue())


if __name__ == "__main__":
    main()
