from __future__ import annotations

import dataclasses
from fractions import Fraction
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.records import (
    COLUMNS,
    PART_SIZE,
    Cell,
    Predictions,
    Score,
    World,
    digest,
    encode,
    level_value,
    limited,
    parts,
)


@given(n=st.integers(1, 3000), limit=st.integers(1, 4000))
def test_a_limit_takes_the_floors(n: int, limit: int) -> None:
    expected = [Fraction(i * n, limit).__floor__() for i in range(limit)] if limit < n else list(range(n))
    assert limited(n, limit).tolist() == expected


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=12), limit=st.integers(1, 500))
def test_a_limit_keeps_the_share_of_classes_that_lie_together(sizes: list[int], limit: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    limit = min(limit, len(labels))
    taken = np.bincount(labels[limited(len(labels), limit)], minlength=len(sizes))
    assert taken.sum() == limit
    assert (np.abs(taken - np.array(sizes) * limit / len(labels)) <= 1).all()


def test_no_limit_takes_all_and_the_products_do_not_overflow() -> None:
    assert limited(5, 0).tolist() == [0, 1, 2, 3, 4]
    assert limited(3_000_000_000, 3).tolist() == [0, 1_000_000_000, 2_000_000_000]


@pytest.mark.parametrize(("n", "count"), [(0, 1), (1, 1), (PART_SIZE, 1), (PART_SIZE + 1, 2), (50_000, 5), (50_001, 6)])
def test_parts_hold_ten_thousand_at_most(n: int, count: int) -> None:
    assert list(parts(n)) == list(range(count))


def test_levels_sort_by_their_value() -> None:
    levels = ["8/255", "0.03", "4/255", "5", "10", "", "1", "16/255", "1/255"]
    expected = ["", "1/255", "4/255", "0.03", "8/255", "16/255", "1", "5", "10"]
    assert sorted(levels, key=level_value) == expected
    assert level_value("8/255") == 8 / 255


@given(text=st.text())
def test_encoded_text_is_a_safe_file_name_and_comes_back(text: str) -> None:
    encoded = encode(text)
    assert all(letter.isascii() and (letter.isalnum() or letter in "._=-%") for letter in encoded)
    assert unquote(encoded) == text


PIECES = st.text(max_size=20)


@given(condition=PIECES, level=PIECES, source=PIECES, part=st.integers(0, 99))
def test_the_name_of_a_cell_says_which_it_is(condition: str, level: str, source: str, part: int) -> None:
    name = Cell("f", "b", condition, level, source, part).filename
    pieces = [unquote(piece) for piece in name.split("~")]
    assert pieces == [condition, level, source, str(part)]
    assert "/" not in name


def test_names_of_cells() -> None:
    cell = Cell("0123456789ab", "adversarial", "pgd(steps=40, rel_stepsize=0.0333)", "8/255", "", 2)
    assert cell.filename == "pgd%28steps=40%2C%20rel_stepsize=0.0333%29~8%2F255~~2"
    assert Cell("0123456789ab", "clean").filename == "~~~0"


def test_a_world_is_known_by_everything_in_it() -> None:
    world = World("data", 1)
    others = [World("other", 1), World("data", 2), World("data", 1, limit=9), World("data", 1, precision="bfloat16")]
    assert len({world.id, *(other.id for other in others)}) == 5
    assert World("data", 1).id == world.id
    # Folders of predictions are named by it: it must never change for the same world.
    assert World("data", 1).id == "fe174d0a"


def test_the_digest_ignores_the_order_of_keys_only() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1, "b": [1, 2]}) != digest({"a": 1, "b": [2, 1]})
    assert digest({"a": 1}) != digest({"a": 1.5})


def made(n: int, first: int = 0, *, logits: bool = False) -> Predictions:
    """Return predictions of ``n`` images of which every second is answered right."""
    top5 = np.tile(np.arange(5, dtype=np.int16), (n, 1))
    return Predictions(
        index=np.arange(first, first + n, dtype=np.int32),
        frame=np.zeros(n, np.int16),
        label=(np.arange(n) % 2).astype(np.int16),
        top5=top5,
        top5_logit=-top5.astype(np.float32),
        label_logit=-(np.arange(n) % 2).astype(np.float32),
        logsumexp=np.full(n, 0.5, np.float32),
        sum_p2=np.full(n, 0.4, np.float32),
        logits=-top5.astype(np.float32) if logits else None,
    )


def test_pieces_are_put_together_in_their_order() -> None:
    whole = Predictions.concatenate([made(3, logits=True), made(1, 3, logits=True), made(2, 4, logits=True)])
    assert len(whole) == 6
    assert whole.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert whole.index.dtype == np.int32
    assert whole.logits is not None
    assert whole.logits.shape == (6, 5)
    assert whole.targets is None


def test_pieces_with_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="same optional columns"):
        Predictions.concatenate([made(2), made(2, logits=True)])


def test_what_follows_from_predictions() -> None:
    predictions = made(4)
    assert predictions.correct.tolist() == [True, False, True, False]
    np.testing.assert_allclose(predictions.confidence, np.exp(-0.5))
    np.testing.assert_allclose(predictions.label_probability, np.exp([-0.5, -1.5, -0.5, -1.5]))


def test_a_probability_is_at_most_one_whatever_was_rounded() -> None:
    rounded = dataclasses.replace(made(2), logsumexp=np.full(2, -1e-7, np.float32))
    assert rounded.confidence.max() == 1.0
    assert rounded.label_probability.max() == 1.0


def test_without_a_label_nothing_is_correct_and_its_probability_is_unknown() -> None:
    unlabelled = dataclasses.replace(
        made(2), label=np.full(2, -1, np.int16), label_logit=np.full(2, np.nan, np.float32)
    )
    assert not unlabelled.correct.any()
    assert np.isnan(unlabelled.label_probability).all()


def test_a_score_has_the_columns_of_the_table() -> None:
    of_the_recipe = {"group", "seed", "dataset", "model", "augmentation"}
    assert {field.name for field in dataclasses.fields(Score)} | of_the_recipe == set(COLUMNS)
    assert len(COLUMNS) == 18
