"""Aggregates over corruptions: published numbers, a loop, and what is left out when something is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from robustbench_msda.benchmarks.base import Baseline, Basis
from robustbench_msda.benchmarks.corruption_scores import (
    CIFAR_SUITE,
    IMAGENET_SUITE,
    LEVELS,
    MADE_SUITE,
    THREE_D_SUITE,
    Suite,
    aggregates,
    corruption_scores,
)
from robustbench_msda.conditions import EXTRA, FIFTEEN, TWELVE
from robustbench_msda.metrics.baselines import ALEXNET, ROBUSTBENCH5K, ROBUSTBENCH5K_3DCC
from robustbench_msda.records import Cell, Predictions, Score

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "corruption.json").read_text())

PLAIN = Basis()


def table(names: tuple[str, ...], seed: int = 0) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(seed)
    return {name: dict(zip(LEVELS, rng.uniform(0.2, 0.9, 5).tolist(), strict=True)) for name in names}


def by_metric(
    errors: Mapping[str, Mapping[str, float]], suite: Suite, basis: Basis = PLAIN, **calibration: object
) -> dict[str, Score]:
    """The aggregates over all corruptions, by metric (and level)."""
    found = aggregates("b_c", errors, calibration.get("calibration", {}), basis, suite)
    return {f"{score.metric}{score.level}": score for score in found if not score.condition}


def constant(errors: Mapping[str, float]) -> dict[str, dict[str, float]]:
    return {name: dict.fromkeys(LEVELS, error) for name, error in errors.items()}


def answers(n: int, wrong: int) -> Predictions:
    """``n`` images of class 0, of which the first ``wrong`` are answered with class 1."""
    top5 = np.tile(np.array([0, 1, 2, 3, 4], np.int16), (n, 1))
    top5[:wrong] = [1, 0, 2, 3, 4]
    logits: NDArray[np.float32] = np.tile(np.array([2, 1, 0, 0, 0], np.float32), (n, 1))
    return Predictions(
        index=np.arange(n, dtype=np.int32),
        frame=np.zeros(n, np.int16),
        label=np.zeros(n, np.int16),
        top5=top5,
        top5_logit=logits,
        label_logit=np.where(np.arange(n) < wrong, 1, 2).astype(np.float32),
        logsumexp=np.full(n, 2.6, np.float32),
        sum_p2=np.full(n, 0.4, np.float32),
    )


def test_the_published_mce_of_a_large_network() -> None:
    facts = GOLDEN["wsl"]
    errors = constant({name: value / 100 for name, value in facts["error_percent"].items()})
    found = by_metric(errors, IMAGENET_SUITE)["mce_alexnet"]
    assert 100 * found.value == pytest.approx(facts["mce_percent"], abs=0.05)
    assert (found.n, found.flags) == (15, "")


@pytest.mark.parametrize(
    ("block", "key", "suite"),
    [
        ("imagenet_c_accuracy", "corruptions_mce", IMAGENET_SUITE),
        ("imagenet_3dcc_accuracy", "corruptions_mce_3d", THREE_D_SUITE),
    ],
)
def test_every_published_mce_of_robustbench(reference: Path, block: str, key: str, suite: Suite) -> None:
    facts = json.loads((reference / "reference/fixtures.json").read_text())["robustbench_imagenet_5000"]
    assert len(facts[block]) == 12
    for model, accuracy in facts[block].items():
        errors = {name: dict(zip(LEVELS, (1 - np.array(row)).tolist(), strict=True)) for name, row in accuracy.items()}
        found = by_metric(errors, suite)
        assert 100 * found["mce_robustbench5k"].value == pytest.approx(float(facts["published"][model][key]), abs=0.01)
        assert "5,000 images" in found["mce_robustbench5k"].flags
        mean = "corruptions_acc" if suite is IMAGENET_SUITE else "corruptions_acc_3d"
        published = float(facts["published"][model][mean])
        assert 100 * (1 - found["mean_corruption_error"].value) == pytest.approx(published, abs=0.01)


def test_every_stored_mce_of_the_resnexts(reference: Path) -> None:
    facts = json.loads((reference / "reference/fixtures.json").read_text())["resnext_wsl"]["models"]
    for model, row in facts.items():
        errors = {name: value / 100 for name, value in row["imagenet_c_error_percent_mean_over_severities"].items()}
        found = by_metric(constant(errors), IMAGENET_SUITE)["mce_alexnet"].value
        assert 100 * found == pytest.approx(row["mCE_percent_with_alexnet_constants"], abs=0.01), model


def test_constants_equal_the_reference(reference: Path) -> None:
    facts = json.loads((reference / "reference/constants.json").read_text())
    alexnet, robustbench = facts["imagenet_c_alexnet"], facts["imagenet_c_alexnet_robustbench_5000"]
    per_severity = alexnet["top1_error_per_severity"] | alexnet["extra_top1_error_per_severity"]
    assert {name: list(row) for name, row in ALEXNET.errors.items()} == per_severity
    means = alexnet["top1_error_mean_over_severities"] | alexnet["extra_top1_error_mean_over_severities"]
    assert {name: np.mean(row) for name, row in ALEXNET.errors.items()} == pytest.approx(means, abs=1e-9)
    assert {n: list(row) for n, row in ROBUSTBENCH5K.errors.items()} == robustbench["top1_error_per_severity"]
    three_d = facts["imagenet_3dcc"]["alexnet_5000"]["top1_error_per_severity"]
    assert {n: list(row) for n, row in ROBUSTBENCH5K_3DCC.errors.items()} == three_d
    assert facts["imagenet_3dcc"]["corruptions_download_order"] == list(TWELVE)


def test_the_network_that_normalises_scores_one() -> None:
    errors = {name: dict(zip(LEVELS, ALEXNET.errors[name], strict=True)) for name in FIFTEEN}
    found = by_metric(errors, IMAGENET_SUITE, Basis(clean_error=ALEXNET.clean_error))
    assert found["mce_alexnet"].value == pytest.approx(1)
    assert found["relative_mce_alexnet"].value == pytest.approx(1)


def test_aggregates_equal_five_lines_of_loops() -> None:
    errors = table((*FIFTEEN, *EXTRA))
    found = by_metric(errors, IMAGENET_SUITE, Basis(clean_error=0.2))
    ce, relative = [], []
    for name in FIFTEEN:
        ours, theirs = sum(errors[name].values()), sum(ALEXNET.errors[name])
        ce.append(ours / theirs)
        relative.append((ours - 5 * 0.2) / (theirs - 5 * ALEXNET.clean_error))
    assert found["mce_alexnet"].value == pytest.approx(sum(ce) / 15)
    assert found["relative_mce_alexnet"].value == pytest.approx(sum(relative) / 15)
    raw = sum(sum(errors[name].values()) / 5 for name in FIFTEEN) / 15
    assert found["mean_corruption_error"].value == pytest.approx(raw)


def test_every_corruption_has_its_own_error_and_its_normalised_one() -> None:
    errors = table((*FIFTEEN, *EXTRA))
    rows = {
        (s.condition, s.metric): s.value for s in aggregates("b", errors, {}, Basis(), IMAGENET_SUITE) if s.condition
    }
    for name in (*FIFTEEN, *EXTRA):
        assert rows[name, "corruption_error"] == pytest.approx(np.mean(list(errors[name].values())))
        expected = sum(errors[name].values()) / sum(ALEXNET.errors[name])
        assert rows[name, "corruption_error_alexnet"] == pytest.approx(expected)
    assert ("spatter", "corruption_error_robustbench5k") not in rows


def test_validation_corruptions_are_not_averaged() -> None:
    low = table(FIFTEEN) | constant(dict.fromkeys(EXTRA, 0.0))
    high = table(FIFTEEN) | constant(dict.fromkeys(EXTRA, 1.0))
    assert by_metric(low, CIFAR_SUITE) == by_metric(high, CIFAR_SUITE)


def test_there_is_no_relative_error_without_the_clean_one() -> None:
    assert not [metric for metric in by_metric(table(FIFTEEN), IMAGENET_SUITE) if "relative" in metric]


def test_a_missing_severity_keeps_its_corruption_and_the_mean_out() -> None:
    errors = table(FIFTEEN)
    del errors["fog"]["3"]
    found = list(aggregates("b", errors, {}, Basis(), IMAGENET_SUITE))
    assert {score.condition for score in found} == set(FIFTEEN) - {"fog"}


def test_partial_aggregates_say_what_they_are_of() -> None:
    errors = table(FIFTEEN[:10])
    del errors["fog"]["3"]
    found = list(aggregates("b", errors, {}, Basis(allow_partial=True), IMAGENET_SUITE))
    (fog,) = [s for s in found if (s.condition, s.metric) == ("fog", "corruption_error_alexnet")]
    theirs = [error for level, error in zip(LEVELS, ALEXNET.errors["fog"], strict=True) if level != "3"]
    assert fog.value == pytest.approx(sum(errors["fog"].values()) / sum(theirs))
    assert fog.flags == "partial: severities 1, 2, 4, 5"
    (mean,) = [s for s in found if s.metric == "mean_corruption_error"]
    assert mean.flags == "partial: 10 of 15 corruptions, 49 of 75 cells"


def test_made_stimuli_and_stand_ins_are_told() -> None:
    errors = table(FIFTEEN)
    assert by_metric(errors, MADE_SUITE)["mean_corruption_error"].flags == "made"
    errors["frost_procedural"] = errors.pop("frost")
    assert by_metric(errors, MADE_SUITE)["mean_corruption_error"].flags == "made; frost_procedural for frost"


def test_another_checkpoint_normalises() -> None:
    errors, own = table(FIFTEEN), table(FIFTEEN, seed=1)
    flat = {(name, level): error for name, levels in own.items() for level, error in levels.items()}
    found = by_metric(errors, CIFAR_SUITE, Basis(0.1, Baseline("vanilla seed 0", flat, 0.05)))
    ce = [sum(errors[name].values()) / sum(own[name].values()) for name in FIFTEEN]
    assert found["mce_baseline"].value == pytest.approx(np.mean(ce))
    assert found["mce_baseline"].flags == "normalised by vanilla seed 0"
    relative = [(sum(errors[n].values()) - 0.5) / (sum(own[n].values()) - 0.25) for n in FIFTEEN]
    assert found["relative_mce_baseline"].value == pytest.approx(np.mean(relative))


def test_a_baseline_that_lacks_a_corruption_gives_no_mean() -> None:
    errors = table(FIFTEEN)
    flat = {(name, level): 0.5 for name in FIFTEEN[1:] for level in LEVELS}
    found = by_metric(errors, CIFAR_SUITE, Basis(baseline=Baseline("other", flat)))
    assert "mce_baseline" not in found
    assert "mean_corruption_error" in found


def test_calibration_is_averaged_by_severity_and_over_all_cells() -> None:
    errors, calibration = table(FIFTEEN), table(FIFTEEN, seed=2)
    found = by_metric(errors, CIFAR_SUITE, calibration=calibration)
    for level in LEVELS:
        expected = sum(calibration[name][level] for name in FIFTEEN) / 15
        assert found[f"mean_rms_calibration{level}"].value == pytest.approx(expected)
    overall = sum(sum(calibration[name].values()) for name in FIFTEEN) / 75
    assert found["mean_rms_calibration"].value == pytest.approx(overall)


def test_scores_of_predictions_reach_the_aggregates() -> None:
    cells = {
        Cell("f", "b_c", name, level): answers(200, 10 * int(level) + k)
        for k, name in enumerate(FIFTEEN)
        for level in LEVELS
    }
    found = list(corruption_scores(cells, ["cat", "dog"], Basis(), CIFAR_SUITE))
    expected = np.mean([(10 * int(level) + k) / 200 for k in range(15) for level in LEVELS])
    (mean,) = [score for score in found if score.metric == "mean_corruption_error"]
    assert (mean.benchmark, mean.value) == ("b_c", pytest.approx(expected))
    single = {(s.condition, s.level): s.value for s in found if s.metric == "error" and s.subset == "all"}
    assert single["fog", "2"] == pytest.approx((20 + FIFTEEN.index("fog")) / 200)
    assert len([s for s in found if s.metric == "mean_rms_calibration"]) == 6
