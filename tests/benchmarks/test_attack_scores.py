"""Scores of attacks: the worst case, what noise says of an attack, and flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustbench_msda.benchmarks.attack_checks import CHANGED, FLAT
from robustbench_msda.benchmarks.attack_scores import attack_scores
from robustbench_msda.benchmarks.base import Basis
from robustbench_msda.errors import DamagedData
from robustbench_msda.records import Cell, Predictions, Score
from robustbench_msda.statistics import exact_mcnemar, wilson_interval

ATTACKS = ("fgsm()", "bim(steps=10, rel_stepsize=0.2)", "uniform_noise()")
LEVELS = ("0.01", "0.1")
CLASSES = ("cat", "dog")
N = 40
PLAIN = Basis()


def answers(wrong: NDArray[np.bool_], delta: float = 0.01) -> Predictions:
    """Return answers to as many images, each of class 0."""
    n = len(wrong)
    first = wrong.astype(np.int16)
    return Predictions(
        index=np.arange(n, dtype=np.int32),
        frame=np.zeros(n, np.int16),
        label=np.zeros(n, np.int16),
        top5=np.stack([first, 1 - first, *(np.full(n, -1, np.int16) for _ in range(3))], axis=1),
        top5_logit=np.tile(np.array([2, 1, -np.inf, -np.inf, -np.inf], np.float32), (n, 1)),
        label_logit=(2 - first).astype(np.float32),
        logsumexp=np.full(n, 2.3, np.float32),
        sum_p2=np.full(n, 0.6, np.float32),
        delta_max=np.full(n, delta, np.float32),
    )


def cell(attack: str, level: str = "0.01", source: str = "") -> Cell:
    return Cell("f", "b", attack, level, source)


def table(seed: int) -> dict[Cell, Predictions]:
    """Return answers to random images under every attack at every ε."""
    rng = np.random.default_rng(seed)
    return {cell(a, level): answers(rng.random(N) < rng.random()) for level in LEVELS for a in ATTACKS}


def scored(cells: dict[Cell, Predictions], basis: Basis = PLAIN, metric: str = "") -> list[Score]:
    found = attack_scores(cells, CLASSES, basis, ATTACKS)
    return [score for score in found if score.subset == "all" and metric in ("", score.metric)]


@given(seed=st.integers(0, 10_000))
def test_the_worst_case_is_a_loop_over_images_and_attacks(seed: int) -> None:
    cells = table(seed)
    found = {score.level: score for score in scored(cells, metric="worst_case_error")}
    for level in LEVELS:
        fooled = 0
        for i in range(N):
            fooled += any(cells[cell(attack, level)].top5[i, 0] != 0 for attack in ATTACKS)
        score = found[level]
        assert (score.value, score.n, score.condition, score.flags) == (fooled / N, N, "", "")
        assert (score.low, score.high) == wilson_interval(fooled, N)


def test_the_worst_case_is_joined_on_the_index() -> None:
    cells = table(1)
    last = cell(ATTACKS[2], "0.1")
    order = np.random.default_rng(0).permutation(N)
    shuffled = {name: value[order] for name, value in vars(cells[last]).items() if value is not None}
    other = cells | {last: Predictions(**shuffled)}
    assert [s.value for s in scored(other, metric="worst_case_error")] == [
        s.value for s in scored(cells, metric="worst_case_error")
    ]
    moved = cells | {last: replace(cells[last], index=cells[last].index + 1)}
    with pytest.raises(DamagedData, match="of different images"):
        scored(moved)


def test_the_worst_case_wants_all_attacks_or_says_of_what_it_is() -> None:
    cells = table(2)
    del cells[cell(ATTACKS[1], "0.1")]
    assert [score.level for score in scored(cells, metric="worst_case_error")] == ["0.01"]
    found = scored(cells, Basis(allow_partial=True), "worst_case_error")
    assert [score.flags for score in found] == ["", "partial: 2 of 3 attacks"]


def test_transferred_images_are_scored_apart_and_in_no_worst_case() -> None:
    cells = table(3)
    everything = np.ones(N, np.bool_)
    other = {cell(attack, "0.01", "another"): answers(everything) for attack in ATTACKS}
    found = scored(cells | other)
    assert {s.value for s in found if s.metric == "error" and s.source} == {1.0}
    alone = [s.value for s in scored(cells, metric="worst_case_error")]
    assert [s.value for s in found if s.metric == "worst_case_error"] == alone


@pytest.mark.parametrize(("only_noise", "only_attack", "flagged"), [(12, 1, True), (5, 1, False), (1, 12, False)])
def test_an_attack_that_noise_outdoes_is_flagged(only_noise: int, only_attack: int, *, flagged: bool) -> None:
    assert (exact_mcnemar(only_noise, only_attack) < 0.05) == (max(only_noise, only_attack) == 12)
    by_noise, by_fgsm = np.zeros((2, N), np.bool_)
    by_noise[:only_noise] = by_noise[20:24] = True
    by_fgsm[N - only_attack :] = by_fgsm[20:24] = True
    cells = {cell("fgsm()"): answers(by_fgsm), cell("uniform_noise()"): answers(by_noise)}
    found = {(s.metric, s.condition): s for s in scored(cells)}
    assert (found["error", "fgsm()"].flags == "weaker than uniform noise (masked gradients?)") == flagged
    assert found["error", "uniform_noise()"].flags == ""
    gain = found["noise_only_error", "fgsm()"]
    assert (gain.value, gain.n) == (only_noise / N, N)
    assert (gain.low, gain.high) == wilson_interval(only_noise, N)
    assert ("noise_only_error", "uniform_noise()") not in found
    # What was made of another network may be weaker than noise, and mask nothing.
    shown = {at._replace(source="another"): predictions for at, predictions in cells.items()}
    assert {s.flags for s in scored(shown)} == {""}


def test_what_failed_a_check_flags_every_score_of_its_cell_and_the_worst_case() -> None:
    cells = {at: answers(np.zeros(N, np.bool_)) for at in table(0)}
    bad = cell("fgsm()", "0.1")
    checks = {at: {FLAT: 0, CHANGED: 0} for at in cells} | {bad: {FLAT: 3, CHANGED: N}}
    cells[cell(ATTACKS[1])] = answers(np.zeros(N, np.bool_), delta=0.011)
    found = list(attack_scores(cells, CLASSES, Basis(checks=checks), ATTACKS))
    assert {s.flags for s in found if (s.condition, s.level) == bad[2:4]} == {
        "some gradients zero or NaN; network changes as it answers"
    }
    assert {s.flags for s in found if (s.condition, s.level) == (ATTACKS[1], "0.01")} == {"changes above ε"}
    others = [s for s in found if s.condition and (s.condition, s.level) not in {bad[2:4], (ATTACKS[1], "0.01")}]
    assert {s.flags for s in others} == {""}
    worst = {s.level: s.flags for s in found if s.metric == "worst_case_error"}
    assert worst == {"0.01": "changes above ε", "0.1": "some gradients zero or NaN; network changes as it answers"}
    zero = {(s.condition, s.level): s.value for s in found if s.metric == "zero_gradient"}
    assert zero[bad[2], bad[3]] == 3 / N
    assert sum(zero.values()) == 3 / N


def test_what_was_never_checked_is_not_said_to_be_sound() -> None:
    assert not scored(table(0), metric="zero_gradient")
    assert {score.flags for score in scored({cell("fgsm()"): answers(np.zeros(N, np.bool_))})} == {""}


@pytest.mark.parametrize(("only_shown", "substitutes", "flagged"), [(9, 1, True), (9, 4, False), (12, 4, True)])
def test_an_attack_that_transferred_images_outdo_is_flagged(
    only_shown: int, substitutes: int, *, flagged: bool
) -> None:
    """One McNemar test a substitute: nine to one is p = 0.021 alone, and nothing among four."""
    by_shown, by_white = np.zeros((2, N), np.bool_)
    by_shown[:only_shown] = by_shown[20:24] = True
    by_white[N - 1] = by_white[20:24] = True
    cells = {cell("fgsm()"): answers(by_white), cell("fgsm()", "0.1"): answers(by_white)}
    cells |= {cell("fgsm()", source=f"s{k}"): answers(by_shown if k == 0 else by_white) for k in range(substitutes)}
    found = {(s.metric, s.level, s.source): s.flags for s in scored(cells)}
    told = "weaker than what was made of a substitute (masked gradients?)"
    assert (found["error", "0.01", ""] == told) == flagged
    assert {flags for (_, level, source), flags in found.items() if source or level == "0.1"} == {""}


def test_a_box_is_the_mean_over_its_substitutes_and_one_alone_has_an_interval() -> None:
    wrong = {"g1": 10, "g2": 13, "b1": 7, "unknown": 40}
    cells = {cell("fgsm()"): answers(np.arange(N) < 20)}
    cells |= {cell("fgsm()", source=source): answers(np.arange(N) < count) for source, count in wrong.items()}
    cells[cell("fgsm()", source="g2")] = answers(np.arange(N) < 13, delta=0.02)
    boxes = {"g1": "gray_box", "g2": "gray_box", "b1": "black_box"}
    found = [s for s in scored(cells, Basis(boxes=boxes)) if s.metric.endswith("_box_error")]
    gray, black = found
    assert (gray.metric, gray.value, gray.n) == ("gray_box_error", 11.5 / N, N)
    assert gray.flags == "mean over 2 substitutes; changes above ε"
    assert np.isnan([gray.low, gray.high]).all()
    assert (black.metric, black.value, black.flags) == ("black_box_error", 7 / N, "")
    assert (black.low, black.high) == wilson_interval(7, N)
    assert {(s.condition, s.level, s.source) for s in found} == {("fgsm()", "0.01", "")}
