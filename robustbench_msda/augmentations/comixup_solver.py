"""The exact labelling of one Co-Mixup output: dynamic programming over the rows of its 4x4 blocks.

A block takes one of ``SLOTS`` labels, the first six of which lie on a cycle. Two neighbouring blocks pay nothing for
one label, ``near`` for labels that are neighbours on the cycle, and ``weight`` otherwise.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

GRID = 4
CYCLE = 6
SLOTS = 10


@cache
def cycle(device: torch.device) -> Tensor:
    """Return (SLOTS, SLOTS) float32, 1 for two labels that are neighbours on the cycle, else 0."""
    table = torch.zeros(SLOTS, SLOTS)
    for slot in range(CYCLE):
        beside = (slot + 1) % CYCLE
        table[slot, beside] = table[beside, slot] = 1
    return table.to(device)


def solve(unary: Tensor, weight: float, near: float) -> Tensor:
    """Return (4, 4, P) int64, for each of P grids the labels of least total cost; exact.

    The state is the labelling of a row. What a row pays to the next is a sum over its columns, so the least cost over
    all labellings of a row is taken column by column. The two halves of the grid are solved at once, from outside in.

    Args:
        unary: (4, 4, SLOTS, P) float32, the cost of a label in a block, rows first; finite.
        weight: what two unlike neighbours pay, >= 0.
        near: what they pay if their labels are neighbours on the cycle, in [0, weight].
    """
    grids = unary.shape[-1]
    unlike = 1 - torch.eye(SLOTS, device=unary.device)
    table = weight * unlike + (near - weight) * cycle(unary.device)
    ends = _row_costs(torch.cat([unary[0], unary[3]], -1), table)
    middles = _row_costs(torch.cat([unary[1], unary[2]], -1), table)
    upper, lower = _nearest_row(ends, weight, near).add_(middles).split(grids, -1)
    third = _best_row(_nearest_row(upper, weight, near).add_(lower))
    second = _best_row(_paid_to(third, table).add_(upper))
    inner = torch.cat([second, third], 1)
    first, fourth = _best_row(_paid_to(inner, table).add_(ends)).split(grids, 1)
    return torch.stack([first, second, third, fourth])


def _row_costs(row: Tensor, table: Tensor) -> Tensor:
    """Return (K, K, K, K, Q), the cost of every labelling of each ``row`` (4, K, Q)."""
    pays = table[:, :, None]
    left, right = row[0][:, None] + row[1] + pays, row[2][:, None] + row[3] + pays
    return left[:, :, None, None] + (pays[:, :, None] + right)


def _nearest_row(costs: Tensor, weight: float, near: float) -> Tensor:
    """Return (K, K, K, K, Q), for each row the least of ``costs`` of the row beside it plus what the two pay.

    The last two columns are brought to the front and back: reductions over leading axes are several times faster.
    """
    for _ in range(2):
        costs = _nearest_label(_nearest_label(costs, 0, weight, near), 1, weight, near)
        costs = costs.permute(2, 3, 0, 1, 4).contiguous()
    return costs


def _nearest_label(costs: Tensor, axis: int, weight: float, near: float) -> Tensor:
    """Return, for each label of one column, the least over the labels beside it of ``costs`` plus what the two pay."""
    best = torch.minimum(costs, costs.amin(axis, keepdim=True).add_(weight))
    around = [costs.narrow(axis, start, length) for start, length in ((CYCLE - 1, 1), (0, CYCLE), (0, 1))]
    circle = torch.cat(around, axis)
    beside = torch.minimum(circle.narrow(axis, 0, CYCLE), circle.narrow(axis, 2, CYCLE)).add_(near)
    on_cycle = best.narrow(axis, 0, CYCLE)
    torch.minimum(on_cycle, beside, out=on_cycle)
    return best


def _paid_to(labels: Tensor, table: Tensor) -> Tensor:
    """Return (K, K, K, K, Q), what every labelling of a row pays to the ``labels`` (4, Q) of the row beside it."""
    columns = table[:, labels]
    first, last = columns[:, None, 0] + columns[:, 1], columns[:, None, 2] + columns[:, 3]
    return first[:, :, None, None] + last


def _best_row(costs: Tensor) -> Tensor:
    """Return (4, Q) int64, the labels of the row of least cost, of ``costs`` (K, K, K, K, Q)."""
    state = costs.reshape(SLOTS**GRID, -1).argmin(0)
    return torch.stack([state // SLOTS ** (GRID - 1 - column) % SLOTS for column in range(GRID)])
