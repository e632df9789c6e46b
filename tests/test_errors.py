from __future__ import annotations

import pytest

from robustbench_msda.errors import DamagedData, MissingData, UnknownName, UserError, pick, unknown

TABLE = {"gaussian_noise": 1, "shot_noise": 2, "fog": 3}


def test_pick_finds_a_name_and_reads_hyphens_as_underscores() -> None:
    assert pick(TABLE, "fog", "corruption") == 3
    assert pick(TABLE, "shot-noise", "corruption") == 2


def test_a_name_with_a_hyphen_of_its_own_wins() -> None:
    assert pick({"a-b": 1, "a_b": 2}, "a-b", "thing") == 1


def test_an_unknown_name_is_named_with_the_nearest_and_all_others() -> None:
    with pytest.raises(UnknownName) as caught:
        pick(TABLE, "gausian-noise", "corruption")
    text = str(caught.value)
    assert text.startswith("unknown corruption 'gausian-noise'. Did you mean gaussian_noise or shot_noise?")
    assert text.endswith("Choose from: gaussian_noise, shot_noise, fog")
    assert "\n" not in text


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    text = str(unknown("xyzzy", TABLE, "corruption"))
    assert "Did you mean" not in text
    assert "Choose from: gaussian_noise, shot_noise, fog" in text


def test_a_name_with_a_line_break_stays_on_one_line() -> None:
    assert "\n" not in str(unknown("fog\nfog", TABLE, "corruption"))


@pytest.mark.parametrize("kind", [UnknownName, MissingData, DamagedData])
def test_every_kind_is_a_users(kind: type[Exception]) -> None:
    assert issubclass(kind, UserError)
    assert not issubclass(kind, ValueError | OSError | LookupError)
