"""Flips and top-5 distances against the published code's numbers and the definition over full ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from robustbench_msda.metrics.perturbation import flip_probability, mean_flip_rate, top5_distance

FOLDER = Path(__file__).parents[1] / "golden"
Against = Literal["previous", "first"]
BOTH: tuple[Against, Against] = ("previous", "first")
seeds = st.integers(0, 2**32 - 1)


def top5_of(logits: np.ndarray) -> np.ndarray:
    return np.argsort(-logits, axis=-1, kind="stable")[..., :5].astype(np.int16)


def test_golden_numbers_with_ties() -> None:
    golden = json.loads((FOLDER / "perturbation.json").read_text())
    top5 = np.array([[[int(digit) for digit in frame] for frame in video.split()] for video in golden["top5"]])
    for against in BOTH:
        flips, distance = golden[against]["flip_prob"], golden[against]["top5_distance"]
        assert flip_probability(top5[..., 0], against) == pytest.approx(flips, abs=1e-9)
        assert top5_distance(top5, against) == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["cifar10p_motion", "cifar10p_noise", "cifar10p_ties", "imagenetp_motion", "imagenetp_noise"]
)
def test_gold(reference: Path, name: str) -> None:
    top5 = top5_of(np.load(reference / "data/gold/metrics/perturbation_inputs.npz")[name])
    gold = json.loads((reference / "data/gold/metrics/perturbation_expected.json").read_text())[name]
    own, other = BOTH[::-1] if gold["noise_perturbation"] else BOTH
    for against, key in ((own, "difficulty_1"), (other, "difficulty_1_with_the_other_noise_flag")):
        assert flip_probability(top5[..., 0], against) == pytest.approx(gold[key]["flip_prob"], abs=1e-9)
        assert top5_distance(top5, against) == pytest.approx(gold[key]["top5_distance"], abs=1e-9)


@given(seeds, st.integers(5, 12), st.sampled_from(BOTH))
def test_top5_distance_is_that_of_the_full_ranks(seed: int, classes: int, against: Against) -> None:
    logits = np.random.default_rng(seed).normal(size=(2, 4, classes)).round(1)
    ranks = rankdata(-logits, method="ordinal", axis=-1).astype(int)
    distances = []
    for video in ranks:
        for k in range(1, 4):
            before, after = video[0 if against == "first" else k - 1], video[k]
            later = {rank: after[cls] for cls, rank in enumerate(before)}
            distances.append(sum(abs(i - min(later[i], 6)) for i in range(1, 6)))
    assert top5_distance(top5_of(logits), against) == pytest.approx(np.mean(distances))


def test_small_cases_by_hand() -> None:
    predicted = np.array([[0, 1, 1, 0], [2, 2, 2, 3]])
    assert flip_probability(predicted, "previous") == 3 / 6
    assert flip_probability(predicted, "first") == (2 + 1) / 6
    still = np.tile(np.arange(5), (1, 3, 1))
    assert top5_distance(still, "previous") == 0
    assert top5_distance(np.array([[[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]]), "first") == 15
    assert top5_distance(np.array([[[0, 1, 2, 3, 4], [1, 0, 2, 3, 4]]]), "first") == 2
    # Three classes: the padding stays where it is.
    assert top5_distance(np.array([[[0, 1, 2, -1, -1], [1, 0, 2, -1, -1]]]), "first") == 2


@given(seeds, st.sampled_from(BOTH))
def test_renaming_classes_changes_nothing(seed: int, against: Against) -> None:
    rng = np.random.default_rng(seed)
    top5, names = top5_of(rng.normal(size=(3, 5, 8))), rng.permutation(8)
    assert top5_distance(names[top5], against) == top5_distance(top5, against)
    assert flip_probability(names[top5[..., 0]], against) == flip_probability(top5[..., 0], against)


def test_published_mfr_of_a_large_network() -> None:
    facts = json.loads((FOLDER / "corruption.json").read_text())["flips"]
    flips = np.array(list(facts["flip_probability"].values()))
    alexnet = np.array([facts["alexnet_percent"][name] / 100 for name in facts["flip_probability"]])
    assert 100 * mean_flip_rate(flips, alexnet) == pytest.approx(facts["mfr_percent"], abs=0.05)
    assert mean_flip_rate(alexnet, alexnet) == pytest.approx(1)


def test_misuse_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match="two frames"):
        flip_probability(np.zeros((3, 1), int), "first")
    with pytest.raises(ValueError, match="2 dimensions"):
        flip_probability(np.zeros((3, 4, 5), int), "first")
    with pytest.raises(ValueError, match="five answers"):
        top5_distance(np.zeros((3, 4, 4), int), "first")
    with pytest.raises(ValueError, match="one baseline"):
        mean_flip_rate(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="flips under every"):
        mean_flip_rate(np.ones(2), np.array([1.0, 0.0]))
