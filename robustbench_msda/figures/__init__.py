"""Figures of score rows: ``FIGURES`` lists them; each is written as SVG and PNG, with its numbers as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robustbench_msda.errors import pick
from robustbench_msda.figures.attack import attack_curves
from robustbench_msda.figures.bars import corruption_bars, training_time
from robustbench_msda.figures.calibration import calibration_by_severity
from robustbench_msda.figures.class_recalls import class_recalls
from robustbench_msda.figures.confidence_recall import confidence_recall
from robustbench_msda.figures.corruption import corruption_by_severity, corruption_heatmap
from robustbench_msda.figures.drawing import Drawing
from robustbench_msda.figures.perturbation import flips
from robustbench_msda.figures.recall import recall_change
from robustbench_msda.figures.recall_by_condition import recall_by_condition
from robustbench_msda.figures.reliability import reliability
from robustbench_msda.figures.severity import error_by_severity
from robustbench_msda.figures.style import style
from robustbench_msda.figures.sweep import parameter_sweep
from robustbench_msda.files import write_text, write_whole
from robustbench_msda.results.aggregates import Absent, tidy
from robustbench_msda.results.csv_text import csv_text

__all__ = ["FIGURES", "BuiltFigures", "FigureFile", "build_figures"]

Plot = Callable[[pd.DataFrame, pd.DataFrame], Iterator[Drawing]]

FIGURES: dict[str, Plot] = {
    "corruption_bars": corruption_bars,
    "corruption_heatmap": corruption_heatmap,
    "corruption_by_severity": corruption_by_severity,
    "error_by_severity": error_by_severity,
    "calibration_by_severity": calibration_by_severity,
    "flips": flips,
    "attack_curves": attack_curves,
    "recall_change": recall_change,
    "class_recalls": class_recalls,
    "recall_by_condition": recall_by_condition,
    "confidence_recall": confidence_recall,
    "parameter_sweep": parameter_sweep,
    "reliability": reliability,
    "training_time": training_time,
}
DPI = 150


@dataclass(frozen=True)
class FigureFile:
    """A figure on disk, its width and height in inches, and the words that go with it (see ``Drawing``)."""

    name: str
    title: str
    caption: str
    alt: str
    inches: tuple[float, float]
    svg: Path
    png: Path
    csv: Path


@dataclass(frozen=True)
class BuiltFigures:
    """What was built: the figures, and why others were not built, by name."""

    figures: tuple[FigureFile, ...]
    skipped: dict[str, str]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was written."""
        return tuple(path for figure in self.figures for path in (figure.svg, figure.png, figure.csv))


def build_figures(
    scores: pd.DataFrame, comparison: pd.DataFrame, out: Path, names: Sequence[str] | None = None
) -> BuiltFigures:
    """Write the figures ``names``, all of them for None, to ``<out>/figures``, as SVG, PNG (150 dpi) and CSV.

    The same rows give the same bytes.

    Args:
        scores: score rows, columns ``COLUMNS``; fractions.
        comparison: the rows of a comparison, possibly none.
        out: the folder of the report.
        names: of ``FIGURES``; each may give several files, one a model or method.

    Returns:
        The figures that the scores have rows for; the others with the reason.

    Raises:
        UnknownName: a name is not in ``FIGURES``.
        UserError: a benchmark was scored in several worlds, or a file cannot be written.
    """
    rows, written, skipped = tidy(scores), [], {}
    with style():
        for name in names if names is not None else FIGURES:
            try:
                written += [write_figure(drawing, out) for drawing in pick(FIGURES, name, "figure")(rows, comparison)]
            except Absent as reason:
                skipped[name] = str(reason)
    return BuiltFigures(tuple(written), skipped)


def write_figure(drawing: Drawing, out: Path) -> FigureFile:
    """Write ``drawing`` to ``<out>/figures`` and return where it is."""
    svg, png, csv = (out / "figures" / f"{drawing.name}.{suffix}" for suffix in ("svg", "png", "csv"))
    # A date or a version would make equal figures differ.
    write_whole(svg, lambda path: drawing.figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}))
    write_whole(png, lambda path: drawing.figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None}))
    write_text(csv, csv_text(drawing.data, "%.9g"))
    width, height = (float(side) for side in drawing.figure.get_size_inches())
    return FigureFile(drawing.name, drawing.title, drawing.caption, drawing.alt, (width, height), svg, png, csv)
