from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import contents, fresh_checkpoint, saved
from numpy.typing import NDArray

from robustbench_msda import evaluation, verbs
from robustbench_msda.benchmarks import Setting
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import UnknownName
from robustbench_msda.evaluation import Place
from robustbench_msda.evaluation.pieces import costs, only, pieces
from robustbench_msda.records import Cell

LIMITS = {"clean": 0, "digits_c_made": 40, "fgsm": 50, "pgd": 10}
DIGITS = Setting(open_dataset("digits", Path()), Path(), torch.device("cpu"))


@cache
def whole_plan() -> evaluation.Plan:
    return evaluation.plan(fresh_checkpoint(), LIMITS, Place(results=Path("nowhere")))


@cache
def known_costs() -> dict[Cell, int]:
    return dict(costs(LIMITS, DIGITS))


@given(most=st.integers(0, 10_000))
def test_pieces_hold_every_cell_once_in_order_and_as_many_as_may_be(most: int) -> None:
    found = pieces(LIMITS, DIGITS, most)
    plan = whole_plan()
    assert [cell for piece in found for cell in piece] == [task.cell._replace(fingerprint="") for task in plan.tasks]
    cost = known_costs()
    assert sum(cost.values()) == plan.passes
    sums = [sum(cost[cell] for cell in piece) for piece in found]
    assert all(total <= most or len(piece) == 1 for total, piece in zip(sums, found, strict=True))
    # None could have taken the first cell of the next.
    assert all(total + cost[after[0]] > most for total, after in zip(sums, found[1:], strict=False))


@dataclass(frozen=True)
class Sized(Dataset):
    """A data set of which only the number of test images is known."""

    count: int = 0

    def labels(self, split: str) -> NDArray[np.int64]:
        return np.zeros(self.count, np.int64)


@pytest.mark.parametrize(
    ("name", "side", "count", "limits", "expected"),
    [
        ("cifar10", 32, 10_000, ["clean", "fgsm", "pgd"], 1),
        ("cifar10", 32, 10_000, ["clean", "cifar10_c_made"], 1),
        ("cifar10", 32, 10_000, ["clean", "fgsm", "pgd", "cifar10_c_made"], 2),
        ("imagenet", 224, 50_000, ["imagenet_c_made"], 4),
    ],
)
def test_small_evaluations_stay_whole_and_large_ones_spread(
    name: str, side: int, count: int, limits: list[str], expected: int
) -> None:
    dataset = replace(DIGITS.dataset, name=name, side=side)
    sized = Sized(**{**vars(dataset), "count": count})
    assert len(pieces(dict.fromkeys(limits, 0), replace(DIGITS, dataset=sized))) == expected


def test_a_benchmark_that_cannot_run_here_has_no_cells_and_one_that_is_none_is_refused() -> None:
    assert pieces({"digits_c": 0}, DIGITS) == []
    assert pieces({"digits_c": 0, "clean": 0}, DIGITS) == pieces({"clean": 0}, DIGITS)
    with pytest.raises(UnknownName, match="unknown benchmark of digits 'cifar10_c'"):
        pieces({"cifar10_c": 0}, DIGITS)


def test_a_piece_of_a_plan_is_its_cells_of_any_checkpoint() -> None:
    plan = evaluation.plan(fresh_checkpoint(), {"clean": 0, "fgsm": 10}, Place(results=Path("nowhere")))
    first, second = plan.tasks[1].cell._replace(fingerprint="another"), plan.tasks[3].cell
    assert only(plan, [second, first]).tasks == (plan.tasks[1], plan.tasks[3])
    assert only(plan, []).tasks == ()


def test_pieces_together_are_the_evaluation(tmp_path: Path) -> None:
    limits = {"clean": 0, "fgsm": 20}
    folder = saved(tmp_path / "run")
    whole, parts = (Place(results=tmp_path / name) for name in ("whole", "parts"))
    verbs.evaluate(folder, limits, place=whole)
    found = pieces(limits, DIGITS, 200)
    assert len(found) > 2
    for count, piece in enumerate(reversed(found), 1):
        planned = verbs.evaluate(folder, limits, place=parts, cells=piece)
        assert len(planned.cells.tasks) == len(piece)
        assert len(contents(parts.results)) == sum(map(len, found[-count:]))
    assert contents(parts.results) == contents(whole.results)
