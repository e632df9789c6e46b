"""The training step of every augmentation against the vanilla step, on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from perf.measure import Row, paired, summary
from robustbench_msda import augmentations
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.recipes import Recipe
from robustbench_msda.streams import stream
from robustbench_msda.training.batches import epoch_batches, resident
from robustbench_msda.training.loop import train_step
from robustbench_msda.training.state import start

STEPS = 3
MODEL = "resnet20"


def rows() -> Iterator[Row]:
    """Yield the time of each method's steps over that of vanilla's; data loading and cropping are in both."""
    torch.set_num_threads(1)
    dataset = open_dataset("digits", Path())
    vanilla = steps("vanilla", dataset)
    for name in augmentations.AUGMENTATIONS:
        ratios = paired(steps(name, dataset), vanilla)
        unit = f"time of a step / vanilla's, {MODEL}, batch 128, bfloat16, one core"
        yield summary(f"training/{augmentations.short(name)}", ratios, unit)


def steps(text: str, dataset: Dataset) -> Callable[[], None]:
    """Return a few training steps of a method."""
    recipe = Recipe(
        dataset=dataset.name, model=MODEL, augmentation=augmentations.canonical(text), precision="bfloat16", epochs=1
    )
    device = torch.device("cpu")
    run, data = start(recipe, dataset, device), resident([dataset], recipe.crop_padding, device)
    augmentation, rngs = augmentations.parse(recipe.augmentation), [stream("perf", 0)]

    def work() -> None:
        for _, batches in zip(range(STEPS), epoch_batches(recipe, data, 0), strict=False):
            train_step(run, recipe, augmentation, batches, rngs)

    return work
