"""What is drawn on a figure, and the scores it is of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from synthetic_scores import comparison_frame, scores_frame

from robustbench_msda.figures import FIGURES
from robustbench_msda.figures.drawing import Drawing
from robustbench_msda.results.aggregates import Absent

SCORES = scores_frame()
COMPARISON = comparison_frame(SCORES)
SMALL = scores_frame(("vanilla", "cutmix"), seeds=2)
NOTHING = pd.DataFrame()


def drawings(name: str, scores: pd.DataFrame = SCORES, comparison: pd.DataFrame = COMPARISON) -> list[Drawing]:
    try:
        return list(FIGURES[name](scores, comparison))
    except Absent:
        # Few scores hold one method at several values of a parameter, or what training cost.
        assert name in ("parameter_sweep", "training_time")
        return []


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts of ``figure`` that lie on each other."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in drawn_texts(figure)]
    pairs = itertools.combinations(boxes, 2)
    return [(one, other) for (one, box), (other, another) in pairs if box.padded(-1).overlaps(another.padded(-1))]


def drawn_texts(figure: Figure) -> Iterator[Text]:
    """Yield the texts that are drawn: not those of ticks beyond the ends of an axis."""
    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    beyond = {
        id(label)
        for axis in axes
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and id(text) not in beyond:
            yield text
