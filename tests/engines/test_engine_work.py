from __future__ import annotations

import pytest

from robustbench_msda.engines.work import Outcome, WorkItem, check, describe, failures
from robustbench_msda.errors import DamagedData


def item(name: str, *needs: str) -> WorkItem:
    return WorkItem(name, print, needs)


def test_items_come_after_what_they_need() -> None:
    check([item("a"), item("b", "a"), item("c", "a", "b")])
    for wrong in ([item("b", "a"), item("a")], [item("a", "a")], [item("a", "z")]):
        with pytest.raises(ValueError, match="before it, got"):
            check(wrong)


def test_ids_are_unique() -> None:
    with pytest.raises(ValueError, match="expected unique ids, got 'a' twice"):
        check([item("a"), item("b"), item("a")])


def test_failures_are_described_in_one_line() -> None:
    assert describe(DamagedData("x.npz is\n damaged")) == "x.npz is damaged"
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(ZeroDivisionError()).strip() == "ZeroDivisionError:"


def test_a_progress_bar_says_how_many_failed_and_why() -> None:
    done = {"a": Outcome("a"), "b": Outcome("b", "the disk is full"), "c": Outcome("c", "not begun: it needs b")}
    assert failures(done) == "2 failed: not begun: it needs b"
    assert failures({"a": Outcome("a")}) == ""
