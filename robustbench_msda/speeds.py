"""The speed of this machine: of training steps and of forward passes, each measured once and not for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice

import torch

from robustbench_msda import augmentations
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.models.channels import with_channels
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build
from robustbench_msda.prediction import first_forward
from robustbench_msda.recipes import Recipe
from robustbench_msda.training.batches import TrainingImages, epoch_batches
from robustbench_msda.training.images import training_images
from robustbench_msda.training.replicas import replicas_of
from robustbench_msda.training.state import Run, start
from robustbench_msda.training.steps import train_step

STEPS = 3
# A processor is tried with a few images first: a large network's time an image hardly depends on how many there are.
FEW = 8
# Seconds that the measurement of one speed may take from there on, and those of all together.
LONG = 2.0
ALL = 60.0

Measure = Callable[[], float]


@contextmanager
def measuring(place: Place) -> Iterator[Speeds]:
    """Give what measures at ``place``; what it holds of data sets is let go of with the context."""
    with ExitStack() as held:
        yield Speeds(place, held)


@dataclass
class Speeds:
    """Speeds of networks, measured when they are first asked for; None where one cannot be or no time is left.

    Attributes:
        place: the device, and the batch of evaluation.
        held: the training images that are open.
        why: a line for every reason why a speed was not measured.
    """

    place: Place
    held: ExitStack
    why: dict[str, None] = field(default_factory=dict)
    known: dict[Hashable, float | None] = field(default_factory=dict)
    spent: float = 0.0
    images: tuple[Hashable, TrainingImages] | None = None

    def training(self, recipe: Recipe, sets: Sequence[Dataset]) -> float | None:
        """Return the seconds that training by ``recipe`` takes for an image of ``sets``."""
        how = (recipe.augmentation, recipe.loss, recipe.precision, recipe.batch_size, recipe.replicas, recipe.crop)
        key = (*network_of(recipe, sets[0]), *how, *(each.view is None for each in sets))
        return self.measured(key, lambda: seconds_per_training_image(recipe, sets[0], self.opened(recipe, sets)))

    def passing(self, recipe: Recipe, dataset: Dataset) -> float | None:
        """Return the seconds that the network of ``recipe`` takes to answer for an image of ``dataset``."""
        return self.measured(
            network_of(recipe, dataset),
            lambda: seconds_per_pass(fresh(recipe, dataset, self.place), dataset.side, self.place),
        )

    def measured(self, key: Hashable, measure: Measure) -> float | None:
        """Return what ``measure`` says, or said for ``key``."""
        if key not in self.known:
            self.known[key] = self.tried(measure)
        return self.known[key]

    def tried(self, measure: Measure) -> float | None:
        """Return what ``measure`` says; None, and keep why, where it refuses or the time is over."""
        if self.spent > ALL:
            self.why[f"speeds are measured for {ALL:.0f} seconds at most: some are not known"] = None
            return None
        began = time.perf_counter()
        try:
            return measure()
        except UnknownName:
            raise  # no word on a speed: a mistake in the study
        except UserError as error:
            self.why[str(error)] = None
            return None
        finally:
            self.spent += time.perf_counter() - began

    def opened(self, recipe: Recipe, sets: Sequence[Dataset]) -> TrainingImages:
        """Return the training images of ``sets`` as ``recipe`` cuts them; those of the last call are kept open."""
        key = (*(each.name for each in sets), recipe.crop, recipe.crop_padding, recipe.crop_scale)
        if self.images is None or self.images[0] != key:
            self.images = None
            self.held.close()
            opened = self.held.enter_context(training_images(recipe, sets, torch.device(self.place.device)))
            self.images = (key, opened)
        return self.images[1]


def network_of(recipe: Recipe, dataset: Dataset) -> tuple[Hashable, ...]:
    """Return what the speed of a network depends on, whatever it is trained with."""
    return recipe.model, *recipe.model_options.items(), dataset.side, dataset.channels, len(dataset.classes)


def seconds_per_training_image(recipe: Recipe, dataset: Dataset, data: TrainingImages) -> float:
    """Return the seconds that training takes for an image, measured after one step.

    On a processor, where whole batches would take long, a few images are measured.

    Raises:
        UserError: the network cannot be built, or not be trained so.
    """
    device = data.labels.device
    run = start(recipe, dataset, device)
    few = recipe.model_copy(update={"batch_size": min(recipe.batch_size, FEW * recipe.replicas)})
    if device.type == "cpu":
        first = seconds_per_image(few, run, data, 1)
        again = first if first * few.batch_size > LONG else seconds_per_image(few, run, data, 1)
        if again * recipe.batch_size * (STEPS + 1) > LONG:
            return again
    seconds_per_image(recipe, run, data, 1)
    return seconds_per_image(recipe, run, data, STEPS)


def seconds_per_image(recipe: Recipe, run: Run, data: TrainingImages, steps: int) -> float:
    """Return the seconds that an image of so many training steps takes."""
    device = data.labels.device
    augmentation = augmentations.parse(recipe.augmentation)
    images, began = 0, time.perf_counter()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        replicas = replicas_of(recipe, 0, device)
        for whole in islice(epoch_batches(recipe, data, 0), steps):
            float(train_step(run, recipe, augmentation, whole, replicas))
            images += whole.size
    return (time.perf_counter() - began) / max(images, 1)


def seconds_per_pass(model: Normalised, side: int, place: Place) -> float:
    """Return the seconds that the forward pass of one image takes, measured after one batch.

    On a processor, where whole batches would take long, a few images are measured.
    """
    batch = place.batch_size
    if torch.device(place.device).type == "cpu":
        few = min(batch, FEW)
        first = seconds_to_answer(model, side, few)
        again = first if first * few > LONG else seconds_to_answer(model, side, few)
        if again * batch * 2 > LONG:
            return again
    seconds_to_answer(model, side, batch)
    return seconds_to_answer(model, side, batch)


def seconds_to_answer(model: Normalised, side: int, batch: int) -> float:
    """Return the seconds that ``model`` takes for an image of a ``batch``."""
    images = torch.zeros(batch, len(model.mean), side, side, device=model.mean.device)
    began = time.perf_counter()
    with torch.no_grad():
        first_forward(model, images).cpu()
    return (time.perf_counter() - began) / batch


def fresh(recipe: Recipe, dataset: Dataset, place: Place) -> Normalised:
    """Return the network of ``recipe`` before training, ready for evaluation."""
    options = with_channels(recipe.model, recipe.model_options, dataset.channels)
    with torch.random.fork_rng(devices=[]):
        network = build(recipe.model, len(dataset.classes), options)
    return Normalised(network, dataset.mean, dataset.std).to(place.device).eval()
