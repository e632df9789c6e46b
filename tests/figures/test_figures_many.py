"""Studies of many methods: lines are shown a few at a time, and cells go down the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from synthetic_scores import CORRUPTIONS, comparison_frame, scores_frame

from robustbench_msda.figures import FIGURES
from robustbench_msda.figures.attack import attack_curves
from robustbench_msda.figures.corruption import corruption_by_severity, corruption_heatmap
from robustbench_msda.figures.drawing import MOST_LINES, Drawing, in_parts
from robustbench_msda.figures.recall import recall_change
from robustbench_msda.figures.style import LineStyle, new_figure

Figures = Callable[[pd.DataFrame, pd.DataFrame], Iterator[Drawing]]
METHODS = ["vanilla", *(f"method_{k:02}" for k in range(20))]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return scores_frame(METHODS, seeds=1)


def seen(count: int) -> list[tuple[Drawing, list[str]]]:
    found: list[list[str]] = []

    def draw(styles: dict[str, LineStyle]) -> Drawing:
        found.append(list(styles))
        return Drawing("lines", "Lines", "", "", new_figure("Lines", 2.0), pd.DataFrame())

    return list(zip(in_parts(draw, METHODS[:count]), found, strict=True))


@pytest.mark.parametrize("count", range(1, len(METHODS) + 1))
def test_every_method_is_in_one_figure_beside_the_first(count: int) -> None:
    parts = [labels for _, labels in seen(count)]
    assert all(labels[0] == "vanilla" for labels in parts)
    assert all(len(labels) <= MOST_LINES for labels in parts)
    others = [label for labels in parts for label in labels[1:]]
    assert sorted(others) == sorted(METHODS[1:count])
    sizes = {len(labels) for labels in parts}
    assert max(sizes) - min(sizes) <= 1


def test_parts_are_numbered_in_name_and_title() -> None:
    drawings = [drawing for drawing, _ in seen(21)]
    assert [drawing.name for drawing in drawings] == ["lines.1-of-3", "lines.2-of-3", "lines.3-of-3"]
    assert drawings[1].title == "Lines (2 of 3)"
    assert drawings[1].figure.get_suptitle() == "Lines (2 of 3)"
    assert [drawing.name for drawing, _ in seen(MOST_LINES)] == ["lines"]


@pytest.mark.parametrize("figure", [corruption_by_severity, attack_curves])
def test_lines_of_a_part_are_those_of_its_methods(figure: Figures, frame: pd.DataFrame) -> None:
    drawings = list(figure(frame, frame))
    assert len(drawings) == 3
    for drawing in drawings:
        legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
        assert all(len(axes.lines) == len(legend) for axes in drawing.figure.axes)
        assert len({line.get_color() for line in drawing.figure.axes[0].lines}) == len(legend)


def test_many_methods_go_down_the_heat_map_few_across(frame: pd.DataFrame) -> None:
    (drawing,) = corruption_heatmap(frame, frame)
    axes = drawing.figure.axes[0]
    assert [text.get_text().replace(" ", "_") for text in axes.get_yticklabels()] == METHODS
    assert len(axes.get_xticklabels()) == len(CORRUPTIONS) + 1
    cells = {(text.get_position()[0], text.get_position()[1]): text.get_text() for text in axes.texts}
    assert len(cells) == len(METHODS) * (len(CORRUPTIONS) + 1)
    errors = frame[(frame["metric"] == "corruption_error") & (frame["condition"] == "fog")].set_index("augmentation")
    column = [text.get_text() for text in axes.get_xticklabels()].index("fog")
    for row, method in enumerate(METHODS):
        assert cells[column + 0.5, row + 0.5] == f"{100 * errors.loc[method, 'value']:.1f}"


def test_all_figures_of_many_methods_are_written_without_a_warning(frame: pd.DataFrame, tmp_path: Path) -> None:
    from robustbench_msda.figures import build_figures

    built = build_figures(frame, comparison_frame(frame), tmp_path)
    # Twenty heat maps would be too many, and no method has three values of a parameter.
    skipped = {"class_recalls", "recall_by_condition", "parameter_sweep", "training_time"}
    assert set(built.skipped) == skipped
    assert {path.name.partition(".")[0] for path in built.paths} == set(FIGURES) - skipped


def test_recall_changes_of_many_methods_are_one_map(frame: pd.DataFrame) -> None:
    comparison = comparison_frame(frame)
    (drawing,) = recall_change(frame, comparison)
    axes = drawing.figure.axes[0]
    rows, columns = (
        [text.get_text() for text in labels] for labels in (axes.get_yticklabels(), axes.get_xticklabels())
    )
    assert rows == METHODS[1:]
    cells = {text.get_position(): text for text in axes.texts}
    changes = comparison[comparison["metric"] == "recall_change"]
    assert len(cells) == len(changes) == len(rows) * len(columns)
    for change in changes.itertuples():
        text = cells[columns.index(change.subset) + 0.5, rows.index(change.treatment) + 0.5]
        assert text.get_text().replace("−", "-") == f"{100 * change.value:+.1f}"
        assert (text.get_fontweight() == "bold") == (change.significant == "yes")
