"""The training images, and the batches of an epoch: draw first, then apply."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import tee
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from robustbench_msda.augmentations.colors import ColorDraws, draw_colors, shift_colors
from robustbench_msda.augmentations.crop import CropDraws, draw_crops
from robustbench_msda.augmentations.resized_crop import ResizedDraws, draw_resized_crops
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.recipes import Recipe
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream
from robustbench_msda.training.distributed import ALONE, Group


class Part(NamedTuple):
    """What one replica will see of a global batch.

    Attributes:
        step: the number of the batch, counted across epochs.
        size: images of the global batch, over all replicas.
        taken: (B,) int64, which images are its own.
        crops: how each is cut out.
        colors: how each is coloured; None where the recipe leaves colours alone.
    """

    step: int
    size: int
    taken: Tensor
    crops: CropDraws | ResizedDraws
    colors: ColorDraws | None


class TrainingImages(Protocol):
    """The training images of a run, in memory or in files of their own."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, on the device."""

    @property
    def classes(self) -> int:
        """How many classes there are."""

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of an image."""

    def cut(self, parts: Iterator[Part]) -> Iterator[Tensor]:
        """Yield the images of each of ``parts``, (B, C, H, W) float32 in [0, 1] on the device, channels last."""


class GlobalBatch(NamedTuple):
    """One step's images: a batch a replica of this process, and how many images all replicas have together."""

    batches: list[Batch]
    size: int


def training_sets(recipe: Recipe, data_dir: Path) -> list[Dataset]:
    """Return the data set of ``recipe`` and, where it has one, the second whose images join it.

    Raises:
        MissingData: one of them is not in ``data_dir``.
    """
    names = [recipe.dataset, *filter(None, [recipe.extra_dataset])]
    return [open_dataset(name, data_dir) for name in names]


def epoch_steps(recipe: Recipe, n: int) -> int:
    """Return the batches of an epoch; a last one under two images a replica is left out: batch norm needs two."""
    full, rest = divmod(n, recipe.batch_size)
    return full + (rest >= 2 * recipe.replicas)


def epoch_batches(recipe: Recipe, data: TrainingImages, epoch: int, group: Group = ALONE) -> Iterator[GlobalBatch]:
    """Yield the global batches of ``epoch``, each as a batch a replica of this process."""
    n, own = len(data.labels), len(group.replicas(recipe.replicas))
    last = epoch_steps(recipe, n) * recipe.epochs
    # The images may be decoded far ahead of the network, so their draws run ahead of what goes with them.
    parts, ahead = tee(epoch_parts(recipe, n, epoch, group))
    pairs = zip(parts, data.cut(ahead), strict=True)
    while first := next(pairs, None):
        pieces = [first, *(next(pairs) for _ in range(own - 1))]
        batches = [batch_of(recipe, data, part, images, part.step / last) for part, images in pieces]
        yield GlobalBatch(batches, first[0].size)


def epoch_parts(recipe: Recipe, n: int, epoch: int, group: Group = ALONE) -> Iterator[Part]:
    """Yield what the replicas of this process see of ``epoch`` of ``n`` images: of each step, one after the other."""
    order = stream("order", recipe.seed, epoch).permutation(n)
    own = group.replicas(recipe.replicas)
    rngs = {replica: stream("crop", recipe.seed, epoch, replica) for replica in own}
    steps = epoch_steps(recipe, n)
    for number in range(steps):
        taken = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
        for replica, positions in enumerate(np.array_split(taken, recipe.replicas)):
            if replica in rngs:
                draws = draw_cuts(recipe, len(positions), rngs[replica])
                yield Part(epoch * steps + number, len(taken), torch.from_numpy(positions), *draws)


def draw_cuts(recipe: Recipe, n: int, rng: np.random.Generator) -> tuple[CropDraws | ResizedDraws, ColorDraws | None]:
    """Return how ``n`` images are cut out and coloured."""
    crops: CropDraws | ResizedDraws
    if recipe.crop == "random_resized":
        crops = draw_resized_crops(n, recipe.flip, rng)
    else:
        crops = draw_crops(n, recipe.crop_padding, recipe.flip, rng)
    shifts = recipe.color_jitter > 0 or recipe.lighting > 0
    return crops, draw_colors(n, recipe.color_jitter, recipe.lighting, rng) if shifts else None


def batch_of(recipe: Recipe, data: TrainingImages, part: Part, images: Tensor, progress: float) -> Batch:
    """Return the batch of one replica."""
    labels = data.labels[part.taken.to(data.labels.device)]
    off = recipe.label_smoothing / data.classes
    targets = functional.one_hot(labels, data.classes).float() * (1 - recipe.label_smoothing) + off
    colored = images if part.colors is None else shift_colors(images, part.colors)
    return Batch(colored, targets, part.taken, step=part.step, progress=progress)
