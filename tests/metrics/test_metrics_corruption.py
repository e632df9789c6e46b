"""Corruption errors against published aggregates, the gold and loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustbench_msda.metrics.corruption import (
    corruption_error,
    mce,
    mean_corruption_error,
    relative_corruption_error,
    relative_mce,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "corruption.json").read_text())
tables = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(0.01, 1))


def test_published_mce_of_a_large_network() -> None:
    facts = GOLDEN["wsl"]
    errors = np.array(list(facts["error_percent"].values()))[:, None] / 100
    alexnet = np.array([facts["alexnet_error"][name] for name in facts["error_percent"]])
    assert 100 * mce(errors, alexnet) == pytest.approx(facts["mce_percent"], abs=0.05)


def test_published_aggregates_of_robustbench() -> None:
    facts = GOLDEN["robustbench"]
    errors = 1 - np.array(list(facts["accuracy"].values()))
    alexnet = 1 - np.array([facts["alexnet_accuracy"][name] for name in facts["accuracy"]])
    assert 100 * mce(errors, alexnet.mean(axis=1)) == pytest.approx(facts["mce_percent"], abs=0.0051)
    assert 100 * (1 - mean_corruption_error(errors)) == pytest.approx(facts["mean_accuracy_percent"], abs=0.0051)


def test_every_published_aggregate_of_robustbench(reference: Path) -> None:
    facts = json.loads((reference / "reference/fixtures.json").read_text())["robustbench_imagenet_5000"]
    for block, key in (("imagenet_c_accuracy", "corruptions_mce"), ("imagenet_3dcc_accuracy", "corruptions_mce_3d")):
        names = list(facts[block]["AlexNet"])
        alexnet = 1 - np.array([facts[block]["AlexNet"][name] for name in names])
        for model, accuracy in facts[block].items():
            errors = 1 - np.array([accuracy[name] for name in names])
            published = float(facts["published"][model][key])
            assert 100 * mce(errors, alexnet.mean(axis=1)) == pytest.approx(published, abs=0.0051), model


@pytest.mark.parametrize("model", ["modelA", "modelB", "alexnet_like"])
def test_gold(reference: Path, model: str) -> None:
    inputs = np.load(reference / "data/gold/metrics/mce_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/mce_expected.json").read_text())
    errors = (inputs[f"{model}_pred"] != inputs["labels"]).mean(axis=2)
    clean = float((inputs[f"{model}_clean_pred"] != inputs["labels"]).mean())
    names, expected = inputs["corruptions"].tolist(), gold[model]

    raw = expected["unnormalized_mce_percent_hendrycks_test.py"]
    assert 100 * mean_corruption_error(errors) == pytest.approx(raw, abs=1e-7)

    augmix = np.array([gold["constants"]["augmix_ALEXNET_ERR"][name] for name in names])
    ce = [expected["augmix_ce_percent"][name] for name in names]
    np.testing.assert_allclose(100 * corruption_error(errors, augmix), ce, atol=1e-7)
    assert 100 * mce(errors, augmix) == pytest.approx(expected["augmix_compute_mce_percent"], abs=1e-7)

    rounded = np.array([gold["constants"]["robustness_metrics_ALEXNET"][name] for name in names])
    rounded_clean = gold["constants"]["robustness_metrics_ALEXNET_clean"]
    facts = expected["robustness_metrics"]
    relative = relative_corruption_error(errors, clean, rounded, rounded_clean)
    np.testing.assert_allclose(relative, [facts[f"imagenet_c/{n}/relative_ce"] for n in names], atol=1e-9)
    assert mce(errors, rounded) == pytest.approx(facts["imagenet_c/mce"], abs=1e-9)
    value = relative_mce(errors, clean, rounded, rounded_clean)
    assert value == pytest.approx(facts["imagenet_c/relative_mce"], abs=1e-9)


def test_sums_are_divided_and_not_ratios_averaged() -> None:
    errors, baseline = np.array([[0.1, 0.9]]), np.array([[0.5, 0.9]])
    assert mce(errors, baseline.mean(axis=1)) == pytest.approx(1.0 / 1.4)
    assert (errors / baseline).mean() == pytest.approx(0.6)


@given(tables)
def test_the_baseline_scores_one(errors: np.ndarray) -> None:
    baseline = errors.mean(axis=1)
    np.testing.assert_allclose(corruption_error(errors, baseline), 1)
    clean = float(baseline.min()) / 2
    assert relative_mce(errors, clean, baseline, clean) == pytest.approx(1)


@given(tables)
def test_means_ignore_order_and_weigh_corruptions_alike(errors: np.ndarray) -> None:
    loop = sum(sum(row) / len(row) for row in errors.tolist()) / len(errors)
    assert mean_corruption_error(errors) == pytest.approx(loop)
    assert mean_corruption_error(errors[::-1, ::-1]) == pytest.approx(loop)


def test_misuse_says_what_was_expected() -> None:
    table = np.full((2, 5), 0.5)
    with pytest.raises(ValueError, match="percent"):
        mean_corruption_error(100 * table)
    with pytest.raises(ValueError, match="percent"):
        mean_corruption_error(np.full((1, 1), np.nan))
    with pytest.raises(ValueError, match="corruptions, severities"):
        mean_corruption_error(np.zeros((0, 5)))
    with pytest.raises(ValueError, match="one mean a corruption"):
        mce(table, table)
    with pytest.raises(ValueError, match="harms"):
        relative_mce(table, 0.1, np.array([0.4, 0.6]), 0.4)
