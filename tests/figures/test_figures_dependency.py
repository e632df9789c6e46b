"""Sweeps, confidence against recall, and recall by condition draw what the rows say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figure_reading import COMPARISON, SCORES, drawings, overlaps
from matplotlib.text import Text
from synthetic_scores import AUGMENTATIONS, CLASSES, comparison_frame, scores_frame

from robustbench_msda.figures import FIGURES
from robustbench_msda.figures.sweep import sweeps
from robustbench_msda.results.aggregates import Absent

RATES = ("vanilla", "dropmix(rate=0.2, of=cutmix)", "dropmix(of=cutmix)", "dropmix(rate=0.8, of=cutmix)", "mixup")
ALPHAS = ("mixup", "mixup(alpha=0.2)", "mixup(alpha=4.0)")


def test_a_sweep_is_what_differs_in_one_number() -> None:
    (rate,) = sweeps(list(RATES))
    assert rate.parameter == "rate"
    assert list(rate.values.values()) == [0.2, 0.5, 0.8]
    assert "rate=…" in rate.method
    (alpha,) = sweeps([*ALPHAS, "cutmix", "cutmix(alpha=0.2)"])
    assert alpha.values == {"mixup(alpha=0.2)": 0.2, "mixup": 1.0, "mixup(alpha=4.0)": 4.0}
    assert sweeps(["dropmix(rate=0.2, of=mixup)", *RATES[1:3]]) == []
    inner = [f"dropmix(rate=0.2, of=mixup(alpha={alpha}))" for alpha in (0.5, 2.0, 4.0)]
    assert [sweep.parameter for sweep in sweeps(inner)] == ["alpha"]
    assert sweeps(["3ea49139563c", "0dc2e56fbce5", "106d637a4c05", "mixup · 3ea491"]) == []


def test_a_sweep_draws_accuracy_and_degraded_classes() -> None:
    scores = scores_frame(RATES)
    comparison = comparison_frame(scores)
    (drawing,) = drawings("parameter_sweep", scores, comparison)
    assert overlaps(drawing.figure) == []
    accuracy, counts = drawing.figure.axes
    errors = scores[(scores.benchmark == "clean") & (scores.metric == "error")].groupby("augmentation")["value"].mean()
    line = accuracy.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [0.2, 0.5, 0.8])
    np.testing.assert_allclose(line.get_ydata(), 100 * (1 - errors.loc[list(RATES[1:4])]))
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), 100 * (1 - errors["vanilla"]))
    degraded = comparison[comparison.metric == "n_degraded_classes"].set_index("treatment")["value"]
    np.testing.assert_allclose(counts.lines[0].get_ydata(), degraded.loc[list(RATES[1:4])])
    assert "needs 4 networks a side" in drawing.caption
    null = comparison["metric"] == "n_degraded_null_median"
    known = comparison.assign(
        **{name: comparison[name].where(~null, k) for k, name in enumerate(("low", "value", "high"), 3)}
    )
    assert "median and central 95 %" in drawings("parameter_sweep", scores, known)[0].caption
    with pytest.raises(Absent, match="3 values"):
        list(FIGURES["parameter_sweep"](SCORES, COMPARISON))


def test_recipes_of_one_augmentation_are_drawn_by_their_own_names() -> None:
    scores = scores_frame(("vanilla", "cutmix"))
    other = scores_frame(("vanilla",))
    other["fingerprint"], other["group"] = "other" + other["fingerprint"].str[:7], "ffffff000000"
    both, comparison = pd.concat([scores, other]), comparison_frame(scores)
    # As an old comparison names them, and as two names that are one.
    for found in (comparison, comparison.assign(treatment="vanilla")):
        with pytest.raises(Absent, match="no comparison of a method"):
            list(FIGURES["class_recalls"](both, found))
    label = f"vanilla · {scores.loc[scores.augmentation == 'vanilla', 'group'].iloc[0][:6]}"
    (drawing,) = drawings("class_recalls", both, comparison.assign(baseline=label))
    assert set(drawing.data["label"]) == {label, "cutmix"}


def test_confidence_stands_against_recall() -> None:
    (drawing,) = drawings("confidence_recall")
    level, change = drawing.figure.axes
    clean = SCORES[SCORES.benchmark == "clean"]
    expected = [
        clean[(clean.metric == metric) & (clean.augmentation == "vanilla")].groupby("subset")["value"].mean()
        for metric in ("class_top_confidence", "recall")
    ]
    drawn = level.collections[0].get_offsets()
    np.testing.assert_allclose(drawn, 100 * np.stack(expected, axis=1), rtol=1e-9)
    assert len(level.collections) == len(AUGMENTATIONS)
    assert change.get_title(loc="left") == "against vanilla"
    moved = COMPARISON[COMPARISON.treatment == "mixup"].pivot_table(index="subset", columns="metric", values="value")
    points = moved.loc[sorted(CLASSES), ["confidence_change", "recall_change"]]
    shown = [np.asarray(collection.get_offsets()) for collection in change.collections]
    assert any(np.allclose(offsets, 100 * points.to_numpy()) for offsets in shown if len(offsets))
    value = COMPARISON[(COMPARISON.metric == "confidence_recall_pearson") & (COMPARISON.treatment == "mixup")]["value"]
    assert f"mixup r = {value.iloc[0]:.2f} (p = 0.040)".replace("-", "−") in drawing.caption


def test_recall_by_condition_writes_every_change() -> None:
    drawn = drawings("recall_by_condition")
    assert len(drawn) == len(AUGMENTATIONS) - 1
    (figure,) = [each.figure for each in drawn if each.name.endswith("mixup.vs.vanilla")]
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows[0] == "clean"
    assert axes.yaxis_inverted()
    changes = COMPARISON[(COMPARISON.metric == "recall_change") & (COMPARISON.treatment == "mixup")].set_index("subset")
    texts = {text.get_position(): text.get_text() for text in axes.findobj(Text) if "." in text.get_text()}
    for k, name in enumerate(CLASSES):
        expected = f"{100 * changes.loc[name, 'value']:+.1f}".replace("-", "−")
        assert texts[(k + 0.5, 0.5)] == expected
    many = comparison_frame(scores_frame(("vanilla", *(f"mixup(alpha={k}.5)" for k in range(12)))))
    with pytest.raises(Absent, match="too many heat maps"):
        list(FIGURES["recall_by_condition"](SCORES, many))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"value": 4.5, "low": 1.0, "high": 8.0, "flags": ""}, "degraded by seed noise alone: 4.5 [1, 8]"),
        ({}, "degraded by seed noise alone: needs 4 seeds a side"),
    ],
)
def test_the_chart_says_what_seed_noise_gives(values: dict[str, object], text: str) -> None:
    comparison = COMPARISON.copy()
    null = comparison["metric"] == "n_degraded_null_median"
    for name, value in values.items():
        comparison[name] = comparison[name].astype(object).where(~null, value)
    drawing = drawings("recall_change", comparison=comparison)[0]
    assert text in drawing.figure.axes[0].get_title(loc="left")
    assert text[1:] in drawing.caption


def test_a_comparison_on_another_condition_says_so() -> None:
    both = pd.concat([COMPARISON, COMPARISON.assign(on="digits_c_made:fog:3")])
    drawn = drawings("recall_change", comparison=both)
    assert len(drawn) == len({each.name for each in drawn}) == 2 * (len(AUGMENTATIONS) - 1)
    other = [each for each in drawn if "digits_c_made" in each.name]
    assert len(other) == len(AUGMENTATIONS) - 1
    assert all("on digits_c_made fog 3 in percentage points" in each.caption for each in other)
    assert not any("clean" in each.caption for each in other)
