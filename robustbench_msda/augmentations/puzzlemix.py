"""PuzzleMix. Kim, Choo, Song: Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup, ICML 2020."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from robustbench_msda.augmentations.base import Augmentation, Criterion, draw_partner, require, require_fit
from robustbench_msda.augmentations.gradients import gradient_saliency, input_gradient
from robustbench_msda.augmentations.puzzlemix_solver import ITERATIONS, Energy, best_masks
from robustbench_msda.augmentations.puzzlemix_transport import transport
from robustbench_msda.records import Batch

POOLED_SIDE = 4


class Weights(NamedTuple):
    """What the energy of a mask weighs, named as in the paper: β of labels, γ of pixels, η of the prior."""

    beta: float
    gamma: float
    eta: float


def cell_saliency(saliency: Tensor, rows: int, columns: int) -> Tensor:
    """Return (B, rows, columns), the share of each cell in the saliency (B, H, W) of its image.

    Differs from the paper: an image without any saliency, where its code divides by zero, gets equal shares.
    """
    height, width = saliency.shape[-2:]
    pooled = avg_pool2d(saliency[:, None], (height // rows, width // columns))[:, 0]
    total = pooled.sum((1, 2), keepdim=True)
    return torch.where(total > 0, pooled / total, 1 / (rows * columns))


def binomial_prior(lam: float) -> tuple[float, float, float]:
    """Return the costs −log of the binomial probabilities of z = 0, ½ and 1, floored at 1e-8 (PuzzleMix, §3.2)."""
    nothing, half, all_of_it = -np.log(np.array([(1 - lam) ** 2, 2 * lam * (1 - lam), lam**2]) + 1e-8)
    return float(nothing), float(half), float(all_of_it)


def edge_contrasts(first: Tensor, second: Tensor, cells: int) -> Tensor:
    """Return (2, 2, B, cells − 1, cells), how much the pixels on both sides of each horizontal edge differ.

    The first two axes say which image shows above the edge and which below it; 0 is ``first``. Differences are taken
    between the pooled rows that meet at the edge and averaged over channels and along the edge.

    Args:
        first: (B, C, H', W') pooled images whose sides are multiples of ``cells``.
        second: the other images of the pairs, likewise.
        cells: the cells of a side of the grid.
    """
    rows, columns = first.shape[-2] // cells, first.shape[-1] // cells
    pair = torch.stack([first, second])
    above, below = pair[..., rows - 1 : -1 : rows, :], pair[..., rows::rows, :]
    difference = (above[:, None] - below[None]).abs_().mean(3)
    return difference.reshape(*difference.shape[:-1], cells, columns).mean(-1)


def pooled_side(side: int) -> int:
    """Return the largest divisor of a cell's ``side`` up to 4: the window in which pixels are averaged at its edges.

    The released code takes 4 or the side, whichever is less, which must divide the side.
    """
    return max(window for window in range(1, POOLED_SIDE + 1) if side % window == 0)


def mask_energy(images: Tensor, partner: Tensor, saliency: Tensor, lam: float, weights: Weights) -> Energy:
    """Return what masks of the pairs cost (PuzzleMix, eq. 4, in the form of its released code).

    Args:
        images: (B, C, H, W) in [0, 1].
        partner: (B,) the index of the second image.
        saliency: (B, n, n) the share of each cell in its image.
        lam: the expected share of the first image, in [0, 1].
        weights: of the terms.
    """
    cells = saliency.shape[-1]
    height, width = images.shape[-2:]
    windows = pooled_side(height // cells), pooled_side(width // cells)
    first = avg_pool2d(images, windows)
    second = first[partner]
    smoothness = weights.beta / (16 * cells)
    scale = smoothness * weights.gamma
    down = edge_contrasts(first, second, cells) * scale
    right = edge_contrasts(first.mT, second.mT, cells).mT * scale
    losing_first, losing_second = saliency.clone(), saliency[partner]
    add_half_terms(losing_first, losing_second, down, 1)
    add_half_terms(losing_first, losing_second, right, 2)
    floor = weights.eta / cells**2
    nothing, half, all_of_it = binomial_prior(lam)
    return Energy(
        losing_first,
        losing_second,
        (floor * nothing, floor * half, floor * all_of_it),
        smoothness + cross_terms(down),
        smoothness + cross_terms(right),
    )


def add_half_terms(losing_first: Tensor, losing_second: Tensor, contrast: Tensor, axis: int) -> None:
    """Add to the costs (B, n, n) of every cell half the ``contrast`` of its edges along ``axis``, in place."""
    count = contrast.shape[axis + 2]
    (first_first, first_second), (second_first, second_second) = contrast / 2
    losing_second.narrow(axis, 0, count).add_(first_second + first_first)
    losing_first.narrow(axis, 0, count).add_(second_first + second_second)
    losing_second.narrow(axis, 1, count).add_(second_first + first_first)
    losing_first.narrow(axis, 1, count).add_(first_second + second_second)


def cross_terms(contrast: Tensor) -> Tensor:
    """Return (B, ...) half of how much more an edge between the two images shows than the images' own edges."""
    return (contrast[0, 1] + contrast[1, 0] - contrast[0, 0] - contrast[1, 1]) / 2


def patch_grid(height: int, width: int, cells: int, patch: int) -> tuple[int, int]:
    """Return the rows and columns of the grid of transport: patches of ``patch`` pixels, or the cells of the mask.

    Cells are taken unless they are larger than the patch and a whole number of patches each way.
    """
    sides = height // cells, width // cells
    if all(side > patch and side % patch == 0 for side in sides):
        return height // patch, width // patch
    return cells, cells


def puzzle(images: Tensor, partner: Tensor, mask: Tensor, plans: tuple[Tensor, Tensor]) -> Tensor:
    """Return (B, C, H, W), the carried patches of both images, mixed by the mask.

    Args:
        images: (B, C, H, W), left untouched.
        partner: (B,) the index of the second image.
        mask: (B, R, S), in each patch the share of the first image.
        plans: of the first image of each pair and of the second, (B, R * S) int64: the patch that is carried there.
    """
    count, channels, height, width = images.shape
    rows, columns = mask.shape[1:]
    cells, sides = rows * columns, (height // rows, width // columns)
    tiles = images.permute(0, 2, 3, 1).reshape(count, rows, sides[0], columns, sides[1], channels)
    patches = tiles.transpose(2, 3).reshape(count * cells, -1)
    offset = torch.arange(count, device=images.device)
    first = patches[(plans[0] + offset[:, None] * cells).flatten()]
    second = patches[(plans[1] + partner[:, None] * cells).flatten()]
    blend = second.lerp_(first, mask.reshape(-1, 1)).view(count, rows, columns, *sides, channels)
    return blend.transpose(2, 3).reshape(count, height, width, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class PuzzleMix(Augmentation):
    """PuzzleMix: masks {0, ½, 1} that keep what is salient in both images, after patches moved to where it shows.

    One λ ~ Beta(α, α), one permutation and one grid of n x n cells a batch, one mask a pair; labels follow the pixels.
    The defaults are those of the paper and of its CIFAR recipe. Saliency costs one more forward and backward pass, by
    a network in evaluation mode, and its gradient is not trained on (the authors do so for CIFAR, not for Tiny
    ImageNet). Differs from the paper: n is drawn of 2, 4, 8 and 16 as far as they divide both sides.

    Attributes:
        alpha: α of Beta(α, α).
        beta: the weight of smooth labels.
        gamma: the weight of smooth pixels, at most 1.
        eta: the weight of the prior, that λ of a mask shows the first image.
        xi: the price of carrying a patch, squared in the way.
        patch: the side of a carried patch in pixels; cells of the mask no larger than it are carried whole.
            For images of 224 pixels the authors carry cells: give their side or more, such as 224.
    """

    alpha: float = 1.0
    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.2
    xi: float = 0.8
    patch: int = 4

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha > 0", self.alpha)
        require(0 <= self.beta < np.inf, "beta >= 0", self.beta)
        require(0 <= self.gamma <= 1, "gamma in [0, 1]", self.gamma)
        require(0 <= self.eta < np.inf, "eta >= 0", self.eta)
        require(0 <= self.xi < np.inf, "xi >= 0", self.xi)
        require(self.patch >= 1 and self.patch == int(self.patch), "patch, a whole number of pixels >= 1", self.patch)

    def refusal(self, model: nn.Module, side: tuple[int, int]) -> str | None:  # noqa: ARG002
        """Return why images of this height and width cannot be mixed, or ``None``."""
        if grids(*side):
            return None
        return (
            f"puzzlemix: expected images whose height and width are even, found side {side[0]}x{side[1]}: "
            "choose another size of crop or another augmentation"
        )

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the mixed batch.

        Raises:
            UserError: images have an odd side.
        """
        require_fit(self, model, batch.images)
        saliency = gradient_saliency(input_gradient(model, batch, criterion))
        mixed = self.mix(batch, saliency, rng)
        return criterion(model(mixed.images), mixed.targets)

    def mix(self, batch: Batch, saliency: Tensor, rng: np.random.Generator) -> Batch:
        """Return the mixed batch, given the ``saliency`` (B, H, W) >= 0 of its images."""
        lam = float(rng.beta(self.alpha, self.alpha))
        partner = draw_partner(batch, rng)
        cells = int(rng.choice(grids(*batch.images.shape[-2:])))
        weights = Weights(self.beta, self.gamma, self.eta)
        energy = mask_energy(batch.images, partner, cell_saliency(saliency, cells, cells), lam, weights)
        mask = best_masks(energy, ITERATIONS[cells])
        images = self.assemble(batch.images, partner, saliency, mask)
        share = mask.mean((1, 2))[:, None]
        return replace(batch, images=images, targets=share * batch.targets + (1 - share) * batch.targets[partner])

    def assemble(self, images: Tensor, partner: Tensor, saliency: Tensor, mask: Tensor) -> Tensor:
        """Return the mixed images: patches of both carried by ``saliency`` to where ``mask`` (B, n, n) shows them."""
        cells = mask.shape[-1]
        height, width = images.shape[-2:]
        rows, columns = patch_grid(height, width, cells, self.patch)
        shares = mask.repeat_interleave(rows // cells, 1).repeat_interleave(columns // cells, 2)
        worth = cell_saliency(saliency, rows, columns)
        plans = transport(torch.cat([worth, worth[partner]]), torch.cat([shares > 0, shares < 1]), self.xi)
        first, second = plans.chunk(2)
        return puzzle(images, partner, shares, (first, second))


def grids(height: int, width: int) -> list[int]:
    """Return which of 2, 4, 8 and 16 cells a side divide both sides of an image."""
    return [cells for cells in ITERATIONS if height % cells == 0 and width % cells == 0]
