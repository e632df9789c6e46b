"""How long a study will take: measured on a few steps of this machine, before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from robustbench_msda import augmentations
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.errors import pick
from robustbench_msda.evaluation.planning import Task, tasks_of
from robustbench_msda.models.checkpoints import network
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build
from robustbench_msda.prediction import forward
from robustbench_msda.recipes import Recipe
from robustbench_msda.results.store import CheckpointRecord
from robustbench_msda.streams import stream
from robustbench_msda.studies import Study
from robustbench_msda.training.batches import epoch_batches, resident, training_sets
from robustbench_msda.training.loop import CHECKPOINT, train_step
from robustbench_msda.training.state import start
from robustbench_msda.verbs import Place, Planned

STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """What a study has still to do.

    Attributes:
        recipes: networks in all.
        trained: of them, how many are trained already.
        cells: cells in all.
        done: of them, how many are predicted already.
        hours: of one worker, for what is missing.
    """

    recipes: int
    trained: int
    cells: int
    done: int
    hours: float


def estimate(study: Study, place: Place, runs: Path) -> Estimate:
    """Return what ``study`` has still to do, at the speed of a few steps on this machine with torch's threads as set.

    Raises:
        UserError: the study names something that does not exist, or data that are missing.
    """
    recipes = study.recipes()
    known = {record.recipe_id: record for record in place.store.checkpoints().values()}
    seconds, cells, done, trained = 0.0, 0, 0, 0
    steps: dict[tuple[str, str, str, str], float] = {}
    passes: dict[tuple[str, str], float] = {}
    for recipe in recipes:
        sets = training_sets(recipe, Path(place.data_dir))
        dataset = sets[0]
        key = (recipe.dataset, recipe.model, recipe.precision, recipe.augmentation)
        if (runs / recipe.folder / CHECKPOINT).exists():
            trained += 1
        else:
            if key not in steps:
                steps[key] = seconds_per_training_image(recipe, dataset, place)
            seconds += steps[key] * sum(len(each.labels("train")) for each in sets) * recipe.epochs
        tasks = expected(study, dataset, place, known.get(recipe.id))
        missing = [task for task in tasks if not task.done]
        cells, done = cells + len(tasks), done + len(tasks) - len(missing)
        if missing and key[:2] not in passes:
            passes[key[:2]] = seconds_per_pass(fresh(recipe, dataset, place), dataset.side, place)
        seconds += passes.get(key[:2], 0.0) * sum(task.passes for task in missing)
    return Estimate(len(recipes), trained, cells, done, seconds / 3600)


def expected(study: Study, dataset: Dataset, place: Place, record: CheckpointRecord | None) -> list[Task]:
    """Return the cells of one recipe; without a ``record`` its checkpoint is not evaluated, and none is done."""
    tasks: list[Task] = []
    for name, limit in study.benchmarks.items():
        benchmark = pick(benchmarks_of(dataset.name), name, f"benchmark of {dataset.name}")
        setting = Setting(dataset, Path(place.data_dir), torch.device(place.device), limit, place.batch_size)
        # Without a record no checkpoint has this fingerprint, and nothing is done.
        tasks += tasks_of(benchmark, record.fingerprint if record else "", setting, place.store)
    return tasks


def seconds_per_training_image(recipe: Recipe, dataset: Dataset, place: Place) -> float:
    """Return the seconds that training takes for an image, measured after one step."""
    device = torch.device(place.device)
    run, data = start(recipe, dataset, device), resident([dataset], recipe.crop_padding, device)
    augmentation = augmentations.parse(recipe.augmentation)
    rngs = [stream("estimate", replica) for replica in range(recipe.replicas)]
    began, images = 0.0, 0
    for number, batches in zip(range(STEPS + 1), epoch_batches(recipe, data, 0), strict=False):
        float(train_step(run, recipe, augmentation, batches, rngs))
        if number == 0:
            began = time.perf_counter()
        else:
            images += sum(len(batch.images) for batch in batches)
    return (time.perf_counter() - began) / max(images, 1)


def seconds_per_pass(model: Normalised, side: int, place: Place) -> float:
    """Return the seconds that the forward pass of one image takes, measured after one batch."""
    channels = len(model.get_buffer("mean"))
    images = torch.zeros(place.batch_size, channels, side, side, device=place.device)
    with torch.no_grad():
        forward(model, images).cpu()
        began = time.perf_counter()
        forward(model, images).cpu()
    return (time.perf_counter() - began) / len(images)


def fresh(recipe: Recipe, dataset: Dataset, place: Place) -> Normalised:
    """Return the network of ``recipe`` before training, ready for evaluation."""
    with torch.random.fork_rng(devices=[]):
        network = build(recipe.model, len(dataset.classes), recipe.model_options)
    return Normalised(network, dataset.mean, dataset.std).to(place.device).eval()


def evaluation_hours(planned: Planned, place: Place) -> float:
    """Return the hours that the missing cells of ``planned`` take."""
    if not planned.cells.missing:
        return 0.0
    model = network(planned.checkpoint, place.device, planned.trusted)
    side = planned.cells.tasks[0].setting.dataset.side
    return planned.cells.passes * seconds_per_pass(model, side, place) / 3600
