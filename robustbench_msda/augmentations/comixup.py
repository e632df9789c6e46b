"""Co-Mixup. Kim et al.: Saliency Guided Joint Mixup with Supermodular Diversity, ICLR 2021, arXiv:2102.03065."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.augmentations.base import Augmentation, Criterion, require, require_fit
from robustbench_msda.augmentations.comixup_labelling import BLOCKS, Problem, labelling
from robustbench_msda.augmentations.comixup_solver import GRID
from robustbench_msda.augmentations.gradients import gradient_saliency, input_gradient
from robustbench_msda.records import Batch

WINDOW = 8
TINY = 1e-12


def block_saliency(saliency: Tensor) -> Tensor:
    """Return (B, 16) the share of each of the 4x4 blocks in ``saliency`` (B, H, W), >= 0; all 0 where there is none."""
    height, width = saliency.shape[-2:]
    blocks = saliency.reshape(-1, GRID, height // GRID, GRID, width // GRID).sum((2, 4)).flatten(1)
    total = blocks.sum(1, keepdim=True)
    return torch.where(total > 0, blocks / total, 0.0)


def salient_places(saliency: Tensor) -> Tensor:
    """Return (B, 2) float32, row and column of the 8x8 window (or the image, if smaller) that is the most salient."""
    height, width = saliency.shape[-2:]
    means = functional.avg_pool2d(saliency[:, None], (min(WINDOW, height), min(WINDOW, width)), stride=1)[:, 0]
    place = means.flatten(1).argmax(1)
    return torch.stack([place // means.shape[-1], place % means.shape[-1]], 1).float()


def compatibility(places: Tensor, omega: float) -> Tensor:
    """Return (P, m, m), ``(1 - omega)`` the identity plus ``omega`` the L1 distances of ``places`` (P, m, 2), sum m.

    The distances are those of the paper's code (main.py): between the most salient windows (ibid., eq. 4).
    """
    inputs = places.shape[1]
    distance = (places[:, :, None] - places[:, None]).abs().sum(-1)
    scaled = distance * (inputs / distance.sum((1, 2), keepdim=True).clamp_min(TINY))
    return (1 - omega) * torch.eye(inputs, device=places.device) + omega * scaled


def comixup(images: Tensor, targets: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mixed images and their targets: every block is the mean of its two images, and labels follow blocks.

    Args:
        images: (B, C, H, W), left untouched; H and W divide by 4.
        targets: (B, K), rows sum to 1.
        pairs: (B, 16, 2) int64 in [0, B), the two images of each block, row by row; one image twice shows it as it is.
    """
    n, channels, height, width = images.shape
    blocks = images.permute(0, 2, 3, 1).reshape(n, GRID, height // GRID, GRID, width // GRID, channels)
    blocks = blocks.transpose(2, 3)
    place = torch.arange(BLOCKS, device=images.device)
    row, column = place // GRID, place % GRID
    shown = (blocks[pairs[..., 0], row, column] + blocks[pairs[..., 1], row, column]) / 2
    rows = shown.unflatten(1, (GRID, GRID)).transpose(2, 3).reshape(n, height, width, channels)
    return rows.permute(0, 3, 1, 2), targets[pairs].mean((1, 2))


def carrying(value: Tensor, parameters: Iterable[Tensor], gradients: Iterable[Tensor | None]) -> Tensor:
    """Return a scalar that equals ``value`` and whose gradient for each parameter is the one given; None is zero."""
    products = [(p * g).sum() for p, g in zip(parameters, gradients, strict=True) if g is not None]
    if not products:
        return value.detach()
    slope = torch.stack(products).sum()
    return value.detach() + (slope - slope.detach())


def clean_pass(model: nn.Module, batch: Batch, criterion: Criterion) -> tuple[Tensor, Tensor]:
    """Return the loss of the batch as it is and its gradient for the images, (B, C, H, W) float32, by one backward.

    The network answers in the mode it is in. The loss can be differentiated once, for the parameters only: its graph
    is used up, and it carries their gradients along.
    """
    images = batch.images.detach().requires_grad_()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = criterion(model(images), batch.targets)
    of_images, *gradients = torch.autograd.grad(loss, [images, *parameters], allow_unused=True)
    return carrying(loss, parameters, gradients), of_images.float()


@dataclass(frozen=True)
class CoMixup(Augmentation):
    """Co-Mixup: each part of a batch is remixed at once so that outputs are salient and differ; 4x4 blocks.

    ``partition`` is how many images are mixed together, ``beta`` the weight of smooth masks, ``gamma`` of diversity,
    ``tau`` the share of an output up to which an input's coverage elsewhere is free, ``eta`` the weight of the prior
    Dirichlet(``alpha``), ``omega`` of the distance between salient places, ``clean_weight`` of the loss of the batch
    as it is, whose gradient is the saliency (defaults: the authors' code). At ``clean_weight`` 0 the saliency is taken
    in evaluation mode.
    """

    partition: int = 20
    beta: float = 0.32
    gamma: float = 1.0
    tau: float = 0.83
    eta: float = 0.05
    alpha: float = 2.0
    omega: float = 0.001
    clean_weight: float = 1.0

    def __post_init__(self) -> None:
        require(isinstance(self.partition, int) and self.partition >= 1, "a whole partition >= 1", self.partition)
        for name in ("beta", "gamma", "tau", "eta", "clean_weight"):
            require(getattr(self, name) >= 0, f"{name} >= 0", getattr(self, name))
        require(self.alpha > 0, "alpha > 0", self.alpha)
        require(0 <= self.omega <= 1, "omega in [0, 1]", self.omega)

    def refusal(self, model: nn.Module, side: tuple[int, int]) -> str | None:  # noqa: ARG002
        """Return why images of this height and width cannot be mixed, or ``None``."""
        if side[0] % GRID or side[1] % GRID:
            return (
                f"comixup: expected images whose height and width divide by {GRID}, found {side[0]}x{side[1]}: "
                "choose another size of crop or another augmentation"
            )
        return None

    def loss(self, model: nn.Module, batch: Batch, criterion: Criterion, rng: np.random.Generator) -> Tensor:
        """Return the loss of the mixed batch plus ``clean_weight`` times that of the batch as it is.

        Raises:
            UserError: a side of the images does not divide by 4.
        """
        require_fit(self, model, batch.images)
        if self.clean_weight == 0:
            mixed = self.mixed(batch, gradient_saliency(input_gradient(model, batch, criterion)), rng)
            return criterion(model(mixed.images), mixed.targets)
        clean, gradient = clean_pass(model, batch, criterion)
        mixed = self.mixed(batch, gradient_saliency(gradient), rng)
        return criterion(model(mixed.images), mixed.targets) + self.clean_weight * clean

    def mixed(self, batch: Batch, saliency: Tensor, rng: np.random.Generator) -> Batch:
        """Return the batch remixed by its ``saliency`` (B, H, W), >= 0; the last part may be smaller."""
        shares, places = block_saliency(saliency), salient_places(saliency)
        n = len(shares)
        whole = n - n % self.partition
        spans = [(0, whole, self.partition), (whole, n, n - whole)]
        pairs = torch.cat(
            [
                self.pairs(shares[start:stop].unflatten(0, (-1, inputs)), places[start:stop], rng) + start
                for start, stop, inputs in spans
                if stop > start
            ]
        )
        images, targets = comixup(batch.images, batch.targets, pairs)
        return replace(batch, images=images, targets=targets)

    def pairs(self, shares: Tensor, places: Tensor, rng: np.random.Generator) -> Tensor:
        """Return (P * m, 16, 2) int64 in [0, P * m), the two images of every block of every output.

        Args:
            shares: (P, m, 16), the saliency of the blocks of each image; the parts are mixed on their own.
            places: (P * m, 2), where each image is the most salient.
            rng: draws the prior and the first labelling.
        """
        parts, inputs, _ = shares.shape
        device = shares.device
        prior = torch.from_numpy(rng.dirichlet([self.alpha] * inputs, size=parts)).float().to(device)
        start = torch.from_numpy(rng.integers(inputs, size=(parts, inputs, BLOCKS))).to(device)
        problem = Problem(
            costs=-shares.mT - self.eta / BLOCKS * (prior + 1e-8).log()[:, None],
            compatibility=compatibility(places.unflatten(0, (parts, inputs)), self.omega),
            smoothness=self.beta / BLOCKS,
            diversity=self.gamma / BLOCKS,
            threshold=self.tau * BLOCKS,
        )
        first = inputs * torch.arange(parts, device=device)[:, None, None, None]
        return (labelling(problem, start) + first).flatten(0, 1)
