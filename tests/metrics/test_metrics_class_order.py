"""Another order of the classes: an oracle that tries all, and images that judge an order they did not find."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.metrics.class_order import best_order, chance_accuracy, right_in_best_order

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


@given(pairs)
def test_no_order_makes_more_images_right(images: list[tuple[int, int]]) -> None:
    labels, answers = np.array(images).T
    order = best_order(labels, answers, CLASSES)
    assert sorted(order) == list(range(CLASSES))
    most = max(int((np.array(each)[answers] == labels).sum()) for each in permutations(range(CLASSES)))
    assert int((order[answers] == labels).sum()) == most


@given(pairs)
def test_an_order_that_gains_nothing_is_not_taken(images: list[tuple[int, int]]) -> None:
    labels, answers = np.array(images).T
    order = best_order(labels, answers, CLASSES)
    if (order[answers] == labels).sum() == (answers == labels).sum():
        assert order.tolist() == list(range(CLASSES))


def test_a_class_that_is_never_answered_keeps_its_number() -> None:
    labels = np.array([0, 0, 1, 1, 2, 3])
    assert best_order(labels, np.array([1, 1, 0, 0, 2, 2]), 5).tolist() == [1, 0, 2, 3, 4]


@pytest.mark.parametrize("by", ["class", "turn"])
@pytest.mark.parametrize("seed", range(5))
def test_a_known_order_is_found_by_other_images(by: str, seed: int) -> None:
    """Sorted by class, or class after class in turn: every fold must have images of every class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(200) % 10 if by == "turn" else np.arange(200) // 20
    order = rng.permutation(10)
    assert right_in_best_order(labels, order[labels], 10).all()
    wrong = rng.random(200) < 0.2
    answers = np.where(wrong, (order[labels] + 1) % 10, order[labels])
    np.testing.assert_array_equal(right_in_best_order(labels, answers, 10), ~wrong)


def test_answers_that_know_nothing_gain_nothing_from_the_best_order() -> None:
    rng = np.random.default_rng(0)
    judged, flattered = [], []
    for _ in range(40):
        labels, answers = rng.integers(0, 20, (2, 100))
        judged.append(right_in_best_order(labels, answers, 20).mean())
        flattered.append((best_order(labels, answers, 20)[answers] == labels).mean())
    assert np.mean(judged) == pytest.approx(1 / 20, abs=0.01)
    assert np.mean(flattered) > 0.1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6))
def test_chance_is_the_mean_over_all_deals(images: list[tuple[int, int]]) -> None:
    labels, answers = np.array(images).T
    deals = [(np.array(each) == labels).mean() for each in permutations(answers.tolist())]
    assert chance_accuracy(labels, answers, 3) == pytest.approx(float(np.mean(deals)))
