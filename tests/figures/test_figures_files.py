"""Figures are legible, and the same bytes every time."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import synthetic_scores
from figure_reading import COMPARISON, NOTHING, SMALL, drawings, overlaps
from matplotlib.text import Text
from PIL import Image
from synthetic_scores import AUGMENTATIONS, comparison_frame, scores_frame

from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.figures import FIGURES, build_figures
from robustbench_msda.figures.drawing import file_name
from robustbench_msda.figures.style import COLOURS, ink_on, line_styles


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
    assert len(first.paths) == 3 * (len(FIGURES) - 2)
    assert set(first.skipped) == {"parameter_sweep", "training_time"}
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
    more = ("frost_procedural", "elastic_transform", "speckle_noise", "gaussian_blur", "spatter", "saturate")
    monkeypatch.setattr(synthetic_scores, "CORRUPTIONS", (*extra, *more))
    methods = (*AUGMENTATIONS, "dropmix(rate=0.2, of=cutmix)", "dropmix(rate=0.4, of=mixup)", "fmix", "augmix")
    scores = scores_frame(methods, seeds=1)
    assert len(synthetic_scores.CORRUPTIONS) == 19
    for name in ("corruption_by_severity", "corruption_heatmap", "calibration_by_severity", "flips", "reliability"):
        for drawing in drawings(name, scores):
            assert overlaps(drawing.figure) == []
