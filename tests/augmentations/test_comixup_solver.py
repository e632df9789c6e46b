from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from robustbench_msda.augmentations.comixup_solver import GRID, SLOTS, cycle, solve

# What the code of the authors charges (match.py, graphcut_multi): members in slots 0, 2, 4, blends in 1, 3, 5.
BLENDS = {1: (0, 2), 3: (2, 4), 5: (4, 0)}
NEVER = 50.0


def pays(one: int, other: int) -> float:
    if one == other:
        return 0.0
    return 0.25 if one in BLENDS.get(other, ()) or other in BLENDS.get(one, ()) else 1.0


def energy(unary: Tensor, weight: float, labels: Tensor) -> Tensor:
    """Return (N,) the cost of ``labels`` (4, 4, N) under ``unary`` (4, 4, SLOTS), in float64."""
    table = torch.tensor([[pays(a, b) for b in range(SLOTS)] for a in range(SLOTS)], dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    total = unary.double()[rows[..., None], columns[..., None], labels].sum((0, 1))
    down = table[labels[:-1], labels[1:]].sum((0, 1))
    return total + weight * (down + table[labels[:, :-1], labels[:, 1:]].sum((0, 1)))


def problems(count: int, scale: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.rand(GRID, GRID, SLOTS, count, generator=generator)


def least(unary: Tensor, weight: float, free: list[tuple[int, int]], allowed: list[int], fixed: Tensor) -> float:
    """Return the least energy over all labellings of the ``free`` blocks; the others keep their ``fixed`` label."""
    trials = torch.tensor(list(product(allowed, repeat=len(free))))
    labels = fixed[..., None].repeat(1, 1, len(trials))
    for place, (row, column) in enumerate(free):
        labels[row, column] = trials[:, place]
    return float(energy(unary, weight, labels).min())


def iterated_modes(unary: Tensor, weight: float) -> Tensor:
    """Return (4, 4), a local optimum: every block takes its best label given its neighbours, until none changes."""
    labels = unary.argmin(2)
    for _ in range(20):
        before = labels.clone()
        for row, column in product(range(GRID), repeat=2):
            trials = labels[..., None].repeat(1, 1, SLOTS)
            trials[row, column] = torch.arange(SLOTS)
            labels[row, column] = energy(unary, weight, trials).argmin()
        if torch.equal(before, labels):
            break
    return labels


def test_neighbours_pay_what_the_authors_charge() -> None:
    table = 1 - torch.eye(SLOTS) - 0.75 * cycle(torch.device("cpu"))
    assert table.tolist() == [[pays(a, b) for b in range(SLOTS)] for a in range(SLOTS)]


@pytest.mark.parametrize("allowed", [[0, 2], [5, 0], [3, 4], [1, 9]], ids=str)
@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_two_labels_are_exact_over_the_whole_grid(allowed: list[int], weight: float) -> None:
    unary = problems(2, 1.0, seed=allowed[0])
    for slot in set(range(SLOTS)) - set(allowed):
        unary[:, :, slot] = NEVER
    labels = solve(unary, weight, weight / 4)
    sites = list(product(range(GRID), repeat=2))
    for grid in range(2):
        best = least(unary[..., grid], weight, sites, allowed, torch.zeros(GRID, GRID, dtype=torch.int64))
        assert float(energy(unary[..., grid], weight, labels[..., grid, None])) == pytest.approx(best, abs=1e-5)


REGIONS = {
    "top left": [(0, 0), (0, 1), (1, 0), (1, 1)],
    "centre": [(1, 1), (1, 2), (2, 1), (2, 2)],
    "bottom right": [(2, 2), (2, 3), (3, 2), (3, 3)],
    "row": [(2, 0), (2, 1), (2, 2), (2, 3)],
    "column": [(0, 2), (1, 2), (2, 2), (3, 2)],
}


@pytest.mark.parametrize("region", REGIONS)
def test_all_labels_are_exact_in_a_region(region: str) -> None:
    """The blocks around the region are pinned to random labels."""
    generator = torch.Generator().manual_seed(1)
    unary, free = problems(3, 0.6, seed=2), REGIONS[region]
    pinned = torch.randint(SLOTS, (GRID, GRID, 3), generator=generator)
    for row, column in product(range(GRID), repeat=2):
        if (row, column) not in free:
            unary[row, column] = NEVER
            unary[row, column].scatter_(0, pinned[row, column][None], 0.0)
    labels = solve(unary, 0.3, 0.075)
    for grid in range(3):
        best = least(unary[..., grid], 0.3, free, list(range(SLOTS)), pinned[..., grid])
        assert float(energy(unary[..., grid], 0.3, labels[..., grid, None])) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("weight", [0.02, 0.2])
def test_never_worse_than_a_local_optimum_and_sometimes_better(weight: float) -> None:
    unary = problems(6, 0.3, seed=3)
    labels = solve(unary, weight, weight / 4)
    gains = [
        float(energy(unary[..., grid], weight, iterated_modes(unary[..., grid], weight)[..., None]))
        - float(energy(unary[..., grid], weight, labels[..., grid, None]))
        for grid in range(6)
    ]
    assert min(gains) > -1e-5
    if weight == 0.2:
        assert max(gains) > 0.05


def test_without_a_weight_every_block_takes_its_cheapest_label() -> None:
    unary = problems(4, 1.0, seed=4)
    assert torch.equal(solve(unary, 0.0, 0.0), unary.argmin(2))


def test_a_great_weight_makes_the_labelling_constant() -> None:
    labels = solve(problems(4, 1.0, seed=5), 20.0, 20.0)
    assert torch.equal(labels, labels[:1, :1].expand_as(labels))


def test_grids_are_solved_apart() -> None:
    unary = problems(5, 0.3, seed=6)
    together = solve(unary, 0.1, 0.025)
    for grid in range(5):
        assert torch.equal(solve(unary[..., grid : grid + 1], 0.1, 0.025)[..., 0], together[..., grid])


def test_turning_the_grid_turns_the_labelling() -> None:
    unary = problems(3, 0.3, seed=7)
    labels = solve(unary, 0.1, 0.025)
    assert torch.equal(solve(unary.transpose(0, 1).contiguous(), 0.1, 0.025), labels.transpose(0, 1))
    assert torch.equal(solve(unary.flip(0), 0.1, 0.025), labels.flip(0))


def test_without_a_discount_slots_are_exchangeable() -> None:
    unary, order = problems(4, 0.3, seed=8), torch.randperm(SLOTS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(order[solve(unary[:, :, order], 0.1, 0.1)], solve(unary, 0.1, 0.1))
    assert not torch.equal(order[solve(unary[:, :, order], 0.1, 0.025)], solve(unary, 0.1, 0.025))
