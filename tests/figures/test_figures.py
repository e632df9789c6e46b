"""Figures draw what the score rows say, legibly, and the same bytes every time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import synthetic_scores
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from synthetic_scores import AUGMENTATIONS, comparison_frame, scores_frame

from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.figures import FIGURES, build_figures
from robustbench_msda.figures.drawing import Drawing, file_name
from robustbench_msda.figures.style import COLOURS, ink_on, line_styles, style

SCORES = scores_frame()
COMPARISON = comparison_frame(SCORES)
SMALL = scores_frame(("vanilla", "cutmix"), seeds=2)
NOTHING = pd.DataFrame()


@pytest.fixture(autouse=True)
def our_style() -> Iterator[None]:
    with style():
        yield


def drawings(name: str, scores: pd.DataFrame = SCORES, comparison: pd.DataFrame = COMPARISON) -> list[Drawing]:
    return list(FIGURES[name](scores, comparison))


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
    assert texts == {f"{best} +{100 * values[best]:.2f}", f"{worst} −{-100 * values[worst]:.2f}"}
    assert "n=2 against 2 networks" in drawing.caption
    assert told in drawing.alt


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


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_lies_on_another(name: str) -> None:
    for drawing in drawings(name):
        assert overlaps(drawing.figure) == []


def test_a_hundred_classes_with_long_names_stay_readable() -> None:
    classes = [f"rather_long_class_name_{k}" for k in range(100)]
    scores = scores_frame(("vanilla", "dropmix(rate=0.4, of=cutmix)"), classes=classes)
    (drawing,) = drawings("recall_change", scores, comparison_frame(scores))
    assert overlaps(drawing.figure) == []
    axes = drawing.figure.axes[0]
    assert axes.get_xticklabels() == []
    assert axes.get_xlabel().startswith("100 classes")


def test_the_overlap_test_can_fail() -> None:
    figure = drawings("recall_change")[0].figure
    figure.text(0.02, 0.96, "on the title")
    assert overlaps(figure) == [(figure.get_suptitle(), "on the title")]


def test_a_name_with_dollar_signs_is_no_formula() -> None:
    scores = scores_frame(("vanilla", "a$_b$c"))
    for name in FIGURES:
        for drawing in drawings(name, scores, comparison_frame(scores)):
            drawing.figure.draw_without_rendering()
            named = [text for text in drawing.figure.findobj(Text) if "a$" in text.get_text()]
            assert named
            assert not any(text.get_parse_math() for text in named)


def test_files_are_written_and_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    comparison = comparison_frame(SMALL)
    first = build_figures(SMALL, comparison, tmp_path / "first")
    networks = [SMALL[SMALL.fingerprint == name] for name in reversed(SMALL["fingerprint"].unique())]
    second = build_figures(pd.concat(networks), comparison, tmp_path / "second")
    assert len(first.paths) == 2 * len(FIGURES)
    assert first.skipped == {}
    for one, other in zip(first.paths, second.paths, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    for figure in first.figures:
        with Image.open(figure.png) as image:
            width, height = image.size
        assert (width / 150, height / 150) == pytest.approx(figure.inches, abs=0.01)
        text = figure.svg.read_text(encoding="utf-8")
        assert set(re.findall(r'href="(?!#|data:)[^"]*"', text)) == set()


def test_what_was_not_scored_is_skipped_and_said(tmp_path: Path) -> None:
    built = build_figures(SMALL[SMALL.benchmark == "fgsm"], NOTHING, tmp_path)
    assert [figure.name for figure in built.figures] == ["attack_curves.digits.small_cnn"]
    assert set(built.skipped) == set(FIGURES) - {"attack_curves"}
    assert built.skipped["recall_change"] == "no comparison with a baseline"


def test_a_comparison_alone_can_be_drawn(tmp_path: Path) -> None:
    built = build_figures(pd.DataFrame(), COMPARISON, tmp_path)
    assert len(built.figures) == len(AUGMENTATIONS) - 1
    assert set(built.skipped) == set(FIGURES) - {"recall_change"}


def test_names_are_checked_and_worlds_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean reliability"):
        build_figures(SMALL, NOTHING, tmp_path, ["reliabilty"])
    other = SMALL[SMALL.benchmark == "pgd"].assign(world="feedbeef")
    with pytest.raises(UserError, match="2 worlds"):
        build_figures(pd.concat([SMALL, other]), NOTHING, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_configuration_is_left_alone(tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 31.0, "xtick.direction": "in", "lines.antialiased": False}):
        before = dict(mpl.rcParams)
        one = build_figures(SMALL, NOTHING, tmp_path / "one", ["attack_curves"])
        assert dict(mpl.rcParams) == before
    two = build_figures(SMALL, NOTHING, tmp_path / "two", ["attack_curves"])
    assert one.figures[0].png.read_bytes() == two.figures[0].png.read_bytes()


def test_a_method_keeps_its_colour_whatever_it_is_shown_with() -> None:
    few, many = line_styles(["vanilla", "cutmix"]), line_styles([*AUGMENTATIONS, "fmix", "cutmix(alpha=0.5)"])
    assert all(few[label] == many[label] for label in few)
    looks = {(look.colour, look.dashes, look.marker) for look in many.values()}
    assert len(looks) == len(many)
    variants = [look for label, look in many.items() if "cutmix" in label]
    assert len({look.dashes for look in variants}) == len({look.marker for look in variants}) == 3


def test_fixed_colours_differ_for_readers_without_red_or_green() -> None:
    # Viénot, Brettel and Mollon (1999): linear RGB of what a protanope and a deuteranope see.
    protan = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
    deutan = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    linear = np.array([mpl.colors.to_rgb(colour) for colour in COLOURS.values()]) ** 2.2
    for matrix in (np.eye(3), protan, deutan):
        seen = np.clip(linear @ matrix.T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[~np.eye(len(seen), dtype=bool)]
        assert distances.min() > 0.12


def test_ink_is_chosen_by_contrast() -> None:
    assert ink_on(1, 1, 1) == "#222222"
    assert ink_on(0, 0, 0) == "white"
    assert ink_on(0.25, 0.7, 0.77) == "#222222"


def test_file_names_are_plain() -> None:
    assert file_name("recall_change", "timm/res net", "dropmix(rate=0.4, of=cutmix)") == (
        "recall_change.timm-res-net.dropmix-rate=0.4-of=cutmix"
    )


def test_nineteen_corruptions_and_eight_methods_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = (*synthetic_scores.CORRUPTIONS, "shot_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur")
    monkeypatch.setattr(synthetic_scores, "CORRUPTIONS", (*extra, "frost", "elastic_transform", "spatter"))
    methods = (*AUGMENTATIONS, "dropmix(rate=0.2, of=cutmix)", "dropmix(rate=0.4, of=mixup)", "fmix", "augmix")
    scores = scores_frame(methods, seeds=1)
    for name in ("corruption_by_severity", "corruption_heatmap", "reliability"):
        for drawing in drawings(name, scores):
            assert overlaps(drawing.figure) == []
