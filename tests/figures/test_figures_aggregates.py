"""Figures of aggregates draw what the score rows say, and say what they are of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figure_reading import COMPARISON, SCORES, drawings, overlaps
from matplotlib.axes import Axes
from synthetic_scores import AUGMENTATIONS, PERTURBATIONS, scores_frame

from robustbench_msda.figures import build_figures
from robustbench_msda.figures.style import COLOURS

LABELS = ["vanilla", "cutmix", "dropmix(rate=0.4, of=cutmix)", "mixup"]
MEANS = SCORES[SCORES.metric == "mean_corruption_error"]


def calibration(augmentation: str) -> pd.DataFrame:
    """Mean and standard deviation over networks, in percent, at severities 0 to 5."""
    rows = SCORES[SCORES.augmentation == augmentation]
    clean = rows[(rows.metric == "rms_calibration") & (rows.benchmark == "clean")].assign(level="0")
    means = rows[(rows.metric == "mean_rms_calibration") & (rows.level != "")]
    return 100 * pd.concat([clean, means]).groupby("level")["value"].agg(["mean", "std"])


def test_calibration_runs_from_the_clean_images_to_severity_five() -> None:
    (drawing,) = drawings("calibration_by_severity")
    axes = drawing.figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0 (clean)", *"12345"]
    for line, band, label in zip(axes.lines, axes.collections, LABELS, strict=True):
        expected = calibration(label)
        np.testing.assert_allclose(line.get_ydata(), expected["mean"], rtol=1e-9)
        np.testing.assert_allclose(line.get_xdata(), range(6), atol=1e-12)
        height = band.get_paths()[0].vertices[:, 1]
        assert height.max() == pytest.approx((expected["mean"] + expected["std"]).max())
    assert axes.lines[1].get_color() == COLOURS["cutmix"].lower()
    assert axes.get_ylim()[0] == 0
    assert "Severity 0 is the clean test images, n=1,000." in drawing.caption
    assert "8 corruptions of digits_c_made" in drawing.caption
    assert "partial: 8 of 15 corruptions, 40 of 75 cells" in drawing.caption


def test_calibration_on_other_images_is_not_joined_to_the_clean_ones() -> None:
    scores = SCORES.copy()
    scores.loc[scores.benchmark == "clean", "n"] = 10_000
    (drawing,) = drawings("calibration_by_severity", scores)
    lines = [(list(line.get_xdata()), line.get_color()) for line in drawing.figure.axes[0].lines]
    assert [x for x, _ in lines] == [[0.0]] * 4 + [[1.0, 2.0, 3.0, 4.0, 5.0]] * 4
    assert [colour for _, colour in lines[:4]] == [colour for _, colour in lines[4:]]
    assert "n=10,000, and therefore not joined to the others." in drawing.caption
    assert "1,000 images each" in drawing.caption
    ends = [bar.get_paths()[0].vertices[:, 1] for bar in drawing.figure.axes[0].collections[:8:2]]
    for end, label in zip(ends, LABELS, strict=True):
        mean, spread = calibration(label).loc["0"]
        np.testing.assert_allclose(end, [mean - spread, mean + spread], rtol=1e-9)


def test_calibration_without_clean_scores_starts_at_severity_one() -> None:
    (drawing,) = drawings("calibration_by_severity", SCORES[SCORES.benchmark != "clean"])
    assert [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()] == list("12345")
    assert "Severity 0" not in drawing.caption


def marks(axes: Axes) -> dict[str, dict[str, float]]:
    """What each method's marks stand at, by perturbation: in an independent order, that of their height."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    places = np.array(axes.get_yticks())
    found = {}
    for container, label in zip(axes.containers, LABELS, strict=True):
        x, y = container.lines[0].get_data()
        found[label] = {names[int(np.abs(places - at).argmin())]: value for value, at in zip(x, y, strict=True)}
    return found


def test_marks_stand_at_the_flip_probability_of_their_perturbation_and_method() -> None:
    (drawing,) = drawings("flips")
    axes = drawing.figure.axes[0]
    rows = SCORES[SCORES.metric == "flip_probability"].groupby(["augmentation", "condition"])["value"]
    mean = SCORES[SCORES.metric == "mean_flip_probability"].groupby("augmentation")["value"].mean()
    for label, found in marks(axes).items():
        expected = {name.replace("_", " "): 100 * value for name, value in rows.mean()[label].items()}
        assert found == pytest.approx(expected | {"mean": 100 * mean[label]})
    spread = 100 * rows.std()["mixup"]
    ends = [path.vertices[:, 0] for path in axes.containers[3].lines[2][0].get_paths()]
    widths = sorted(float(end.max() - end.min()) / 2 for end in ends)
    over = 100 * SCORES[(SCORES.metric == "mean_flip_probability") & (SCORES.augmentation == "mixup")]["value"].std()
    np.testing.assert_allclose(widths, sorted([*spread, over]), rtol=1e-6)


def test_perturbations_stand_in_the_order_of_the_paper_apart_from_those_for_validation() -> None:
    (drawing,) = drawings("flips")
    axes = drawing.figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        *("gaussian noise", "shot noise", "motion blur", "zoom blur", "snow"),
        *("brightness", "translate", "rotate", "tilt", "scale"),
        "mean",
        *("speckle noise", "gaussian blur", "spatter", "shear"),
    ]
    places = np.diff(axes.get_yticks())
    assert set(np.flatnonzero(places > 1.01)) == {9, 10}
    low, high = axes.get_ylim()
    assert low > high, "the first is on top"
    assert "1,000 videos each" in drawing.caption
    assert "(made)" in drawing.caption
    assert f"under {len(PERTURBATIONS)} perturbations" in drawing.alt


def test_flips_without_validation_or_mean_are_drawn_all_the_same() -> None:
    few = SCORES[SCORES.condition.isin(["tilt", "snow"]) & (SCORES.metric == "flip_probability")]
    (drawing,) = drawings("flips", few)
    axes = drawing.figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["snow", "tilt"]
    assert not [text for text in axes.texts if text.get_text()]
    assert overlaps(drawing.figure) == []


def test_many_methods_of_one_network_keep_their_marks_apart() -> None:
    methods = (*AUGMENTATIONS, "dropmix(rate=0.2, of=cutmix)", "dropmix(rate=0.4, of=mixup)", "fmix", "augmix")
    (drawing,) = drawings("flips", scores_frame(methods, seeds=1))
    axes = drawing.figure.axes[0]
    heights = {tuple(container.lines[0].get_ydata()) for container in axes.containers}
    assert len(heights) == len(methods)
    assert overlaps(drawing.figure) == []


def test_normalised_means_stand_below_the_mean_without_colour() -> None:
    scores = pd.concat(
        [
            SCORES,
            MEANS.assign(metric="relative_mce_alexnet", value=1.4 * MEANS["value"]),
            MEANS.assign(metric="mce_alexnet", value=2 * MEANS["value"]),
        ]
    )
    (plain,), (drawing,) = drawings("corruption_heatmap"), drawings("corruption_heatmap", scores)
    axes = drawing.figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[-3:] == ["mean", "mCE (AlexNet)", "relative mCE (AlexNet)"]
    colours = axes.collections[0].get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(colours))[-2:].all()
    assert colours[:-2].max() == plain.figure.axes[0].collections[0].get_array().max()
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    error = 200 * MEANS[MEANS.augmentation == "vanilla"]["value"]
    assert texts[0.5, len(names) - 1.5] == f"{error.mean():.1f}\n± {error.std():.1f}"
    assert "over that of the network in brackets" in drawing.caption
    assert "AlexNet: on all of ImageNet's validation images. These rows, in %, have no colour." in drawing.caption
    assert drawing.alt == plain.alt
    assert "mCE" not in plain.caption


def test_a_stand_in_stands_where_frost_would() -> None:
    scores = SCORES.replace({"condition": {"contrast": "frost_procedural"}})
    for name, texts in (("corruption_heatmap", "get_yticklabels"), ("corruption_by_severity", "")):
        axes = drawings(name, scores)[0].figure.axes
        found = [label.get_text() for label in getattr(axes[0], texts)()] if texts else titles(axes)
        place = found.index("frost procedural")
        assert found[place - 1 : place + 2] == ["snow", "frost procedural", "fog"]


def titles(axes: list[Axes]) -> list[str]:
    return [panel.get_title(loc="left") for panel in axes]


def test_the_reason_is_given_where_rows_are_absent(tmp_path: object) -> None:
    clean = SCORES[SCORES.benchmark == "clean"]
    built = build_figures(clean, COMPARISON, tmp_path, ["flips", "calibration_by_severity"])  # type: ignore[arg-type]
    assert built.paths == ()
    assert built.skipped == {
        "flips": "no rows of flip_probability",
        "calibration_by_severity": "no rows of mean_rms_calibration by severity",
    }
