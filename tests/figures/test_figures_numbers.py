"""Figures draw what the score rows say."""

from __future__ import annotations

import numpy as np
import pytest
from figure_reading import COMPARISON, SCORES, drawings
from matplotlib.text import Text
from synthetic_scores import AUGMENTATIONS, comparison_frame, scores_frame

from robustbench_msda.figures import FIGURES
from robustbench_msda.figures.style import COLOURS


def test_bars_are_the_sorted_recall_changes_in_points() -> None:
    found = {drawing.name: drawing for drawing in drawings("recall_change")}
    assert len(found) == len(AUGMENTATIONS) - 1
    changes = COMPARISON[(COMPARISON.metric == "recall_change") & (COMPARISON.treatment == "mixup")]
    axes = found["recall_change.digits.small_cnn.mixup.vs.vanilla"].figure.axes[0]
    bars = sorted((bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches)
    expected = [value for value in sorted(100 * changes["value"], reverse=True) if value]
    np.testing.assert_allclose([height for _, height in bars], expected, atol=1e-12)
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    ordered = changes.sort_values("value", ascending=False, kind="stable")
    assert ticks == list(ordered["subset"])
    segments = np.array([path.vertices[:, 1] for path in axes.collections[0].get_paths()])
    np.testing.assert_allclose(segments, 100 * ordered[["seed_low", "seed_high"]].to_numpy(), atol=1e-12)


def test_recall_figures_say_how_many_classes_and_name_the_extremes() -> None:
    drawing = drawings("recall_change")[0]
    changes = COMPARISON[(COMPARISON.metric == "recall_change") & (COMPARISON.treatment == "cutmix")]
    values = changes.set_index("subset")["value"]
    title = drawing.figure.get_suptitle()
    told = f"{(values > 0).sum()} improved, {(values < 0).sum()} degraded, {(values == 0).sum()} tied"
    assert title == f"cutmix against vanilla: {told}"
    texts = {text.get_text() for text in drawing.figure.axes[0].texts}
    best, worst = values.idxmax(), values[::-1].idxmin()
    assert texts == {f"{best}: +{100 * values[best]:.2f}", f"{worst}: −{-100 * values[worst]:.2f}"}
    assert "n=2 against 2 networks" in drawing.caption
    assert told in drawing.alt


def test_the_best_is_named_above_zero_even_where_nothing_rose() -> None:
    fallen = COMPARISON[(COMPARISON.value < 0) & (COMPARISON.treatment == "mixup")]
    (drawing,) = drawings("recall_change", comparison=fallen)
    values = fallen[fallen.metric == "recall_change"].set_index("subset").value
    best, worst = drawing.figure.axes[0].texts
    assert best.get_text().startswith(f"{values.idxmax()}: −")
    assert worst.get_text().startswith(f"{values.idxmin()}: −")
    assert best.xy[1] >= 0 > worst.xy[1]
    assert " 0 improved" in drawing.figure.get_suptitle()


def test_colours_of_bars_say_sign_and_significance() -> None:
    axes = drawings("recall_change")[2].figure.axes[0]
    changes = COMPARISON[(COMPARISON.metric == "recall_change") & (COMPARISON.treatment == "mixup")]
    blue = [bar for bar in axes.patches if bar.get_height() > 0]
    pale = [bar for bar in axes.patches if (bar.get_alpha() or 1) < 1]
    assert len({bar.get_facecolor()[:3] for bar in blue}) == 1
    assert len({bar.get_facecolor()[:3] for bar in axes.patches}) == 2
    unsure = 100 * changes.value[(changes.significant == "no") & (changes.value != 0)]
    np.testing.assert_allclose(sorted(bar.get_height() for bar in pale), sorted(unsure), atol=1e-12)


def test_methods_against_one_baseline_share_their_scale() -> None:
    limits = {drawing.figure.axes[0].get_ylim() for drawing in drawings("recall_change")}
    assert len(limits) == 1


def test_lines_are_means_over_networks_and_bands_their_spread() -> None:
    figure = drawings("corruption_by_severity")[0].figure
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "snow")
    rows = SCORES[(SCORES.condition == "snow") & (SCORES.metric == "error") & (SCORES.augmentation == "cutmix")]
    expected = 100 * rows.groupby("level")["value"].agg(["mean", "std"])
    line = axes.lines[1]
    assert line.get_color() == COLOURS["cutmix"].lower()
    np.testing.assert_allclose(line.get_ydata(), expected["mean"], rtol=1e-9)
    band = axes.collections[1].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((expected["mean"] + expected["std"]).max())
    assert band.min() == pytest.approx((expected["mean"] - expected["std"]).min())


def test_the_heat_map_prints_every_mean_with_its_spread() -> None:
    figure = drawings("corruption_heatmap")[0].figure
    texts = {(text.get_position()): text.get_text() for text in figure.axes[0].texts}
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    columns = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_xticklabels()]
    assert rows[-1] == "mean"
    assert len(texts) == len(rows) * len(columns) == 9 * 4
    error = 100 * SCORES[(SCORES.metric == "corruption_error") & (SCORES.condition == "fog")].groupby(
        "augmentation"
    ).value.agg(["mean", "std"])
    for k, augmentation in enumerate(columns):
        expected = f"{error['mean'][augmentation]:.1f}\n± {error['std'][augmentation]:.1f}"
        assert texts[(k + 0.5, rows.index("fog") + 0.5)] == expected


def test_attack_curves_start_at_the_clean_error_only_on_the_same_images() -> None:
    apart = drawings("attack_curves")[0].figure.axes[0]
    assert list(apart.lines[0].get_xdata()) == pytest.approx([k / 255 for k in (1, 2, 4, 8)])
    same = SCORES.copy()
    same.loc[same.benchmark == "clean", "n"] = 400
    together = drawings("attack_curves", same)[0].figure.axes[0]
    clean = SCORES[(SCORES.benchmark == "clean") & (SCORES.metric == "error") & (SCORES.augmentation == "vanilla")]
    assert list(together.lines[0].get_xdata()) == pytest.approx([k / 255 for k in (0, 1, 2, 4, 8)])
    assert together.lines[0].get_ydata()[0] == pytest.approx(100 * clean["value"].mean())
    assert [label.get_text() for label in together.get_xticklabels()] == ["0", "1", "2", "4", "8"]
    assert together.get_xlabel() == "ε in units of 1/255"


def test_levels_that_are_no_255ths_are_written_as_they_are() -> None:
    rows = SCORES[SCORES.benchmark == "fgsm"].replace({"level": {"1/255": "0.01", "2/255": "0.03", "4/255": "0.1"}})
    axes = drawings("attack_curves", rows[rows.level != "8/255"])[0].figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.03", "0.1"]
    assert axes.get_xlabel() == "ε"


def test_reliability_points_pool_the_images_of_all_networks() -> None:
    axes = drawings("reliability")[0].figure.axes[0]
    rows = SCORES[(SCORES.augmentation == "vanilla") & SCORES.metric.str.startswith("bin_")]
    expected = []
    for _, group in rows.groupby("subset"):
        accuracy, confidence = (group[group.metric == name] for name in ("bin_accuracy", "bin_confidence"))
        weights = accuracy["n"].to_numpy()
        point = [np.average(side["value"].to_numpy(), weights=weights) for side in (confidence, accuracy)]
        expected.append(100 * np.array(point))
    offsets = axes.collections[1].get_offsets()
    np.testing.assert_allclose(np.sort(offsets, axis=0), np.sort(np.array(expected), axis=0), rtol=1e-9)
    assert axes.get_title(loc="left").startswith("vanilla\nRMS ")


def test_single_networks_have_no_spread_and_say_n() -> None:
    scores = scores_frame(("vanilla", "cutmix"), seeds=1)
    for name in FIGURES:
        for drawing in drawings(name, scores, comparison_frame(scores)):
            assert "n=1" in drawing.caption
            texts = " ".join(text.get_text() for text in drawing.figure.findobj(Text))
            assert "±" not in texts
            assert "range over networks" not in texts
