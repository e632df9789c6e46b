"""The training set on the device, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from robustbench_msda.augmentations.crop import crop, draw_crops, pad
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import UserError
from robustbench_msda.recipes import Recipe
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


@dataclass(frozen=True)
class TrainingData:
    """A data set resident on the device.

    Attributes:
        padded: (N, H + 2p, W + 2p, C) uint8.
        labels: (N,) int64.
        classes: how many classes there are.
        side: height and width of an image.
    """

    padded: Tensor
    labels: Tensor
    classes: int
    side: tuple[int, int]


def training_sets(recipe: Recipe, data_dir: Path) -> list[Dataset]:
    """Return the data set of ``recipe`` and, where it has one, the second whose images join it.

    Raises:
        MissingData: one of them is not in ``data_dir``.
    """
    names = [recipe.dataset, *filter(None, [recipe.extra_dataset])]
    return [open_dataset(name, data_dir) for name in names]


def resident(datasets: Sequence[Dataset], padding: int, device: torch.device) -> TrainingData:
    """Return the training splits of ``datasets`` as one, on ``device``, padded once for all crops.

    Raises:
        UserError: one of them has other classes or another size than the first.
    """
    first = datasets[0]
    for other in datasets[1:]:
        if (other.classes, other.side) != (first.classes, first.side):
            raise UserError(
                f"extra_dataset {other.name}: expected the {len(first.classes)} classes of {first.name} in its order "
                f"at side {first.side}, found {len(other.classes)} classes at side {other.side}; prepare it from "
                "folders of the same names"
            )
    images = torch.cat([pad(torch.from_numpy(np.array(each.images("train"))), padding) for each in datasets])
    labels = np.concatenate([np.array(each.labels("train"), dtype=np.int64) for each in datasets])
    side = (first.side, first.side)
    return TrainingData(images.to(device), torch.from_numpy(labels).to(device), len(first.classes), side)


def epoch_steps(recipe: Recipe, n: int) -> int:
    """Return the batches of an epoch; a last one under two images a replica is left out: batch norm needs two."""
    full, rest = divmod(n, recipe.batch_size)
    return full + (rest >= 2 * recipe.replicas)


def epoch_batches(recipe: Recipe, data: TrainingData, epoch: int) -> Iterator[list[Batch]]:
    """Yield the global batches of ``epoch``, one batch a replica: cropped images, smoothed one-hot targets."""
    order = stream("order", recipe.seed, epoch).permutation(len(data.labels))
    rngs = [stream("crop", recipe.seed, epoch, replica) for replica in range(recipe.replicas)]
    steps = epoch_steps(recipe, len(order))
    off = recipe.label_smoothing / data.classes
    for number in range(steps):
        taken = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
        batches = []
        for positions, rng in zip(np.array_split(taken, recipe.replicas), rngs, strict=True):
            index = torch.from_numpy(positions)
            draws = draw_crops(len(index), recipe.crop_padding, recipe.flip, rng)
            labels = data.labels[index.to(data.labels.device)]
            targets = functional.one_hot(labels, data.classes).float() * (1 - recipe.label_smoothing) + off
            step = epoch * steps + number
            images = crop(data.padded, index, draws, data.side)
            batches.append(Batch(images, targets, index, step=step, progress=step / (steps * recipe.epochs)))
        yield batches
