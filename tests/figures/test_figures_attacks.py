"""Curves of several attacks."""

from __future__ import annotations

import pandas as pd
import pytest
from figure_reading import SCORES, drawings, overlaps
from suite_scores import LEVELS, NOISY, with_suite

from robustbench_msda.benchmarks.adversarial import FMIX_LEVELS

ALL = with_suite(SCORES)


def suite_figure(scores: pd.DataFrame = ALL) -> object:
    (drawing,) = (each for each in drawings("attack_curves", scores) if each.name.endswith(".linf_attacks"))
    return drawing


def test_a_suite_has_a_figure_of_its_own_with_the_worst_case() -> None:
    names = [drawing.name for drawing in drawings("attack_curves", ALL)]
    assert names == ["attack_curves.digits.small_cnn", "attack_curves.digits.small_cnn.linf_attacks"]
    drawing = suite_figure()
    titles = [axes.get_title(loc="left") for axes in drawing.figure.axes]  # type: ignore[attr-defined]
    assert titles == ["fgsm", "bim", "uniform_noise", "worst case"]
    rows = ALL[(ALL.metric == "worst_case_error") & (ALL.augmentation == "vanilla")].groupby("level")["value"].mean()
    line = drawing.figure.axes[3].lines[0]  # type: ignore[attr-defined]
    clean = SCORES[(SCORES.benchmark == "clean") & (SCORES.metric == "error") & (SCORES.augmentation == "vanilla")]
    expected = [clean["value"].mean(), *(rows[level] for level in LEVELS)]
    assert list(line.get_xdata()) == pytest.approx([0.0, *map(float, LEVELS)])
    assert list(line.get_ydata()) == pytest.approx([100 * value for value in expected])
    assert f"† linf_attacks: {NOISY} (fgsm at ε = 0.1)." in drawing.caption  # type: ignore[attr-defined]
    assert "Worst case: images that at least one attack fools" in drawing.caption  # type: ignore[attr-defined]


def test_the_error_at_zero_is_drawn_once() -> None:
    drawing = suite_figure(with_suite(SCORES, levels=("0", *LEVELS)))
    line = drawing.figure.axes[0].lines[0]  # type: ignore[attr-defined]
    assert list(line.get_xdata()) == pytest.approx([0.0, *map(float, LEVELS)])
    # Over two networks each, not over their clean errors besides.
    assert "n=2 networks" in drawing.caption  # type: ignore[attr-defined]


def test_fourteen_epsilons_from_zero_to_one_can_be_told_apart() -> None:
    scores = with_suite(SCORES)
    rows = scores[(scores.benchmark == "linf_attacks") & (scores.level == "0.1")]
    many = pd.concat([SCORES, *(rows.assign(level=level) for level in FMIX_LEVELS)], ignore_index=True)
    drawing = suite_figure(many)
    assert overlaps(drawing.figure) == []  # type: ignore[attr-defined]
    axes = drawing.figure.axes[-1]  # type: ignore[attr-defined]
    named = [label.get_text() for label in axes.get_xticklabels()]
    assert named == ["0", "0.001", "0.01", "0.1", "1"]
    places = axes.transData.transform([(float(level), 0) for level in FMIX_LEVELS])[:, 0]
    assert (places[1:] - places[:-1]).min() > 2
