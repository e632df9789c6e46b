from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

from robustbench_msda.augmentations.puzzlemix_solver import ITERATIONS, Energy, best_masks
from robustbench_msda.streams import stream

# The mean and the largest gap to the least energy that we accept, on energies of about 1; measured 6e-7 and 1e-4. The
# authors' graph cut (alpha-beta swap) has means of 4e-5 to 9e-4, and 1.5e-2 at most.
MEAN_GAP, LARGEST_GAP = 5e-6, 3e-4


def energy_of(energy: Energy, masks: Tensor) -> Tensor:
    """Return (B,) float64, what masks cost."""
    z = masks.double()
    own = (1 - z) * energy.first + z * energy.second + torch.tensor(energy.prior)[(2 * z).long()]
    down = energy.vertical * (z[:, 1:] - z[:, :-1]).square()
    right = energy.horizontal * (z[:, :, 1:] - z[:, :, :-1]).square()
    return own.sum((1, 2)) + down.sum((1, 2)) + right.sum((1, 2))


def random_energy(count: int, n: int, *key: int) -> Energy:
    """Return energies of the size of real ones: heavy-tailed saliency, β 1.2, γ 0.5, η 0.2."""
    rng = stream("test", "puzzlemix", *key)
    saliency = rng.lognormal(0, 1, (2, count, n, n))
    saliency /= saliency.sum((2, 3), keepdims=True)
    lam = rng.uniform(0.1, 0.9)
    prior = -0.2 / n**2 * np.log([(1 - lam) ** 2, 2 * lam * (1 - lam), lam**2])
    weights = [1.2 / 16 / n * rng.uniform(0.5, 1.5, (count, *shape)) for shape in ((n - 1, n), (n, n - 1))]
    first, second, vertical, horizontal = (torch.tensor(array).float() for array in (*saliency, *weights))
    return Energy(first, second, (float(prior[0]), float(prior[1]), float(prior[2])), vertical, horizontal)


def one(energy: Energy, image: int) -> Energy:
    rows = slice(image, image + 1)
    return Energy(energy.first[rows], energy.second[rows], energy.prior, energy.vertical[rows], energy.horizontal[rows])


def by_trying_all(energy: Energy) -> Tensor:
    """Return (B,) the least energy on a grid of 2x2."""
    grids = [torch.tensor(z).view(1, 2, 2) for z in itertools.product((0.0, 0.5, 1.0), repeat=4)]
    return torch.stack([energy_of(energy, z.expand(len(energy.first), 2, 2)) for z in grids]).amin(0)


def by_minimum_cut(energy: Energy) -> Tensor:
    """Return (B, n, n) the masks of least energy, each by a cut of the graph of Ishikawa, rounded to 1e-6."""
    return torch.stack([torch.tensor(cut(one(energy, image))) for image in range(len(energy.first))])


def cut(energy: Energy) -> NDArray[np.float64]:
    """Return (n, n), the mask of a batch of one. Node i stands for z_i < 1 and node n² + i for z_i = 0."""
    lean = ((energy.first - energy.second)[0] / 2).double().numpy()
    n = len(lean)
    node, source, sink = np.arange(n * n).reshape(n, n), 2 * n * n, 2 * n * n + 1
    arcs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []

    def add(tail: NDArray[np.int64], head: NDArray[np.int64], capacity: NDArray[np.float64]) -> None:
        arcs.append((np.ravel(tail), np.ravel(head), np.ravel(capacity)))

    full = np.ones_like(node)
    half_for_one, none_for_half = energy.prior[1] - energy.prior[2], energy.prior[0] - energy.prior[1]
    for level, cost in ((node, lean + half_for_one), (node + n * n, lean + none_for_half)):
        add(source * full, level, np.maximum(cost, 0))
        add(level, sink * full, np.maximum(-cost, 0))
    add(node, node + n * n, np.full((n, n), 50.0))  # z = 0 without z < 1 cannot be
    vertical, horizontal = energy.vertical[0].double().numpy(), energy.horizontal[0].double().numpy()
    for a, b, weight in ((node[:-1], node[1:], vertical), (node[:, :-1], node[:, 1:], horizontal)):
        for tail, head in ((a, b), (b, a)):
            add(tail, head, weight / 4)
            add(tail + n * n, head + n * n, weight / 4)
            add(tail, head + n * n, weight / 2)
    tails, heads, capacities = (np.concatenate(part) for part in zip(*arcs, strict=True))
    graph = csr_array((np.rint(capacities * 1e6).astype(np.int32), (tails, heads)), shape=(2 * n * n + 2,) * 2)
    graph.sum_duplicates()
    rest = graph - maximum_flow(graph, source, sink).flow
    rest.data[rest.data < 0] = 0
    rest.eliminate_zeros()
    below = np.ones(2 * n * n + 2)
    below[breadth_first_order(rest, source, return_predecessors=False)] = 0
    return 1 - 0.5 * (below[: n * n] + below[n * n : 2 * n * n]).reshape(n, n)


@pytest.mark.parametrize("key", range(4))
def test_a_minimum_cut_is_what_trying_all_finds(key: int) -> None:
    energy = random_energy(16, 2, key)
    torch.testing.assert_close(energy_of(energy, by_minimum_cut(energy)), by_trying_all(energy), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n", "count"), [(2, 48), (4, 48), (8, 32), (16, 24)])
def test_masks_have_the_least_energy(n: int, count: int) -> None:
    gaps = []
    for key in range(3):
        energy = random_energy(count, n, key)
        masks = best_masks(energy, ITERATIONS[n])
        assert set(masks.unique().tolist()) <= {0.0, 0.5, 1.0}
        gaps.append(energy_of(energy, masks) - energy_of(energy, by_minimum_cut(energy)))
    assert float(torch.cat(gaps).min()) > -1e-4  # the oracle is exact up to its rounding
    assert float(torch.cat(gaps).mean()) < MEAN_GAP
    assert float(torch.cat(gaps).max()) < LARGEST_GAP


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_cells_without_neighbours_decide_alone(n: int) -> None:
    energy = random_energy(8, n, 5)
    apart = energy._replace(vertical=energy.vertical * 0, horizontal=energy.horizontal * 0)
    labels = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None]
    costs = (1 - labels) * energy.first + labels * energy.second
    expected = (costs + torch.tensor(energy.prior)[:, None, None, None]).argmin(0) / 2
    agreement = (best_masks(apart, ITERATIONS[n]) == expected).float().mean()
    assert float(agreement) > 0.99


@pytest.mark.parametrize("n", [2, 4, 8])
def test_strong_edges_give_one_label(n: int) -> None:
    energy = random_energy(8, n, 6)
    strong = energy._replace(vertical=energy.vertical * 200, horizontal=energy.horizontal * 200)
    masks = best_masks(strong, 3000)
    assert bool((masks == masks[:, :1, :1]).all())
    totals = torch.stack([energy_of(strong, torch.full_like(masks, z)) for z in (0.0, 0.5, 1.0)])
    assert torch.equal(masks[:, 0, 0].double(), totals.argmin(0) / 2)


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_images_of_a_batch_are_solved_apart(n: int) -> None:
    energy = random_energy(3, n, 7)
    together = best_masks(energy, ITERATIONS[n])
    alone = torch.cat([best_masks(one(energy, image), ITERATIONS[n]) for image in range(3)])
    assert float((together == alone).float().mean()) > 0.995


def test_rows_and_columns_are_not_confused() -> None:
    """Weights only along rows: every row decides as one, and the rows decide apart."""
    n = 4
    energy = random_energy(16, n, 8)
    rows = energy._replace(vertical=energy.vertical * 0, horizontal=energy.horizontal * 100)
    masks = best_masks(rows, 1000)
    assert bool((masks == masks[:, :, :1]).all())
    assert not bool((masks == masks[:, :1]).all())


def test_costs_are_left_untouched() -> None:
    energy = random_energy(4, 8, 9)
    before = [energy.first.clone(), energy.second.clone(), energy.vertical.clone(), energy.horizontal.clone()]
    best_masks(energy, 10)
    for old, new in zip(before, (energy.first, energy.second, energy.vertical, energy.horizontal), strict=True):
        assert torch.equal(old, new)
