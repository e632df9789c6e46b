"""Before a stranger's checkpoint is evaluated: are its normalisation and the order of its classes what is assumed?

A network that is given wrongly normalised images, or whose classes are in another order, fails without a word. So a few
clean test images are put to it under other normalisations too. What is found is said; nothing is changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.benchmarks.base import Setting, as_network_input, batches_at
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation.run import counted
from robustbench_msda.metrics.class_order import best_order, chance_accuracy, right_in_best_order
from robustbench_msda.models.checkpoints import network
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.published import PublishedView, published_view
from robustbench_msda.opening import Foreign
from robustbench_msda.prediction import first_forward, predict
from robustbench_msda.progress import Progress, silent
from robustbench_msda.records import Batch, limited
from robustbench_msda.statistics import exact_mcnemar
from robustbench_msda.verbs import Planned

IMAGES = 500
# The p below which one way is clearly better than another on the same images.
CLEAR = 0.001
# A share of right answers whose odds are less than this many times those of chance is hardly better than chance: of 48
# untrained networks on digits none had more than 1.3 times those of chance.
ODDS = 2.0
# The least share of right answers with which another order of the classes is believed: untrained ones reached 0.21.
ORDERED = 0.5
# Fewer images tell nothing.
LEAST = 50
SHOWN = 3
Pixels = Sequence[tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Normalisation:
    """A normalisation that may be right: a number a channel, and how a user would ask for it."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    options: str = ""


@dataclass(frozen=True, eq=False)
class Look:
    """What a network answers under one normalisation.

    Attributes:
        normalisation: under which.
        labels: (n,) the classes of the images.
        answers: (n,) those it answers.
        classes: how many there are.
    """

    normalisation: Normalisation
    labels: NDArray[np.int16]
    answers: NDArray[np.int16]
    classes: int

    @cached_property
    def in_order(self) -> NDArray[np.bool_]:
        """(n,) whether each answer is right."""
        return np.asarray(self.answers == self.labels)

    @cached_property
    def reordered(self) -> NDArray[np.bool_]:
        """(n,) whether each answer is right in the order of classes that is best for the other images."""
        return right_in_best_order(self.labels, self.answers, self.classes)

    @cached_property
    def in_another_order(self) -> bool:
        """Whether the network knows the classes by other numbers."""
        return bool(self.reordered.mean() >= ORDERED) and clearly_better(self.reordered, self.in_order)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether each answer is right, in the order the network seems to have."""
        return self.reordered if self.in_another_order else self.in_order

    @property
    def error(self) -> float:
        """The share of wrong answers."""
        return 1 - float(self.in_order.mean())

    @property
    def by_chance(self) -> bool:
        """Whether so many are right by chance, or hardly more."""
        chance = chance_accuracy(self.labels, self.answers, self.classes)
        right = float(self.right.mean())
        return right * (1 - chance) < ODDS * chance * (1 - right)


def clearly_better(these: NDArray[np.bool_], those: NDArray[np.bool_]) -> bool:
    """Return whether ``these`` (n,) right answers are more than ``those`` to the same images, and by no chance."""
    only_these, only_those = int((these & ~those).sum()), int((those & ~these).sum())
    return only_these > only_those and exact_mcnemar(only_those, only_these) < CLEAR


def is_stranger(planned: Planned, foreign: Foreign) -> bool:
    """Return whether the normalisation of a checkpoint is assumed, or another library's word."""
    return bool(foreign.dataset) or is_published(planned)


def is_published(planned: Planned) -> bool:
    """Return whether a checkpoint is a library's, by name."""
    return not planned.path.is_file()


def other_view(planned: Planned) -> tuple[str, ...]:
    """Return a line where published weights were tested on images made otherwise than those they are put to here."""
    if not planned.cells.missing or not is_published(planned):
        return ()
    dataset = planned.cells.missing[0].setting.dataset
    theirs = published_view(planned.checkpoint.source)
    if theirs is None or same_view(theirs, dataset):
        return ()
    if dataset.view is None:
        ours = f"the images of {dataset.name} as they are, {dataset.side} px"
    else:
        ours = (
            f"{dataset.side} px out of a shorter side of {dataset.view.short} px, bilinear, as the images of the "
            "official benchmarks are made, for every network"
        )
    resized = "both sides" if theirs.mode == "squash" else "a shorter side"
    resized = "a longer side" if theirs.mode == "border" else resized
    told = f"{theirs.side} px out of {resized} of {theirs.short} px, {theirs.interpolation}"
    return (f"published with {told}; evaluated with {ours}: its clean error is not the published one",)


def same_view(theirs: PublishedView, dataset: Dataset) -> bool:
    """Return whether published weights were tested on images made as those of ``dataset`` are."""
    if dataset.view is None:
        return theirs.side == dataset.side
    return theirs == PublishedView(dataset.view.side, dataset.view.short, "bilinear")


def findings(planned: Planned, foreign: Foreign, progress: Progress = silent) -> tuple[str, ...]:
    """Return, a line each, the clean error of a stranger's checkpoint and what seems wrong with it.

    Nothing is said of our own checkpoints, which know their normalisation, where nothing is left to evaluate, or where
    evaluation itself will say what is wrong.

    Args:
        planned: what is to be evaluated.
        foreign: what the user said of it.
        progress: told in images.

    Raises:
        UserError: the network refuses images of this size.
    """
    if not planned.cells.missing or not is_stranger(planned, foreign):
        return ()
    setting = planned.cells.missing[0].setting
    try:
        pixels = clean_images(setting, planned.cells.images)
    except UserError:
        return ()
    looks = tuple(looked(planned, pixels, setting, progress))
    return tuple(lines(looks, planned, foreign, setting.dataset)) if looks else ()


def clean_images(setting: Setting, evaluated: int) -> Pixels:
    """Return some clean test images, evenly spread, in batches: not many more than are to be evaluated."""
    positions = limited(len(setting.dataset.labels("test")), min(IMAGES, max(LEAST, evaluated)))
    return list(batches_at(positions, setting))


def looked(planned: Planned, pixels: Pixels, setting: Setting, progress: Progress) -> Iterator[Look]:
    """Yield what the network answers under the assumed normalisation, then under others; nothing where it cannot.

    Raises:
        UserError: the network refuses images of this size: so it would those of every cell, one after another.
    """
    model = network(planned.checkpoint, setting.device, planned.trusted)
    with torch.no_grad():
        first_forward(model, as_network_input(pixels[0][0][:1], setting.device))
    candidates = normalisations(planned, setting.dataset)
    total, classes = sum(len(labels) for _, labels, _ in pixels), len(setting.dataset.classes)
    for k, candidate in enumerate(candidates):
        other = Normalised(model.network, candidate.mean, candidate.std).to(setting.device).eval()

        def advance(images: int, base: int = k * total) -> None:
            progress(base + images, len(candidates) * total)

        try:
            told = predict(other, counted(stimuli(pixels, setting), advance), classes=classes)
        except UserError:
            # Of what is assumed, evaluation itself will say it.
            if k == 0:
                return
            continue
        yield Look(candidate, told.label, told.top5[:, 0], classes)


def stimuli(pixels: Pixels, setting: Setting) -> Iterator[Batch]:
    """Yield images as a network takes them."""
    for images, labels, index in pixels:
        yield Batch(as_network_input(images, setting.device), labels, index)


def normalisations(planned: Planned, dataset: Dataset) -> list[Normalisation]:
    """Return the assumed normalisation, then the usual ones that differ from it."""
    mean, std = planned.checkpoint.mean, planned.checkpoint.std
    found = [Normalisation(mean, std)]
    for shift, scale in ((0.0, 1.0), (0.5, 0.5)):
        shifts, scales = (",".join([f"{value:g}"] * len(mean)) for value in (shift, scale))
        options = f"give --mean {shifts} --std {scales}"
        found.append(Normalisation((shift,) * len(mean), (scale,) * len(mean), options))
    if len(dataset.mean) == len(mean):
        found.append(Normalisation(dataset.mean, dataset.std, "leave out --mean and --std"))
    others = [each for each in found[1:] if not np.allclose([each.mean, each.std], [mean, std], rtol=0, atol=1e-3)]
    return [found[0], *others]


def lines(looks: Sequence[Look], planned: Planned, foreign: Foreign, dataset: Dataset) -> Iterator[str]:
    """Yield what is to be said of the answers under the assumed normalisation, the first, and under others."""
    assumed = looks[0]
    yield f"clean error {assumed.error:.1%} on {len(assumed.labels)} test images with {origin(planned, foreign)}"
    better = [look for look in looks[1:] if clearly_better(look.right, assumed.right) and not look.by_chance]
    best = max(better, key=lambda look: int(look.right.sum()), default=assumed)
    if best is not assumed:
        yield another_normalisation(best, assumed, planned)
    if best.in_another_order:
        yield another_order(best, dataset.classes)
    elif len(assumed.labels) >= LEAST and all(look.by_chance for look in looks):
        yield no_better_than_chance(planned, foreign)


def origin(planned: Planned, foreign: Foreign) -> str:
    """Return the assumed normalisation and where it comes from."""
    numbers = listed(planned.checkpoint.mean, planned.checkpoint.std)
    if is_published(planned):
        return f"{numbers} (as published)"
    lacking = [name for name, given in (("--mean", foreign.mean), ("--std", foreign.std)) if not given]
    whence = f"the data set's, for want of {' and '.join(lacking)}" if lacking else "as given"
    return f"{numbers} ({whence})"


def listed(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return a normalisation in words."""
    told = (", ".join(f"{value:.4g}" for value in values) for values in (mean, std))
    return "mean {} and std {}".format(*told)


def another_normalisation(best: Look, assumed: Look, planned: Planned) -> str:
    """Return which normalisation is better, by how much, and how to ask for it."""
    options = best.normalisation.options
    if is_published(planned):
        options = f"get the file of its weights and evaluate that with --model {planned.checkpoint.source}; {options}"
    wrong = f"{1 - best.right.mean():.1%} instead of {1 - assumed.right.mean():.1%} wrong"
    order = " in its own order of classes" if best.in_another_order else ""
    return f"another normalisation is clearly better, {wrong}{order}: {options}"


def another_order(look: Look, names: Sequence[str]) -> str:
    """Return which classes of the network are which of the data set's, those with most images first."""
    order = best_order(look.labels, look.answers, look.classes)
    meant = np.bincount(look.answers[order[look.answers] == look.labels], minlength=look.classes)
    moved = [k for k in np.argsort(-meant, kind="stable") if order[k] != k and meant[k]]
    pairs = ", ".join(f"{k} for {names[order[k]]}" for k in moved[:SHOWN])
    more = f", and so on for {len(moved)} of {len(names)}" if len(moved) > SHOWN else ""
    return (
        f"the classes seem to be in another order: class {pairs}{more}; in that order "
        f"{1 - look.reordered.mean():.1%} are wrong: bring the rows of its last layer into the order of the data set"
    )


def no_better_than_chance(planned: Planned, foreign: Foreign) -> str:
    """Return what may be wrong with a network that knows nothing of the images, and what to look at."""
    words = ["robustbench-msda", "models", "inspect", str(planned.path), "--model", foreign.model]
    words += ["--dataset", foreign.dataset]
    look = "look for its classes where it was published" if is_published(planned) else f"see: {shlex.join(words)}"
    return (
        "hardly better than chance with any usual normalisation: its classes may be in another order, or its weights "
        f"untrained or of other images; {look}"
    )
