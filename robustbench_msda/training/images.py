"""Where training images come from: the memory of the device, or picture files that are decoded as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from robustbench_msda.augmentations.crop import CropDraws, crop, pad
from robustbench_msda.augmentations.resized_crop import ResizedDraws, resized_crop
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.data.decoding import PictureFiles
from robustbench_msda.data.loading import Loader, Request
from robustbench_msda.errors import UserError
from robustbench_msda.recipes import Recipe
from robustbench_msda.training.batches import Part, TrainingImages
from robustbench_msda.training.distributed import decoders


@dataclass(frozen=True)
class Resident:
    """Images in the memory of the device.

    Attributes:
        padded: (N, H + 2p, W + 2p, C) uint8.
        labels: (N,) int64.
        classes: how many classes there are.
        side: height and width of an image.
        scale: shares of the area that a random resized crop takes.
    """

    padded: Tensor
    labels: Tensor
    classes: int
    side: tuple[int, int]
    scale: tuple[float, float]

    def cut(self, parts: Iterator[Part]) -> Iterator[Tensor]:
        """Yield the images of each of ``parts``."""
        for part in parts:
            if isinstance(part.crops, CropDraws):
                yield crop(self.padded, part.taken, part.crops, self.side)
            else:
                yield resized_crop(self.padded, part.taken, part.crops, self.scale, self.side)


@dataclass(frozen=True)
class Pictures:
    """Picture files, decoded by worker processes ahead of the network.

    Attributes:
        paths: of the pictures, in order.
        labels: (N,) int64.
        classes: how many classes there are.
        side: height and width of an image.
        scale: shares of the area that a crop takes.
        loader: decodes.
    """

    paths: Sequence[str]
    labels: Tensor
    classes: int
    side: tuple[int, int]
    scale: tuple[float, float]
    loader: Loader

    def cut(self, parts: Iterator[Part]) -> Iterator[Tensor]:
        """Yield the images of each of ``parts``, which is read ahead."""
        device = self.labels.device
        for images in self.loader.epoch(self.requests(part) for part in parts):
            yield images.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)

    def requests(self, part: Part) -> list[Request]:
        """Return the pictures of ``part`` and how each is cut out."""
        draws = cast(ResizedDraws, part.crops)  # no other crop is let near pictures
        rows = zip(part.taken.tolist(), draws.attempts.numpy(), draws.mirrored.tolist(), strict=True)
        return [Request(self.paths[i], attempts, mirrored, self.scale) for i, attempts, mirrored in rows]


@contextmanager
def training_images(
    recipe: Recipe, datasets: Sequence[Dataset], device: torch.device, workers: int = -1
) -> Iterator[TrainingImages]:
    """Give the training splits of ``datasets`` as one; the processes that decode pictures end with the context.

    Args:
        recipe: how images are cut out.
        datasets: the data set, and the second whose images join it.
        device: where images and labels are to be.
        workers: processes that decode pictures; −1 for one a core but one.

    Raises:
        UserError: one of them has other classes or another size than the first, or pictures of any size would have to
            lie in memory.
    """
    check_alike(datasets)
    if all(each.view is None for each in datasets):
        yield resident(recipe, datasets, device)
        return
    if recipe.crop == "padded":
        raise UserError(
            f"crop: {datasets[0].name} has pictures of any size, which crop='padded' cannot train on; give --set "
            "crop=random_resized, or a preset such as r_cut_i"
        )
    loader = Loader(datasets[0].side, decoders(workers), pin=device.type == "cuda")
    try:
        yield pictures(recipe, datasets, device, loader)
    finally:
        loader.close()


def check_alike(datasets: Sequence[Dataset]) -> None:
    """Raise ``UserError`` unless all have the classes and the size of the first, and lie as it does."""
    first = datasets[0]
    for other in datasets[1:]:
        if other.channels != first.channels:
            raise UserError(
                f"extra_dataset {other.name}: expected images of {first.channels} channels as those of {first.name}, "
                f"found {other.channels} (3: RGB, 1: grey); prepare both in the same way"
            )
        if (other.classes, other.side) != (first.classes, first.side):
            raise UserError(
                f"extra_dataset {other.name}: expected the {len(first.classes)} classes of {first.name} in its order "
                f"at side {first.side}, found {len(other.classes)} classes at side {other.side}; prepare it from "
                "folders of the same names"
            )
        if (other.view is None) != (first.view is None):
            raise UserError(
                f"extra_dataset {other.name}: expected it to be stored as {first.name} is, both as pictures or both as "
                "arrays; prepare it in the same way"
            )


def resident(recipe: Recipe, datasets: Sequence[Dataset], device: torch.device) -> Resident:
    """Return the training splits of ``datasets`` as one, on ``device``, padded once for all crops."""
    padding = recipe.crop_padding if recipe.crop == "padded" else 0
    images = torch.cat([pad(torch.from_numpy(np.array(each.images("train"))), padding) for each in datasets])
    side = (datasets[0].side, datasets[0].side)
    classes = len(datasets[0].classes)
    return Resident(images.to(device), labels_of(datasets, device), classes, side, recipe.crop_scale)


def pictures(recipe: Recipe, datasets: Sequence[Dataset], device: torch.device, loader: Loader) -> Pictures:
    """Return the training pictures of ``datasets`` as one, which ``loader`` decodes."""
    paths: list[str] = []
    for each in datasets:
        files = cast(PictureFiles, each.images("train"))
        paths += [f"{files.root}/{file}" for file in files.files]
    side = (datasets[0].side, datasets[0].side)
    classes = len(datasets[0].classes)
    return Pictures(paths, labels_of(datasets, device), classes, side, recipe.crop_scale, loader)


def labels_of(datasets: Sequence[Dataset], device: torch.device) -> Tensor:
    """Return the labels of the training splits, (N,) int64 on ``device``."""
    labels = np.concatenate([np.array(each.labels("train"), dtype=np.int64) for each in datasets])
    return torch.from_numpy(labels).to(device)
