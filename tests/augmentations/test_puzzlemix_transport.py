from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations.puzzlemix_transport import transport
from robustbench_msda.streams import stream


def by_dense_costs(saliency: NDArray[np.float32], visible: NDArray[np.bool_], xi: float) -> NDArray[np.int64]:
    """Return (cells,), the plan of one image as the authors find it: all costs, where each lost claim grows by 1."""
    rows, columns = saliency.shape
    cells = rows * columns
    places = np.array([(row, column) for row in range(rows) for column in range(columns)])
    squared = ((places[:, None] - places[None]) ** 2).sum(2)
    cost = np.float32(xi / (max(rows, columns) - 1) ** 2) * squared.astype(np.float32)
    cost = cost - saliency.reshape(-1, 1) * visible.reshape(1, -1)
    plan = np.arange(cells)
    for _ in range(max(rows, columns)):
        claimed = np.zeros((cells, cells), np.float32)
        choice = cost.argmin(1)
        claimed[np.arange(cells), choice] = cost[np.arange(cells), choice]
        winner = claimed.argmin(0)
        plan = np.where(choice[winner] == np.arange(cells), winner, np.arange(cells))
        lost = winner[choice] != np.arange(cells)
        cost[np.arange(cells)[lost], choice[lost]] += 1
    return plan


def case(rows: int, columns: int, shown: float, *key: int, count: int = 4) -> tuple[Tensor, Tensor]:
    """Return heavy-tailed saliency (B, R, C), whose grids sum to 1, and what is visible."""
    rng = stream("test", "transport", rows, columns, *key)
    saliency = rng.lognormal(0, 1.2, (count, rows, columns))
    saliency /= saliency.sum((1, 2), keepdims=True)
    # Visible in patches, as real masks are.
    coarse = rng.random((count, -(-rows // 2), -(-columns // 2))) < shown
    visible = coarse.repeat(2, 1).repeat(2, 2)[:, :rows, :columns]
    return torch.tensor(saliency).float(), torch.tensor(visible)


@pytest.mark.parametrize("shown", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (4, 4), (8, 8), (16, 16), (4, 6), (7, 3)])
@pytest.mark.parametrize("xi", [0.05, 0.8])
def test_plans_are_those_of_dense_costs(rows: int, columns: int, shown: float, xi: float) -> None:
    saliency, visible = case(rows, columns, shown, 0)
    plans = transport(saliency, visible, xi)
    moved = 0
    for image in range(len(saliency)):
        expected = by_dense_costs(saliency[image].numpy(), visible[image].numpy(), xi)
        seen = visible[image].flatten().numpy()
        np.testing.assert_array_equal(plans[image].numpy()[seen], expected[seen])
        moved += int((expected != np.arange(rows * columns))[seen].sum())
    assert moved > 0 or rows * columns < 64


@given(
    rows=st.integers(2, 9), columns=st.integers(2, 9), shown=st.floats(0, 1), xi=st.floats(0, 2), key=st.integers(0, 99)
)
def test_no_source_serves_two_visible_targets(rows: int, columns: int, shown: float, xi: float, key: int) -> None:
    saliency, visible = case(rows, columns, shown, 1, key)
    plans = transport(saliency, visible, xi)
    assert plans.shape == (4, rows * columns)
    for plan, seen in zip(plans, visible.flatten(1), strict=True):
        assert 0 <= int(plan.min()) <= int(plan.max()) < rows * columns
        assert len(plan[seen].unique()) == int(seen.sum())
        assert torch.equal(plan[~seen], torch.arange(rows * columns)[~seen])


@given(rows=st.integers(2, 9), columns=st.integers(2, 9), shown=st.floats(0, 1), key=st.integers(0, 99))
def test_visible_saliency_never_falls(rows: int, columns: int, shown: float, key: int) -> None:
    saliency, visible = case(rows, columns, shown, 2, key)
    carried = saliency.flatten(1).gather(1, transport(saliency, visible, 0.8)).view_as(saliency)
    assert bool(((carried - saliency)[visible] >= 0).all())


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_dear_ways_and_equal_patches_stay(n: int) -> None:
    saliency, visible = case(n, n, 0.5, 3)
    identity = torch.arange(n * n).expand(4, -1)
    assert torch.equal(transport(saliency, visible, 1e6), identity)
    assert torch.equal(transport(torch.full_like(saliency, 1 / n**2), visible, 0.8), identity)
    assert torch.equal(transport(torch.zeros_like(saliency), visible, 0.8), identity)
    assert torch.equal(transport(saliency, torch.zeros_like(visible), 0.8), identity)
    assert torch.equal(transport(saliency, torch.ones_like(visible), 0.8), identity)


def test_the_salient_hidden_patch_comes_to_the_nearest_visible_place() -> None:
    saliency, visible = torch.full((1, 4, 4), 0.01), torch.zeros(1, 4, 4, dtype=torch.bool)
    saliency[0, 1, 3], visible[0, :, :2] = 0.85, True
    plan = transport(saliency, visible, 0.8).view(4, 4)
    assert int(plan[1, 1]) == 7
    assert int((plan.flatten() != torch.arange(16)).sum()) == 1
