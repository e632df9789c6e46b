"""Bars, mean severities and recalls of chosen classes draw what the rows say; every figure has its CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_reading import COMPARISON, NOTHING, SCORES, drawings, overlaps
from synthetic_scores import comparison_frame, scores_frame

from robustbench_msda.figures import FIGURES, build_figures
from robustbench_msda.figures.bars import training_time
from robustbench_msda.results.aggregates import Absent


def timed(seconds: dict[str, float], machine: str = "a CPU") -> pd.DataFrame:
    scores = scores_frame(tuple(seconds), seeds=1)
    rows = scores[(scores["benchmark"] == "clean") & (scores["metric"] == "error")]
    values = rows["augmentation"].map(seconds)
    return rows.assign(
        benchmark="training", metric="epoch_seconds", value=values, low=np.nan, high=np.nan, flags=machine
    )


def test_bars_are_mean_errors_under_corruption_and_diamonds_clean_ones() -> None:
    (drawing,) = drawings("corruption_bars")
    axes = drawing.figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    for metric, found in (
        ("mean_corruption_error", [bar.get_width() for bar in axes.patches]),
        ("error", next(line for line in axes.lines if line.get_marker() == "D").get_xdata()),
    ):
        rows = SCORES[(SCORES["metric"] == metric) & (SCORES["level"] == "") & (SCORES["subset"] == "all")]
        rows = rows[rows["condition"] == ""]
        expected = 100 * rows.groupby("augmentation")["value"].mean()
        np.testing.assert_allclose(found, [expected[name] for name in names])


def test_mean_errors_by_severity_are_over_the_test_corruptions() -> None:
    (drawing,) = drawings("error_by_severity")
    line = drawing.figure.axes[0].lines[0]
    rows = SCORES[(SCORES["metric"] == "error") & (SCORES["augmentation"] == "vanilla")]
    at_two = rows[(rows["level"] == "2") & ~rows["condition"].str.contains("(", regex=False)]
    tested = at_two[~at_two["condition"].isin(["speckle_noise", "gaussian_blur", "spatter", "saturate"])]
    assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True))[2.0] == pytest.approx(
        100 * tested["value"].mean()
    )


def test_chosen_classes_go_from_the_largest_rise_to_the_largest_fall_with_what_wraps_the_method() -> None:
    found = {drawing.name: drawing for drawing in drawings("class_recalls")}
    assert set(found) == {f"class_recalls.digits.small_cnn.{name}.vs.vanilla" for name in ("cutmix", "mixup")}
    drawing = found["class_recalls.digits.small_cnn.cutmix.vs.vanilla"]
    changes = COMPARISON[(COMPARISON["metric"] == "recall_change") & (COMPARISON["treatment"] == "cutmix")]
    moved = changes[changes["value"] != 0].sort_values("value", ascending=False, kind="stable")
    ticks = [text.get_text() for text in drawing.figure.axes[0].get_xticklabels()]
    assert ticks == ["mean of all", *moved["subset"]]
    assert set(drawing.data["label"]) == {"vanilla", "cutmix", "dropmix(rate=0.4, of=cutmix)"}


def test_training_time_is_over_vanilla_on_the_same_machine() -> None:
    scores = timed({"vanilla": 4.0, "mixup": 5.0, "puzzlemix": 12.0, "cutmix": 3.0})
    scores.loc[scores["augmentation"] == "cutmix", "flags"] = "a GPU"
    (drawing,) = training_time(scores, NOTHING)
    axes = drawing.figure.axes[0]
    assert [text.get_text().strip() for text in axes.texts] == ["1.00×", "1.25×", "3.00×"]
    assert "on a CPU" in drawing.caption
    assert overlaps(drawing.figure) == []
    with pytest.raises(Absent, match="vanilla"):
        next(training_time(timed({"mixup": 1.0, "cutmix": 2.0}), NOTHING))


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"parameter_sweep", "training_time"}))
def test_every_figure_writes_the_numbers_it_draws(name: str, tmp_path: Path) -> None:
    scores = scores_frame(("vanilla", "cutmix"))
    built = build_figures(scores, comparison_frame(scores), tmp_path, [name])
    for figure in built.figures:
        table = pd.read_csv(figure.csv)
        assert len(table) >= 2
        assert {"dataset", "model"} & set(table.columns) or "label" in table.columns
        number = table.get("mean", table.get("value", table.get("bin_accuracy")))
        assert number is not None
        assert number.notna().any()
