"""What stands on the pages is what the score rows say."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_reading import read, two_datasets

from robustbench_msda.cli.train import assignments
from robustbench_msda.page.charts import nice_steps
from robustbench_msda.page.class_numbers import class_numbers
from robustbench_msda.page.networks import train_command
from robustbench_msda.page.summary import summarise
from robustbench_msda.recipes import Recipe
from robustbench_msda.results.aggregates import tidy

SCORES, COMPARISON = two_datasets()
DIGITS = SCORES[SCORES["dataset"] == "digits"]
CUTMIX = ("digits", "small_cnn", "cutmix")


def percent(values: pd.Series[float]) -> str:
    return f"{100 * values.mean():.2f} ± {100 * values.std():.2f}"


def pick(metric: str, augmentation: str = "cutmix", **where: str) -> pd.Series[float]:
    rows = DIGITS[(DIGITS["metric"] == metric) & (DIGITS["augmentation"] == augmentation)]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows["value"]


def test_the_leaderboard_has_a_row_a_method_with_its_means(out: Path) -> None:
    (table,) = read(out / "index.html").tables
    header = next(row for row in table if "Augmentation" in row)
    rows = {
        tuple(row[:2]): dict(zip(header, row, strict=True)) for row in table if row[0] in set(SCORES["augmentation"])
    }
    assert len(rows) == 6
    row = rows["cutmix", "digits"]
    assert row["n"] == "2"
    assert row["clean"] == percent(pick("error", benchmark="clean"))
    assert row["corrupted (made)"] == percent(pick("mean_corruption_error"))
    assert row["PGD, ε = 8/255"] == percent(pick("error", benchmark="pgd", level="8/255"))
    assert row["RMS"] == percent(pick("rms_calibration", benchmark="clean"))
    degraded = COMPARISON[(COMPARISON["metric"] == "n_degraded_classes") & (COMPARISON["treatment"] == "cutmix")]
    assert row["N_DC"] == f"{degraded[degraded['dataset'] == 'digits']['value'].iloc[0]:g}"


def test_the_page_of_a_method_has_every_severity_and_its_baseline(out: Path) -> None:
    tables = read(out / "groups" / "digits.small_cnn.cutmix.html").tables
    rows = [row for table in tables for row in table]
    fog = next(row for row in rows if row[0] == "fog")
    severities = [percent(pick("error", condition="fog", level=level)) for level in "12345"]
    own, base = pick("corruption_error", condition="fog"), pick("corruption_error", "vanilla", condition="fog")
    change = f"{100 * (own.mean() - base.mean()):+.2f}".replace("-", "−")
    assert fog[1:] == [*severities, percent(own), percent(base), change]
    assert [row for row in rows if row[0] == "pgd"][0][-1] == percent(pick("error", benchmark="pgd", level="8/255"))


def test_the_mean_by_severity_is_over_the_test_corruptions_alone() -> None:
    summary = summarise(tidy(SCORES), COMPARISON)
    rows = summary.groups[CUTMIX]
    found = rows[(rows["metric"] == "mean_error") & (rows["level"] == "3")]["mean"].item()
    errors = DIGITS[(DIGITS["metric"] == "error") & (DIGITS["level"] == "3") & (DIGITS["augmentation"] == "cutmix")]
    validation = ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
    kept = errors[~errors["condition"].isin(validation) & ~errors["condition"].str.contains("(", regex=False)]
    assert found == pytest.approx(kept["value"].mean())


def test_intervals_over_networks_are_students() -> None:
    from scipy import stats

    rows = summarise(tidy(SCORES), COMPARISON).groups[CUTMIX]
    row = rows[(rows["benchmark"] == "clean") & (rows["metric"] == "error")].iloc[0]
    values = pick("error", benchmark="clean")
    expected = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose([row["low"], row["high"]], expected)


def test_answers_are_shares_of_the_images_of_a_class_over_all_networks() -> None:
    numbers = class_numbers(summarise(tidy(SCORES), COMPARISON))[CUTMIX]
    own = DIGITS[DIGITS["augmentation"] == "cutmix"]
    counts = own[own["metric"] == "confusion_count"]
    images = own[own["metric"] == "recall"].groupby("subset")["n"].first()
    for name, shares in numbers.answers.items():
        for answer, share in shares.items():
            count = counts.loc[counts["subset"] == f"{name}>{answer}", "value"].sum()
            assert share == pytest.approx(count / 2 / images[name])
        assert sum(shares.values()) == pytest.approx(1 - numbers.recall[name].mean)


def test_recall_under_a_corruption_is_of_all_its_severities() -> None:
    numbers = class_numbers(summarise(tidy(SCORES), COMPARISON))[CUTMIX]
    own = DIGITS[
        (DIGITS["augmentation"] == "cutmix") & (DIGITS["metric"] == "correct_count") & (DIGITS["subset"] == "cat")
    ]
    fog = own[own["condition"] == "fog"]
    assert numbers.conditions["digits_c_made"]["cat"]["fog", ""] == pytest.approx(fog["value"].sum() / fog["n"].sum())
    pgd = own[(own["benchmark"] == "pgd") & (own["level"] == "8/255")]
    key = (pgd["condition"].iloc[0], "8/255")
    assert numbers.conditions["pgd"]["cat"][key] == pytest.approx(pgd["value"].sum() / pgd["n"].sum())


def test_the_compare_view_holds_the_same_numbers(out: Path) -> None:
    text = (
        (out / "compare.html").read_text(encoding="utf-8").partition('id="versus-data">')[2].partition("</script>")[0]
    )
    data = json.loads(text)
    place = [group[:3] for group in data["groups"]].index(list(CUTMIX))
    rows = {(section, name): values[place] for section, name, _, values in data["rows"]}
    recall = pick("recall", subset="cat")
    assert rows["Recall by class (%)", "cat"] == [
        pytest.approx(recall.mean(), rel=1e-5),
        pytest.approx(recall.std(), rel=1e-2),
        2,
    ]
    assert rows["At a glance", "Error (%): clean"][0] == pytest.approx(
        pick("error", benchmark="clean").mean(), rel=1e-5
    )


def test_the_command_trains_the_same_recipe() -> None:
    recipe = Recipe(
        dataset="digits", model="small_cnn", model_options={"depth": 3}, augmentation="cutmix(alpha=1.0)", seed=3,
        epochs=2, schedule="multi_step", milestones=(0.25, 0.5), nesterov=False,
    )  # fmt: skip
    words = shlex.split(train_command(recipe.model_dump(mode="json")))
    assert words[:3] == ["robustbench-msda", "train", "digits"]
    pairs = dict(zip(words[3::2], words[4::2], strict=True))
    settings = tuple(value for name, value in zip(words[3::2], words[4::2], strict=True) if name == "--set")
    options = {name[2:]: value for name, value in pairs.items() if name != "--set"}
    assert Recipe.model_validate({"dataset": words[2], **options, **assignments(settings)}) == recipe


@pytest.mark.parametrize("top", [0.013, 0.9, 1.0, 7.3, 49.9, 99.0, 100.0])
def test_the_marks_of_an_axis_reach_what_is_drawn_and_not_far_beyond(top: float) -> None:
    steps = nice_steps(top)
    assert steps[0] == 0
    assert 3 <= len(steps) <= 8
    assert top * 0.999 <= steps[-1] < top * 1.8
