"""The state of the official benchmark folders: found, partial, damaged or not there, and what lacks by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robustbench_msda.data.check import DataStatus
from robustbench_msda.data.check_layouts import LAYOUTS
from robustbench_msda.data.check_survey import Layout, Row, Survey, benchmark_folder, named
from robustbench_msda.data.downloads import DOWNLOADS
from robustbench_msda.progress import Progress


def check_benchmarks(data_dir: Path) -> list[DataStatus]:
    """Return the status of every known benchmark, by what can be told in seconds (see ``Layout.quick``)."""
    return [_quick(layout, data_dir) for layout in LAYOUTS.values()]


def check_benchmark(
    layout: Layout, data_dir: Path, progress: Progress
) -> tuple[DataStatus, tuple[Row, ...], tuple[str, ...]]:
    """Return the status of one benchmark after looking at all of it, a row for each piece, and all that is wrong."""
    folder = benchmark_folder(data_dir, layout.name, layout.official)
    survey = layout.full(folder, data_dir, progress)
    lacks = (f"{folder}: not there: {name}" for name in survey.missing) if any_of(layout, folder) else ()
    return _status(layout, folder, survey), survey.rows, (*survey.wrong, *lacks)


def _quick(layout: Layout, data_dir: Path) -> DataStatus:
    folder = benchmark_folder(data_dir, layout.name, layout.official)
    return _status(layout, folder, layout.quick(folder, data_dir))


def _status(layout: Layout, folder: Path, survey: Survey) -> DataStatus:
    """Return the line about a benchmark: damaged before partial before found."""
    where, get = str(folder), how_to_fetch(layout.name)
    if not any_of(layout, folder):
        return DataStatus(layout.name, "not found", where, f"nothing of {layout.official} there", get)
    if survey.wrong:
        return DataStatus(layout.name, "damaged", where, _first(survey.wrong), get)
    if survey.missing:
        return DataStatus(layout.name, "partial", where, f"{survey.detail}; not there: {named(survey.missing)}", get)
    without = f"; without {named(survey.absent)}" if survey.absent else ""
    return DataStatus(layout.name, "found", where, survey.detail + without, get)


def any_of(layout: Layout, folder: Path) -> bool:
    """Whether anything of a benchmark is in ``folder``."""
    return any(top not in layout.lacking(folder, [top]) for top in layout.tops)


def how_to_fetch(name: str) -> str:
    """Return one line on how to get a benchmark."""
    return DOWNLOADS[name].instruction or f"run: robustbench-msda data fetch {name}"


def _first(faults: Sequence[str]) -> str:
    more = f" (and {len(faults) - 1:,} more: robustbench-msda data check NAME lists them)" if len(faults) > 1 else ""
    return faults[0] + more
