"""Which image shows in each block of each output: the sweeps by which Co-Mixup lowers its objective.

Kim, Choo, Jeong, Song: Co-Mixup: Saliency Guided Joint Mixup with Supermodular Diversity, ICLR 2021, arXiv:2102.03065,
and its released code (snu-mllab/Co-Mixup 2a76816, match.py). P partitions of m inputs, of m outputs each, are labelled
at once. A labelling is (P, m, 16, 2): the two inputs of every block, which it shows in equal parts, mostly one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_msda.augmentations.comixup_solver import GRID, SLOTS, solve

BLOCKS = GRID * GRID
SWEEPS = 4
BLEND_BONUS = 5e-4
# Above any cost that can be wanted: a saliency is at most 1, a penalty about 2 * gamma.
FORBIDDEN = 1e4
MEMBERS = 3


class Offer(NamedTuple):
    """What the slots of the solver show.

    Attributes:
        left: one place in the shortlist a slot; the slot shows that input and the one at ``right`` in equal parts.
        right: the other place; the same one shows a single input.
        needed: a slot is on offer where the output shows at least so many inputs now.
        near: what neighbours on the solver's cycle pay, as a share of what others do.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    needed: tuple[int, ...]
    near: float


SINGLES = Offer(tuple(range(SLOTS)), tuple(range(SLOTS)), (0,) * SLOTS, 1.0)
# On the cycle the three main inputs of the output and their blends alternate (match.py, graphcut_multi).
BLENDS = Offer((0, 0, 1, 1, 2, 2, 3, 4, 5, 6), (0, 1, 1, 2, 2, 0, 3, 4, 5, 6), (0, 2, 0, 3, 0, 3, 0, 0, 0, 0), 0.25)


@dataclass(frozen=True)
class Problem:
    """What is minimised.

    Attributes:
        costs: (P, 16, m), what showing an input in a block costs: minus its saliency there, plus its prior.
        compatibility: (P, m, m), how much showing one input elsewhere speaks against showing another.
        smoothness: what two unlike neighbouring blocks of one output pay.
        diversity: the weight of the penalty on inputs that are shown elsewhere.
        threshold: the coverage elsewhere, in blocks, up to which an input is not penalised.
    """

    costs: Tensor
    compatibility: Tensor
    smoothness: float
    diversity: float
    threshold: float


def labelling(problem: Problem, start: Tensor) -> Tensor:
    """Return (P, m, 16, 2) int64, the inputs of every block after four sweeps over the outputs, one after another.

    Differs from the paper's code: an output is labelled exactly, over a shortlist of inputs (ten, or seven and three
    blends), and not by alpha-beta swap over all; and the four sweeps are always made, where the code stops once
    nothing changes.

    Args:
        problem: the objective.
        start: (P, m, 16) int64 in [0, m), the input each block shows at first.
    """
    inputs = problem.costs.shape[-1]
    pairs = start[..., None].repeat(1, 1, 1, 2)
    counts = coverage(pairs, inputs)
    surcharge = torch.zeros_like(counts)
    for sweep in range(SWEEPS):
        # A random start is no reason to blend: blends are on offer from the second sweep on.
        offer = BLENDS if sweep else SINGLES
        for output in range(inputs):
            elsewhere = counts.sum(1) - counts[:, output]
            extra = penalty(problem, elsewhere) + surcharge[:, output]
            unary = problem.costs + extra[:, None]
            pairs[:, output] = relabelled(unary, counts[:, output], problem.smoothness, offer)
            counts[:, output] = coverage(pairs[:, output], inputs)
        if sweep == SWEEPS - 2:
            surcharge = problem.diversity * twins_apart(counts)
    return pairs


def coverage(pairs: Tensor, inputs: int) -> Tensor:
    """Return (..., m) float32, how many blocks of ``pairs`` (..., 16, 2) each input covers; halves count."""
    shown = pairs.flatten(-2)
    counts = torch.zeros(*shown.shape[:-1], inputs, device=pairs.device)
    return counts.scatter_add_(-1, shown, torch.full_like(counts[..., :1], 0.5).expand(shown.shape))


def penalty(problem: Problem, elsewhere: Tensor) -> Tensor:
    """Return (P, m), what a block of each input costs for its coverage ``elsewhere`` (P, m), in the other outputs.

    The hard threshold of the paper's code: all of the coverage counts once it is above the threshold. Differs from the
    code: there the threshold is asked of the input whose coverage counts, not of the one that pays; with ``omega``
    0.001 the two choose alike.
    """
    weighed = (problem.compatibility * elsewhere[:, None]).sum(-1)
    return 2 * problem.diversity * weighed * (weighed > problem.threshold)


def relabelled(unary: Tensor, held: Tensor, smoothness: float, offer: Offer) -> Tensor:
    """Return (P, 16, 2) int64, the inputs of one output's blocks of least cost.

    Args:
        unary: (P, 16, m), what each input costs in each block.
        held: (P, m), how many blocks of the output each input covers now; its two or three main ones may be blended.
        smoothness: what two unlike neighbouring blocks pay.
        offer: what the slots show.
    """
    left, right, needed = _slots(offer, unary.device)
    missing = max(SLOTS - unary.shape[-1], 0)
    unary = functional.pad(unary, (0, missing), value=FORBIDDEN)
    listed = shortlist(unary, functional.pad(held, (0, missing)))
    offered = unary.gather(2, listed[:, None].expand(-1, BLOCKS, -1))
    support = (held > 0).sum(1, keepdim=True)
    bonus = torch.where(support >= needed, -BLEND_BONUS, FORBIDDEN) * (needed > 0)
    costs = (offered[..., left] + offered[..., right]) / 2 + bonus[:, None]
    grid = costs.permute(1, 2, 0).unflatten(0, (GRID, GRID))
    labels = solve(grid, smoothness, offer.near * smoothness).flatten(0, 1).T
    return torch.stack([listed.gather(1, left[labels]), listed.gather(1, right[labels])], -1)


def shortlist(unary: Tensor, held: Tensor) -> Tensor:
    """Return (P, 10) int64, the inputs an output may show: the three it shows most, then those nearest to winning.

    How near an input comes is what it costs more than the best other input in its four best blocks.
    """
    cheapest, second = unary.topk(2, dim=2, largest=False).values.split(1, 2)
    lag = unary - torch.where(unary == cheapest, second, cheapest)
    distance = lag.topk(GRID, dim=1, largest=False).values.sum(1)
    main = held * (held >= held.topk(MEMBERS).values[:, -1:])
    return (distance - 2 * BLOCKS * FORBIDDEN * main).argsort(1)[:, :SLOTS]


def twins_apart(counts: Tensor) -> Tensor:
    """Return (P, m, m), 1 where an output is to be charged for an input because another output shows the same set.

    Of two outputs with one set of two or more inputs the first is charged for the first input, the second for the
    second (match.py, resolve_label).
    """
    shown = counts > 0
    same = (shown[:, :, None] == shown[:, None]).all(-1) & (shown.sum(-1) > 1)[:, None]
    twins = same.triu(1)
    rank = shown.cumsum(-1) * shown
    charged = (twins.any(2)[..., None] & (rank == 1)) | (twins.any(1)[..., None] & (rank == 2))
    return charged.float()


@cache
def _slots(offer: Offer, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return (SLOTS,) int64 each: what ``offer`` says of the slots."""
    left, right, needed = torch.tensor([offer.left, offer.right, offer.needed]).to(device)
    return left, right, needed
