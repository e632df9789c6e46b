"""The masks of PuzzleMix: a labelling problem on a grid of cells, solved for the whole batch by its linear relaxation.

With labels {0, ½, 1} and a quadratic price on neighbours that differ, the problem is a minimum cut (Ishikawa: Exact
optimization for Markov random fields with convex priors, TPAMI 2003), so its relaxation is tight. It is solved by the
primal-dual algorithm of Chambolle and Pock (JMIV 2011) with the step sizes of Pock and Chambolle (ICCV 2011).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Any balance of the two steps converges; primal steps eight times the dual ones take the fewest iterations.
BALANCE = 8
DUAL_STEP = 0.5 / BALANCE
THRESHOLDS = (0.5, 0.1, 0.3, 0.7, 0.9)
# By the cells of a side: then energies, about 1, are 4e-7 over the minimum cut's on average (CIFAR-10).
ITERATIONS = {2: 30, 4: 50, 8: 80, 16: 120}


class Energy(NamedTuple):
    """What a mask z (B, n, n) in {0, ½, 1} costs, z being the share of the first image in each cell.

    ``Σ (1 − z) first + z second + prior(z)  +  Σ vertical (Δz)² + Σ horizontal (Δz)²``, the last two sums over
    neighbouring cells.

    Attributes:
        first: (B, n, n) the cost of losing a cell of the first image.
        second: (B, n, n) the cost of losing a cell of the second image.
        prior: the cost of z = 0, ½ and 1 in any cell.
        vertical: (B, n − 1, n) >= 0, the weight between each cell and the one below it.
        horizontal: (B, n, n − 1) >= 0, the weight between each cell and the one to its right.
    """

    first: Tensor
    second: Tensor
    prior: tuple[float, float, float]
    vertical: Tensor
    horizontal: Tensor


class Edges:
    """The duals of the edges between one slice of the grid and the next.

    ``levels`` belong to the differences of the two levels, ``crossed`` to (second before − first after) and (second
    after − first before). The price of an edge of weight w is ``w (¼|Δu1| + ¼|Δu2| + ½ max(0, u2 before − u1 after)
    + ½ max(0, u2 after − u1 before))``, which is w/4 for neighbouring labels and w for 0 next to 1.
    """

    def __init__(self, weight: Tensor, axis: int) -> None:
        self.axis, self.length = axis, weight.shape[axis - 1]
        self.levels = weight.new_zeros(2, *weight.shape)
        self.crossed = torch.zeros_like(self.levels)
        self.high, self.low, self.most = weight / 4, -weight / 4, weight / 2
        self.none = torch.zeros_like(weight)
        self.scratch = torch.empty_like(self.levels)

    def ascend(self, levels: Tensor) -> None:
        """Take one dual step at the primal point ``levels`` (2, n, n, B)."""
        before, after = self.sides(levels)
        torch.sub(after, before, out=self.scratch)
        self.levels.add_(self.scratch, alpha=DUAL_STEP)
        torch.clamp(self.levels, self.low, self.high, out=self.levels)
        torch.sub(before[1], after[0], out=self.scratch[0])
        torch.sub(after[1], before[0], out=self.scratch[1])
        self.crossed.add_(self.scratch, alpha=DUAL_STEP)
        torch.clamp(self.crossed, self.none, self.most, out=self.crossed)

    def pull(self, slope: Tensor) -> None:
        """Add to ``slope`` (2, n, n, B) what the duals ask of the primal point."""
        before, after = self.sides(slope)
        before.sub_(self.levels)
        after.add_(self.levels)
        before[1].add_(self.crossed[0])
        after[0].sub_(self.crossed[0])
        after[1].add_(self.crossed[1])
        before[0].sub_(self.crossed[1])

    def sides(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Return the views of ``field`` (any, n, n, B) before and after each edge."""
        return field.narrow(self.axis, 0, self.length), field.narrow(self.axis, 1, self.length)


def best_masks(energy: Energy, iterations: int) -> Tensor:
    """Return (B, n, n) float32 in {0, ½, 1}, the masks of least energy; approximately, and exactly after convergence.

    Levels u1 and u2 in [0, 1] say whether z is below 1 and below ½, and are rounded at the end.

    Args:
        energy: the costs of each image of the batch.
        iterations: primal-dual steps; see ``ITERATIONS``.
    """
    costs = level_costs(energy)
    rows = energy.vertical.shape[1] + 1
    steps = primal_steps(rows, costs)
    vertical = Edges(batch_last(energy.vertical) * rows**2, 1)
    horizontal = Edges(batch_last(energy.horizontal) * rows**2, 2)
    order = torch.zeros_like(costs[0])
    levels = torch.full_like(costs, 0.5)
    ahead, slope, excess = levels.clone(), torch.empty_like(costs), torch.empty_like(order)
    for _ in range(iterations):
        vertical.ascend(ahead)
        horizontal.ascend(ahead)
        order.add_(torch.sub(ahead[1], ahead[0], out=excess), alpha=DUAL_STEP).clamp_(min=0)
        slope.copy_(costs)
        vertical.pull(slope)
        horizontal.pull(slope)
        slope[0].sub_(order)
        slope[1].add_(order)
        torch.addcmul(levels, steps, slope, value=-1, out=slope).clamp_(0, 1)
        torch.sub(slope, levels, out=ahead).add_(slope)
        levels, slope = slope, levels
    return 1 - 0.5 * best_rounding(levels, costs, vertical, horizontal).movedim(-1, 0)


def best_rounding(levels: Tensor, costs: Tensor, vertical: Edges, horizontal: Edges) -> Tensor:
    """Return (n, n, B) in {0, 1, 2}, how many levels pass a threshold, at the best of ``THRESHOLDS`` of each image.

    After convergence all thresholds give a best labelling; before, what has not settled may be better off either way.
    """
    passed = levels > torch.tensor(THRESHOLDS, device=levels.device).view(-1, 1, 1, 1, 1)
    passed[:, 1] &= passed[:, 0]
    labels = passed.sum(1, dtype=levels.dtype)
    cost = (passed * costs).sum((1, 2, 3))
    for edges in (vertical, horizontal):
        before, after = edges.sides(labels)
        cost += ((after - before).square_() * edges.high).sum((1, 2))
    return labels.gather(0, cost.argmin(0).expand(1, *labels.shape[1:]))[0]


def level_costs(energy: Energy) -> Tensor:
    """Return (2, n, n, B), the cost of z = ½ rather than 1 and of z = 0 rather than ½; the whole grid costs about 1."""
    lean = batch_last(energy.first - energy.second) / 2
    nothing, half, all_of_it = energy.prior
    return torch.stack([lean + (half - all_of_it), lean + (nothing - half)]) * lean.shape[0] ** 2


def primal_steps(rows: int, like: Tensor) -> Tensor:
    """Return (n, n, 1) the primal step of each cell: the balance over the number of duals each of its levels meets."""
    neighbours = torch.full((rows, rows), 4.0, device=like.device)
    for border in (neighbours[0], neighbours[-1], neighbours[:, 0], neighbours[:, -1]):
        border -= 1
    return (BALANCE / (2 * neighbours + 1))[..., None]


def batch_last(grids: Tensor) -> Tensor:
    """Return grids (B, n, n) as contiguous (n, n, B): then neighbouring cells are neighbouring runs of memory."""
    return grids.movedim(0, -1).contiguous()
