"""An epoch of the trainer against a bare loop of the same forward and backward passes on batches made beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn import functional

from perf.measure import Row, paired, summary
from perf.training import SIDE, noise
from robustbench_msda import augmentations
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.recipes import Recipe
from robustbench_msda.training.batches import epoch_batches
from robustbench_msda.training.loop import Work, train_epoch
from robustbench_msda.training.state import start

BATCH = 64
# Batches an epoch: fewer of the networks that take longer.
MODELS = {"resnet20": 8, "wrn_40_2": 2, "preact_resnet18": 1}


def rows() -> Iterator[Row]:
    """Yield the time of an epoch over that of the bare loop; crops, draws, schedule and log are in the epoch alone."""
    torch.set_num_threads(1)
    for model, batches in MODELS.items():
        ratios = paired(*epochs(model, batches))
        unit = f"time of an epoch / bare loop, {batches} batches of {BATCH} {SIDE}x{SIDE} images, bfloat16, one core"
        yield summary(f"epochs/{model}", ratios, unit)


def epochs(model: str, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return one epoch of the trainer and one of the bare loop, both of ``count`` batches."""
    recipe = Recipe(dataset="digits", model=model, augmentation="vanilla()", precision="bfloat16", batch_size=BATCH)
    dataset, data = open_dataset("digits", Path()), noise(BATCH * count)
    ours, bare = (start(recipe, dataset, torch.device("cpu")) for _ in range(2))
    parts = [part for whole in epoch_batches(recipe, data, 0) for part in whole.batches]
    made = [(part.images, data.labels[part.index]) for part in parts]
    work = Work(recipe, augmentations.parse("vanilla"), dataset, data)

    def epoch() -> None:
        train_epoch(ours, work)

    def loop() -> None:
        bare.model.train()
        for images, labels in made:
            bare.optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16):
                logits = bare.model(images)
            loss = functional.cross_entropy(logits.float(), labels)
            loss.backward()
            bare.optimizer.step()

    return epoch, loop
