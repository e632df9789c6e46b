"""What foolbox and our checks cost beside the gradients that an attack is made of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from perf.evaluation import evaluated, noise_images, untrained
from perf.measure import Row, paired, summary
from robustbench_msda import evaluation
from robustbench_msda.attacks.base import perform
from robustbench_msda.attacks.gradient import PGD
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import network as ready
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build
from robustbench_msda.streams import stream

# Of the networks of the studies the one with the fewest operations a pixel: what is not its own weighs most.
MODEL = "resnet20"
IMAGES = 32
SIDE = 32
STEPS = 20
# Of a transfer set: enough that the few images which are answered twice, once a cell, weigh as they do in use.
SHOWN = 2000
EPSILON = 8 / 255


def rows() -> Iterator[Row]:
    """Yield the time of PGD over its gradients alone, and of transferred images, once made, over that of clean ones."""
    torch.set_num_threads(1)
    model, images, labels = network(), noise(), torch.arange(IMAGES) % 10
    ratios = paired(attack(model, images, labels), gradients(model, images, labels))
    unit = f"time, PGD-{STEPS} / {STEPS} x (forward + backward to the input), {MODEL}, {IMAGES} images, one core"
    yield summary("attacks/pgd", ratios, unit)
    yield transferred()


def transferred() -> Row:
    """Return the time of answering what an attack made of a substitute, once it is kept, over that of clean images."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), Path(folder) / "results")
        noise_images(place.data_dir, SHOWN)
        checkpoint = untrained(place.data_dir)
        model = ready(checkpoint, "cpu")
        plan = evaluation.plan(checkpoint, {"clean": 0, "fgsm": 0}, place, {"substitute": lambda: model})
        clean = next(task for task in plan.tasks if task.cell.benchmark == "clean")
        shown = next(task for task in plan.tasks if task.cell.source)
        evaluated([shown], model, place.data_dir)
        one, other = (partial(evaluated, [task], model, place.data_dir) for task in (shown, clean))
        unit = f"time, cached transfer set / clean images, {MODEL}, {clean.images} images, one core"
        return summary("attacks/transfer", paired(one, other), unit)


def attack(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Return the whole attack, its start drawn already."""
    pgd = PGD(STEPS, 0.1)
    draws = [pgd.draw(stream("perf", i), tuple(images.shape[1:])) for i in range(len(images))]
    start = torch.from_numpy(np.stack(draws))

    def work() -> None:
        perform(pgd, model, images, labels, EPSILON, start)

    return work


def gradients(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Return what no gradient attack can do without."""

    def work() -> None:
        for _ in range(STEPS):
            leaf = images.clone().requires_grad_(True)
            functional.cross_entropy(model(leaf), labels, reduction="sum").backward()

    return work


def network() -> nn.Module:
    """Return an untrained network of ten classes, frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bare = build(MODEL, 10, {})
    return Normalised(bare, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).eval().requires_grad_(False)


def noise() -> Tensor:
    """Return images of noise."""
    return torch.from_numpy(np.random.default_rng(0).random((IMAGES, 3, SIDE, SIDE), dtype=np.float32))
