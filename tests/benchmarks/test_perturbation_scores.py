"""Flips and top-5 distances from predictions: the gold, published numbers, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robustbench_msda.benchmarks.base import Baseline, Basis
from robustbench_msda.benchmarks.perturbation_scores import (
    PerturbationSuite,
    aggregates,
    as_videos,
    perturbation_scores,
)
from robustbench_msda.conditions import FOUR, TEN
from robustbench_msda.metrics.baselines import ALEXNET_FLIP_PROBABILITY
from robustbench_msda.prediction import summarise
from robustbench_msda.records import Batch, Cell, Predictions

SUITE = PerturbationSuite()


def predictions(logits: NDArray[np.float32]) -> Predictions:
    """What is stored of (videos, frames, K) logits."""
    videos, frames, classes = logits.shape
    index = torch.arange(videos).repeat_interleave(frames)
    batch = Batch(torch.zeros(videos * frames, 1), torch.zeros_like(index), index, torch.arange(frames).repeat(videos))
    return summarise(batch, torch.from_numpy(logits.reshape(-1, classes)))


GOLD = ["cifar10p_motion", "cifar10p_noise", "cifar10p_ties", "imagenetp_motion", "imagenetp_noise"]


@pytest.mark.parametrize("case", GOLD)
def test_gold(reference: Path, case: str) -> None:
    inputs = np.load(reference / "data/gold/metrics/perturbation_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/perturbation_expected.json").read_text())[case]
    name = "shot_noise" if gold["noise_perturbation"] else "motion_blur"
    found = perturbation_scores({Cell("f", "p", name): predictions(inputs[case])}, Basis(), SUITE)
    values = {score.metric: score.value for score in found}
    assert values["flip_probability"] == pytest.approx(gold["difficulty_1"]["flip_prob"], abs=1e-9)
    assert values["top5_distance"] == pytest.approx(gold["difficulty_1"]["top5_distance"], abs=1e-9)


def test_published_numbers_of_the_resnexts(reference: Path) -> None:
    facts = json.loads((reference / "reference/fixtures.json").read_text())["resnext_wsl"]["models"]
    for model, row in facts.items():
        flips, distances = row["imagenet_p_flip_probability"], row["imagenet_p_top5_distance"]
        found = {s.metric: s for s in aggregates("p", flips, distances, Basis(), PerturbationSuite(alexnet=True))}
        assert 100 * found["mean_flip_probability"].value == pytest.approx(row["mFP_percent"], abs=0.01), model
        rate = found["mfr_alexnet"]
        assert 100 * rate.value == pytest.approx(row["mFR_percent_with_recalled_alexnet"], abs=0.01), model
        assert "recalled" in rate.flags
        assert found["mean_top5_distance"].value == pytest.approx(np.mean(list(distances.values())))


def test_constants_equal_the_reference(reference: Path) -> None:
    facts = json.loads((reference / "reference/constants.json").read_text())["imagenet_p"]
    percent = facts["alexnet_flip_probability_percent"]
    assert {name: 100 * value for name, value in ALEXNET_FLIP_PROBABILITY.items()} == pytest.approx(percent)
    assert facts["perturbations_paper_10"] == list(TEN)
    assert facts["validation_paper_4"] == list(FOUR)


def test_aggregates_are_means_over_the_ten_of_the_paper_and_of_the_scripts() -> None:
    rng = np.random.default_rng(0)
    flips = dict(zip((*TEN, *FOUR), rng.uniform(0.01, 0.3, 14).tolist(), strict=True))
    distances = {name: 10 * value for name, value in flips.items()}
    found = {s.metric: s for s in aggregates("p", flips, distances, Basis(), PerturbationSuite(made=True))}
    assert found["mean_flip_probability"].value == pytest.approx(sum(flips[name] for name in TEN) / 10)
    scripts = sum(flips[name] for name in TEN) - flips["snow"] + flips["spatter"]
    assert found["mean_flip_probability_spatter"].value == pytest.approx(scripts / 10)
    assert found["mean_top5_distance"].value == pytest.approx(sum(distances[name] for name in TEN) / 10)
    assert {score.flags for score in found.values()} == {"made"}
    assert "mfr_alexnet" not in found


def test_a_mean_waits_for_all_ten_or_says_what_it_is_of() -> None:
    flips = dict.fromkeys(TEN[:4], 0.1)
    assert list(aggregates("p", flips, flips, Basis(), SUITE)) == []
    found = list(aggregates("p", flips, flips, Basis(allow_partial=True), PerturbationSuite(alexnet=True)))
    assert {score.flags.split(";")[0] for score in found} == {"partial: 4 of 10 perturbations"}
    rate = next(score for score in found if score.metric == "mfr_alexnet")
    assert rate.value == pytest.approx(np.mean([0.1 / ALEXNET_FLIP_PROBABILITY[name] for name in TEN[:4]]))


def test_another_checkpoint_normalises() -> None:
    flips, own = dict.fromkeys(TEN, 0.1), {(name, ""): 0.05 * (k + 1) for k, name in enumerate(TEN)}
    found = list(aggregates("p", flips, flips, Basis(baseline=Baseline("vanilla", own)), SUITE))
    rate = next(score for score in found if score.metric == "mfr_baseline")
    assert rate.value == pytest.approx(sum(2 / (k + 1) for k in range(10)) / 10)
    assert rate.flags == "normalised by vanilla"


def test_rows_that_are_no_whole_videos_are_refused() -> None:
    whole = predictions(np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32))
    assert as_videos(whole).shape == (3, 4, 5)
    cut = Predictions(**{name: value[:-1] for name, value in vars(whole).items() if value is not None})
    with pytest.raises(ValueError, match="expected videos of 4 frames"):
        as_videos(cut)
    mixed = Predictions(**{name: value[::-1] for name, value in vars(whole).items() if value is not None})
    with pytest.raises(ValueError, match="in another order"):
        as_videos(mixed)
