"""Class dependency by condition, confidence, confusion flow, calibration and intervals hold what the rows say."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from synthetic_scores import AUGMENTATIONS, CLASSES, CORRUPTIONS, FOR_VALIDATION, comparison_frame, scores_frame
from table_reading import COMPARISON, NOTHING, SCORES, csv, pipe_rows

from robustbench_msda.results.aggregates import Absent
from robustbench_msda.tables import TABLES
from robustbench_msda.tables.csv import to_csv
from robustbench_msda.tables.intervals import with_intervals
from robustbench_msda.tables.markdown import to_markdown

COUNTS = SCORES[SCORES.metric == "correct_count"]


def falls(rows: pd.DataFrame, augmentation: str) -> list[float]:
    """The falls of recall against vanilla by a loop, of counts summed over networks and conditions."""
    found = []
    for name in CLASSES:
        own = rows[rows["subset"] == name]
        after, before = (own[own["augmentation"] == side] for side in (augmentation, "vanilla"))
        found.append(after["value"].sum() / after["n"].sum() - before["value"].sum() / before["n"].sum())
    return [change for change in found if change < -1e-12]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS[1:])
def test_every_condition_equals_a_loop(augmentation: str) -> None:
    table = csv("dependency_by_condition").set_index("condition")
    made = COUNTS[COUNTS["benchmark"] == "digits_c_made"]
    expected = {"clean": COUNTS[COUNTS["benchmark"] == "clean"]}
    expected |= {f"digits_c_made {name}": made[made["condition"] == name] for name in CORRUPTIONS}
    expected["digits_c_made all"] = made[~made["condition"].isin(FOR_VALIDATION)]
    for attack in ("fgsm", "pgd"):
        for level in ("1/255", "2/255", "4/255", "8/255"):
            expected[f"{attack} {level}"] = COUNTS[(COUNTS["benchmark"] == attack) & (COUNTS["level"] == level)]
    assert set(table.index) == set(expected)
    assert list(table.index)[0] == "clean"
    for name, rows in expected.items():
        changes = falls(rows, augmentation)
        assert table.loc[name, f"n_degraded_classes:{augmentation}"] == len(changes)
        if changes:
            own = table.loc[name, f"mean_recall_change_degraded:{augmentation}"]
            assert own == pytest.approx(np.mean(changes), rel=1e-9)
            assert f"{100 * min(changes):.2f}".replace("-", "−") in table.loc[name, f"worst_class:{augmentation}"]


def test_without_a_degraded_class_there_is_a_dash() -> None:
    scores = SCORES.copy()
    raised = (scores.metric == "correct_count") & (scores.augmentation == "mixup") & (scores.level == "8/255")
    scores.loc[raised, "value"] = scores.loc[raised, "n"]
    rows = pipe_rows(to_markdown(TABLES["dependency_by_condition"](scores, COMPARISON)))
    at = rows[0].index("mixup: N_DC")
    (row,) = [row for row in rows if row[0] == "pgd 8/255"]
    assert row[at : at + 3] == ["0", "–", "–"]


def test_unequal_seeds_and_other_stimuli() -> None:
    lost = (SCORES.augmentation == "mixup") & (SCORES.seed == "1")
    table = csv("dependency_by_condition", SCORES[~lost]).set_index("condition")
    changes = falls(COUNTS[(COUNTS["benchmark"] == "clean") & ~lost.loc[COUNTS.index]], "mixup")
    assert table.loc["clean", "n_degraded_classes:mixup"] == len(changes)
    # A network that was tried on one severity less has other stimuli: nothing is said of that corruption.
    part = lost & (SCORES.condition == "fog") & (SCORES.level == "5")
    gap = csv("dependency_by_condition", SCORES[~part]).set_index("condition")
    assert np.isnan(gap.loc["digits_c_made fog", "n_degraded_classes:mixup"])
    assert gap.loc["digits_c_made fog", "n_degraded_classes:cutmix"] >= 0


def test_confidence_stands_as_the_comparison_has_it() -> None:
    table = csv("class_confidence").set_index("augmentation")
    for name in AUGMENTATIONS[1:]:
        rows = COMPARISON[(COMPARISON["treatment"] == name) & (COMPARISON["subset"] == "all")].set_index("metric")
        for metric in ("mean_confidence_change_degraded", "confidence_recall_pearson", "confidence_recall_spearman"):
            assert table.loc[name, metric] == pytest.approx(rows.loc[metric, "value"])
        spread = rows.loc["mean_confidence_change_improved", "spread"]
        assert table.loc[name, "mean_confidence_change_improved_std"] == pytest.approx(spread)
    assert "vanilla" not in table.index
    old = COMPARISON[~COMPARISON["metric"].str.contains("confidence")]
    with pytest.raises(Absent, match="no comparison of confidence"):
        TABLES["class_confidence"](SCORES, old)


def test_flow_adds_up_to_the_fall_and_equals_a_loop() -> None:
    table = csv("confusion_flow")
    confusions = SCORES[SCORES.metric == "confusion_count"]
    assert len(table) > 6
    for _, row in table.iterrows():
        texts = [text for text in (row["target_1"], row["target_2"], row["target_3"]) if isinstance(text, str)]
        gains = {text.rpartition(" ")[0]: float(text.rpartition(" ")[2].replace("−", "-")) for text in texts}
        # Values of the texts are rounded to two decimals.
        assert sum(gains.values()) + 100 * row["others"] == pytest.approx(-100 * row["recall_change"], abs=0.02)
        assert list(gains.values()) == sorted(gains.values(), reverse=True)
        for target, gain in gains.items():
            own = confusions[confusions["subset"] == f"{row['class']}>{target}"].groupby("augmentation")["value"].sum()
            share = (own.get(row["augmentation"], 0) - own.get("vanilla", 0)) / 2 / 100
            assert gain == pytest.approx(100 * share, abs=0.006)
            assert gain > 0
    worst = COMPARISON[(COMPARISON.metric == "recall_change") & (COMPARISON.treatment == "mixup")].sort_values("value")
    assert table[table["augmentation"] == "mixup"]["class"].iloc[0] == worst["subset"].iloc[0]
    assert table.groupby("augmentation").size().max() <= 5


def test_classes_whose_names_begin_alike_keep_their_own_confusions() -> None:
    classes = ("cat", "cat>dog", "dog", "cat>dog>x")
    scores = scores_frame(("vanilla", "mixup"), classes=classes)
    table = TABLES["confusion_flow"](scores, comparison_frame(scores))
    for row in table.rows:
        texts = [text for text in row.values[3:6] if isinstance(text, str)]
        gain = sum(float(text.rpartition(" ")[2].replace("−", "-")) for text in texts)
        assert gain + 100 * row.values[6].mean == pytest.approx(-100 * row.values[2].mean, abs=0.02)


def test_rows_of_another_condition_stay_out_of_tables_of_clean_images() -> None:
    other = comparison_frame(SCORES, "cutmix").assign(on="digits_c_made:fog")
    both = pd.concat([COMPARISON, other])
    for name in ("class_dependency", "classes", "class_confidence", "confusion_flow", "dependency_by_condition"):
        assert csv(name, comparison=both).equals(csv(name))


def test_the_null_stands_with_its_interval() -> None:
    comparison = COMPARISON.copy()
    null = comparison["metric"] == "n_degraded_null_median"
    comparison.loc[null, ["value", "p", "flags"]] = [4.5, 0.0312, ""]
    comparison = comparison.assign(low=comparison["low"].where(~null, 1.0), high=comparison["high"].where(~null, 8.0))
    rows = pipe_rows(to_markdown(TABLES["class_dependency"](SCORES, comparison)))
    assert dict(zip(rows[0], rows[3], strict=True))["null"] == "4.5 [1, 8]"


def test_calibration_shows_what_was_scored() -> None:
    clean = SCORES[(SCORES.benchmark == "clean") & (SCORES.metric == "rms_calibration")]
    more = [clean.assign(metric=name, value=clean["value"] * k) for k, name in enumerate(("ece", "nll_scaled"), 2)]
    fitted = clean.assign(metric="temperature", value=4.9999, flags="at an end of the search in 0.2 to 5.0")
    scores = pd.concat([SCORES, *more, fitted], ignore_index=True)
    table = csv("calibration", scores).set_index("augmentation")
    mean = clean.groupby("augmentation")["value"].mean()
    for k, name in enumerate(("rms_calibration", "ece", "nll_scaled"), 1):
        np.testing.assert_allclose(table[name], k * mean.loc[table.index], rtol=1e-9)
    assert "brier" not in table
    pgd = SCORES[(SCORES.benchmark == "pgd") & (SCORES.metric == "rms_calibration") & (SCORES.level == "8/255")]
    column = f"rms_calibration:{pgd['condition'].iloc[0]}:8/255"
    np.testing.assert_allclose(table[column], pgd.groupby("augmentation")["value"].mean().loc[table.index], rtol=1e-9)
    caption = TABLES["calibration"](scores, NOTHING).caption
    assert "T: at an end of the search in 0.2 to 5.0." in caption
    assert "Temperature scaling" in caption
    assert "Temperature scaling" not in TABLES["calibration"](SCORES, NOTHING).caption


def test_intervals_are_students_over_networks_and_wilsons_of_one() -> None:
    scores = pd.concat(
        [SCORES[SCORES.augmentation != "mixup"], SCORES[(SCORES.augmentation == "mixup") & (SCORES.seed == "0")]]
    )
    plain = TABLES["overview"](scores, COMPARISON)
    table = with_intervals(plain)
    read = pd.read_csv(io.StringIO(to_csv(table))).set_index("augmentation")
    errors = scores[(scores.benchmark == "clean") & (scores.metric == "error")]
    own = errors[errors.augmentation == "cutmix"]["value"]
    half = student.ppf(0.975, 1) * own.std() / 2**0.5
    assert read.loc["cutmix", "error_low"] == pytest.approx(own.mean() - half)
    assert read.loc["cutmix", "error_high"] == pytest.approx(own.mean() + half)
    single = errors[errors.augmentation == "mixup"].iloc[0]
    assert read.loc["mixup", ["error_low", "error_high"]].tolist() == pytest.approx([single["low"], single["high"]])
    assert "error_std" not in read
    assert "mean_recall_change_degraded_std" in read  # a spread over classes stays
    row = {text[0]: text for text in pipe_rows(to_markdown(table))}["cutmix"]
    assert row[
        1
    ] == f"{100 * own.mean():.2f} [{100 * (own.mean() - half):.2f}, {100 * (own.mean() + half):.2f}]".replace("-", "−")
    assert "Mean [95 % interval of Student's t] over n=2" in table.caption
    assert "± standard deviation (ddof 1)" not in table.caption
    assert "± standard deviation (ddof 1)" in plain.caption


def test_an_accuracy_turns_its_interval_around() -> None:
    scores = SCORES[SCORES.seed == "0"]
    read = pd.read_csv(io.StringIO(to_csv(with_intervals(TABLES["class_dependency"](scores, COMPARISON)))))
    errors = scores[(scores.benchmark == "clean") & (scores.metric == "error")].set_index("augmentation")
    for _, row in read.iterrows():
        error = errors.loc[row["augmentation"]]
        assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((1 - error["high"], 1 - error["low"]))
