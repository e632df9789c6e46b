"""The transport of PuzzleMix: salient patches a mask hides are carried to where it shows their image."""

from __future__ import annotations

import torch
from torch import Tensor


def transport(saliency: Tensor, visible: Tensor, xi: float) -> Tensor:
    """Return (B, R * C) int64, for every patch of the grid which patch of the image is carried there.

    Sources claim visible targets, nearest first, as long as the way costs less than their saliency; a target keeps the
    claim of least cost ``xi * distance² − saliency``, and whoever lost claims the next one, for as many rounds as the
    longer side of the grid has patches (PuzzleMix, §3.3 and Algorithm 1). This is the plan of the released code
    (snu-mllab/PuzzleMix e2dbf3a), whose dense costs let no other claim win. No source serves two visible targets;
    targets that are hidden, or that nobody claimed, keep their own patch.

    Args:
        saliency: (B, R, C), each grid sums to 1.
        visible: (B, R, C) bool, where the mask shows the image.
        xi: the price of a way as long as the longer side of the grid; prices grow with its square.
    """
    rows, columns = visible.shape[1:]
    shown, worth = visible.flatten(1), saliency.flatten()
    order = claim_order(rows, columns, visible.device)
    price = xi / max(max(rows, columns) - 1, 1) ** 2
    own = torch.arange(len(worth), device=worth.device)
    nobody = len(worth)
    # The first claim of a source in sight is its own place.
    asked = torch.where(shown, own.view_as(shown) % shown.shape[1], -1).flatten().int()
    holder = torch.where(shown.flatten(), own, nobody)
    least = torch.where(shown.flatten(), -worth, 0)
    source = own[~shown.flatten() & (worth > price)]
    for _ in range(max(rows, columns)):
        source, target, cost = claims(order, shown, worth, price, asked, source)
        if not len(source):
            break
        source = settle(holder, least, source, target, cost)
    return torch.where(holder == nobody, own, holder).view_as(shown) % shown.shape[1]


def claim_order(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return (cells, cells) int32, by which a source ranks targets: squared distance * cells + the target's number."""
    cell = torch.arange(rows * columns, device=device, dtype=torch.int32)
    row, column = cell // columns, cell % columns
    squared = (row[:, None] - row).square() + (column[:, None] - column).square()
    return squared * len(cell) + cell


def claims(
    order: Tensor, shown: Tensor, worth: Tensor, price: float, asked: Tensor, source: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sources that have another claim worth its way, the targets they claim and what that costs.

    ``asked`` holds the last claim of every source, by its rank, and is brought up to date.
    """
    cells = len(order)
    source = source[worth[source] > price]
    image, cell = source // cells, source % cells
    ranks = order[cell]
    nowhere = torch.iinfo(torch.int32).max
    ranks.masked_fill_(~shown[image] | (ranks <= asked[source, None]), nowhere)
    rank = ranks.amin(1) if len(source) else asked[source]
    cost = price * (rank // cells) - worth[source]
    kept = (cost < 0) & (rank < nowhere)
    source, rank = source[kept], rank[kept]
    asked[source] = rank
    return source, source // cells * cells + rank % cells, cost[kept]


def settle(holder: Tensor, least: Tensor, source: Tensor, target: Tensor, cost: Tensor) -> Tensor:
    """Return the sources that lost a claim in this round, and bring ``holder`` and ``least`` of the targets up to date.

    At equal costs the source with the lower number wins, as in the released code.
    """
    nobody = len(holder)
    before, least_before = holder[target], least[target]
    least.scatter_reduce_(0, target, cost, "amin")
    holder[target[least[target] < least_before]] = nobody
    holder.scatter_reduce_(0, target, torch.where(cost == least[target], source, nobody), "amin")
    won = holder[target] == source
    ousted = before[won & (before < nobody)]
    return torch.cat([source[~won], ousted])
