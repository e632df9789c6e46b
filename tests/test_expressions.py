from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda import attacks, augmentations
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.expressions import canonical, parse, short


@dataclass(frozen=True)
class Leaf:
    size: int = 3
    rate: float = 0.5
    mode: str = "plain"


@dataclass(frozen=True)
class Needy:
    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"expected count >= 0, got {self.count}")


@dataclass(frozen=True)
class Branch:
    share: float = 0.25
    of: object = field(default_factory=Leaf)


TABLE: dict[str, type] = {"leaf": Leaf, "needy": Needy, "branch": Branch}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.builds(Leaf, size=st.integers(), rate=FLOATS, mode=st.text()) | st.builds(Needy, count=st.integers(0))
VALUES = st.recursive(LEAVES, lambda inner: st.builds(Branch, share=FLOATS, of=inner), max_leaves=4)


@given(value=VALUES)
def test_canonical_text_is_read_back_as_the_same_value(value: object) -> None:
    text = canonical(value, TABLE)
    again = parse(text, TABLE, "thing")
    assert again == value
    assert canonical(again, TABLE) == text
    assert "\n" not in text


@given(value=VALUES)
def test_short_text_is_read_back_as_the_same_value(value: object) -> None:
    assert parse(short(value, TABLE), TABLE, "thing") == value


@given(text=st.text() | st.text(alphabet="leafbrnchdy(),=.0123456789-+*'\"[]{}: \n"))
def test_any_text_is_a_value_or_one_line_of_complaint(text: str) -> None:
    try:
        answer = parse(text, TABLE, "thing")
    except UserError as error:
        answer = error
    assert type(answer) in TABLE.values() or "\n" not in str(answer)


def test_every_field_is_written_in_order() -> None:
    assert canonical(Leaf(), TABLE) == "leaf(size=3, rate=0.5, mode='plain')"
    assert canonical(Branch(of=Needy(2)), TABLE) == "branch(share=0.25, of=needy(count=2))"


def test_short_writes_what_differs_and_what_is_nested() -> None:
    assert short(Leaf(), TABLE) == "leaf"
    assert short(Leaf(rate=0.1), TABLE) == "leaf(rate=0.1)"
    assert short(Needy(0), TABLE) == "needy(count=0)"
    assert short(Branch(), TABLE) == "branch(of=leaf)"
    assert short(Branch(0.5, Branch()), TABLE) == "branch(share=0.5, of=branch(of=leaf))"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("leaf", Leaf()),
        (" leaf() ", Leaf()),
        ("leaf(4)", Leaf(4)),
        ("leaf(4, mode='x')", Leaf(4, mode="x")),
        ("leaf(-4, -0.5)", Leaf(-4, -0.5)),
        ("leaf(rate=1e-3)", Leaf(rate=0.001)),
        ("branch(0.4, of=leaf)", Branch(0.4, Leaf())),
        ("branch(0.4,\n  needy(1))", Branch(0.4, Needy(1))),
    ],
)
def test_forms(text: str, value: object) -> None:
    assert parse(text, TABLE, "thing") == value


@given(whole=st.integers(-(2**53), 2**53))
def test_a_whole_number_in_a_float_field_is_the_float(whole: int) -> None:
    texts = {canonical(parse(f"leaf(rate={number})", TABLE, "thing"), TABLE) for number in (whole, f"{whole}.0")}
    assert len(texts) == 1


def test_a_float_in_a_whole_field_stays_one() -> None:
    value = parse("leaf(size=4.0)", TABLE, "thing")
    assert type(value.size) is float


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a name or a call such as leaf()"),
        ("leaf(", "expected a name or a call such as leaf()"),
        ("leaf)", "expected a name or a call such as leaf()"),
        ("leaf(size=)", "expected a name or a call such as leaf()"),
        ("leaf; needy", "expected a name or a call such as leaf()"),
        ("leaf\0", "expected a name or a call such as leaf()"),
        ("(" * 300 + ")" * 300, "expected a name or a call such as leaf()"),
        ("-" * 100_000 + "1", "expected a name or a call such as leaf()"),
        ("-" * 700 + "1", "expected a name or a call such as leaf()"),
        ("3", "found the constant 3"),
        ("'leaf'", "found the constant 'leaf'"),
        ("1 + 1", "found '1 + 1'"),
        ("leaf.size", "found 'leaf.size'"),
        ("leaf()()", "found 'leaf()()'"),
        ("leaf(size=[1])", "found '[1]'"),
        ("leaf(size=None)", "found 'None'"),
        ("leaf(size=True)", "found 'True'"),
        ("leaf(size=-True)", "found '-True'"),
        ("leaf(size=1j)", "found '1j'"),
        ("leaf(mode=b'x')", "found \"b'x'\""),
        ("leaf(mode=f'x')", "found \"f'x'\""),
        ("leaf(rate=1e999)", "expected names, calls, finite numbers and strings"),
        ("leaf(rate=-1e999)", "expected names, calls, finite numbers and strings"),
        ("leaf(*[1])", "found '*[1]'"),
        ("leaf(**{'size': 1})", "** is not allowed"),
        ("leaf(size=1, size=2)", "size is given twice"),
        ("leaf(1, size=2)", "leaf: multiple values for argument 'size'"),
        ("leaf(1, 0.5, 'x', 4)", "leaf: too many positional arguments"),
        ("leaf(rate='x')", "leaf: expected a number for rate, got 'x'"),
        ("leaf(rate=needy(1))", "leaf: expected a number for rate, got Needy(count=1)"),
        (f"leaf(rate={10**400})", "leaf: int too large"),
        ("needy", "needy: missing a required argument: 'count'"),
        ("needy(-1)", "needy: expected count >= 0, got -1"),
    ],
)
def test_malformed_text_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, TABLE, "thing")
    assert complaint in str(caught.value)
    assert "the thing " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("laef", "unknown thing 'laef'. Did you mean leaf?"),
        ("branch(of=neady(1))", "unknown thing 'neady'. Did you mean needy?"),
        ("leaf(siez=3)", "'siez'. Did you mean size? Choose from: size, rate, mode"),
        ("leaf(__class__=3)", "unknown argument of leaf"),
    ],
)
def test_an_unknown_name_is_met_with_a_suggestion(text: str, suggestion: str) -> None:
    with pytest.raises(UnknownName) as caught:
        parse(text, TABLE, "thing")
    assert suggestion in str(caught.value)


def test_nothing_is_evaluated(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for text in (f"leaf(mode=open({str(trace)!r}, 'w').name)", f"__import__('pathlib').Path({str(trace)!r}).touch()"):
        with pytest.raises(UserError):
            parse(text, TABLE, "thing")
    assert not trace.exists()


@pytest.mark.parametrize("name", [name for name in augmentations.AUGMENTATIONS if name != "fast_autoaugment"])
def test_every_augmentation_round_trips(name: str) -> None:
    text = augmentations.canonical(name)
    assert text.startswith(f"{name}(")
    assert augmentations.canonical(text) == text
    assert augmentations.canonical(augmentations.short(text)) == text


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_attack_round_trips(name: str) -> None:
    text = attacks.canonical(name)
    assert text.startswith(f"{name}(")
    assert attacks.canonical(text) == text


def test_a_method_that_wraps_another_says_which() -> None:
    text = "dropmix(0.4, of=cutmix)"
    assert augmentations.canonical(text) == "dropmix(rate=0.4, of=cutmix(alpha=1.0))"
    assert augmentations.short(text) == "dropmix(rate=0.4, of=cutmix)"
    assert augmentations.short("dropmix") == "dropmix(of=cutmix)"


@pytest.mark.parametrize("text", ["mixup(alpha=-1)", "cutmix(0)", "cutout(1.5)", "dropmix(2)", "dropmix(of='cutmix')"])
def test_numbers_that_make_no_sense_are_the_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match="expected"):
        augmentations.parse(text)
