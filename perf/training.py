"""The training step of every augmentation against the vanilla step, on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from perf.measure import Row, paired, summary
from robustbench_msda import augmentations
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.recipes import Recipe
from robustbench_msda.training.batches import epoch_batches
from robustbench_msda.training.images import Resident
from robustbench_msda.training.replicas import replicas_of
from robustbench_msda.training.state import start
from robustbench_msda.training.steps import train_step

MODEL = "wrn_40_2"
SIDE, BATCH = 32, 64
METHODS = [
    *(name for name in augmentations.AUGMENTATIONS if name != "fast_autoaugment"),
    "augmix(js_weight=0, views=1)",
    "alternate(mixup, cutmix)",
]


def rows() -> Iterator[Row]:
    """Yield the time of each method's step over that of vanilla's; cropping is in both."""
    torch.set_num_threads(1)
    vanilla = step("vanilla")
    for text in METHODS:
        ratios = paired(step(text), vanilla)
        unit = f"time of a step / vanilla's, {MODEL}, batch {BATCH} of {SIDE}x{SIDE}, bfloat16, one core"
        yield summary(f"training/{augmentations.short(text)}", ratios, unit)


def step(text: str) -> Callable[[], None]:
    """Return one training step of a method on noise."""
    recipe = Recipe(
        dataset="digits",
        model=MODEL,
        augmentation=augmentations.canonical(text),
        precision="bfloat16",
        epochs=1,
        batch_size=BATCH,
    )
    device = torch.device("cpu")
    run = start(recipe, replace(open_dataset("digits", Path()), side=SIDE), device)
    data = noise(BATCH)
    augmentation, replicas = augmentations.parse(recipe.augmentation), replicas_of(recipe, 0, device)

    def work() -> None:
        for whole in epoch_batches(recipe, data, 0):
            train_step(run, recipe, augmentation, whole, replicas)

    return work


def noise(count: int) -> Resident:
    """Return ``count`` images of noise in ten classes, with room for the crop."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIDE + 8, SIDE + 8, 3), dtype=np.uint8)
    return Resident(torch.from_numpy(pixels), torch.arange(count) % 10, 10, (SIDE, SIDE), (1.0, 1.0))
