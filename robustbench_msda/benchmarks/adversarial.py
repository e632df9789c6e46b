"""Attacks on the test images, with the gradients of the evaluated network itself or of a substitute.

A cell without a source is a white box. A source is the substitute whose attacked images the network is shown: a gray
box where its model source is the network's own, a black box where it is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.benchmarks.adversarial_sets import keeping, read_rows, set_path, sets_of
from robustbench_msda.benchmarks.attack_checks import FLAT, Watch, put_back, refused
from robustbench_msda.benchmarks.attack_scores import attack_scores
from robustbench_msda.benchmarks.base import (
    Basis,
    Missing,
    OnTestImages,
    Setting,
    as_network_input,
    part_cells,
    test_batches,
)
from robustbench_msda.records import Batch, Cell, Predictions, Score, World, level_value
from robustbench_msda.streams import stream

if TYPE_CHECKING:
    from robustbench_msda.attacks.base import Attack, Moved

# The attacks of seed 004 as its code ran them (FMix, analysis/adversarial_linf.py): foolbox's defaults.
FIVE = (
    "fgsm()",
    "pgd(steps=40, rel_stepsize=0.03333333333333333)",
    "bim(steps=10, rel_stepsize=0.2)",
    "uniform_noise()",
    "deepfool(steps=50, candidates=10, overshoot=0.02)",
)
FMIX_LEVELS = (
    *("0", "0.0005", "0.001", "0.0015", "0.002", "0.003", "0.005"),
    *("0.01", "0.02", "0.03", "0.1", "0.3", "0.5", "1.0"),
)
# Those of them between which the error of CIFAR networks rises from clean to all wrong.
SIX_LEVELS = ("0.001", "0.002", "0.005", "0.01", "0.03", "0.1")
FIVE_L2 = (
    "l2_fgsm()",
    "l2_pgd(steps=50, rel_stepsize=0.025)",
    "l2_bim(steps=10, rel_stepsize=0.2)",
    "l2_uniform_noise()",
    "l2_deepfool(steps=50, candidates=10, overshoot=0.02)",
)
# Around the 0.5 of RobustBench's CIFAR-10 table.
L2_LEVELS = ("0.1", "0.25", "0.5", "1.0")


class Stimulus(NamedTuple):
    """A batch of clean images (B, C, H, W) in [0, 1], their labels and positions, and what an attack made of them."""

    images: Tensor
    labels: Tensor
    positions: Tensor
    moved: Moved


@dataclass(frozen=True)
class UnderAttack(OnTestImages):
    """Attacks at several ε; an image the network gets wrong unattacked counts as wrong.

    Attributes:
        name: its stored name.
        attacks: canonical texts of the attacks, the conditions of its cells.
        levels: ε in pixel units, as text.
    """

    name: str
    attacks: tuple[str, ...]
    levels: tuple[str, ...] = ("1/255", "2/255", "4/255", "8/255")
    version: int = 1
    keeps_logits: bool = False

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every attack at every ε, part by part; then the same of every other substitute, where ε is not 0."""
        others = [source for source in setting.substitutes if source != fingerprint]
        for source in ("", *others):
            for attack in self.attacks:
                for level in self.levels:
                    if not source or level_value(level) > 0:
                        yield from part_cells(Cell(fingerprint, self.name, attack, level, source), self, setting)

    def passes(self, cell: Cell, setting: Setting) -> int:
        """Return what the attack costs; one whose images are made once costs it at the first ε."""
        attack = parsed(cell)
        first = next((level for level in self.levels if level_value(level) > 0), "")
        if level_value(cell.level) == 0 or (attack.once and cell.level != first):
            return 1
        # Where a network has no sets at all the world of this one need not be worked out, a hash for every cell.
        some = setting.adversarial is not None and sets_of(setting.adversarial, cell).exists()
        path = self.kept(cell, setting) if some else None
        return 1 if path and path.exists() else attack.passes

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:
        """Yield the attacked test images, each with the size of its change, and what failed a check.

        Raises:
            UserError: the network cannot be attacked.
        """
        from robustbench_msda.attacks.base import check_ball, clip_to_ball

        norm, epsilon = parsed(cell).norm, level_value(cell.level)
        watch = Watch(model)
        for images, labels, index, moved in self.moved(cell, setting, model):
            attacked, checks = put_back(images, clip_to_ball(images, moved.images, epsilon, norm))
            if moved.flat is not None:
                checks[FLAT] = int(moved.flat.sum())
            delta = check_ball(images, attacked, epsilon, norm)
            yield Batch(attacked, labels, index, delta_max=delta, checks=checks | watch.checks(images))

    def moved(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Stimulus]:
        """Yield the test images and what the attack makes of ``model`` or the substitute, before the last clipping.

        Images that several cells read are read where they are kept, or kept as they are made: those of a substitute,
        by itself too, and those that are the same for every ε.
        """
        path = self.kept(cell, setting)
        if path and path.exists():
            yield from self.read(path, cell, setting)
            return
        attacked = setting.substitutes[cell.source]() if cell.source else model
        fresh = made(cell, setting, attacked, self.version)
        shared = cell.source or cell.fingerprint in setting.substitutes or parsed(cell).once
        yield from keeping(fresh, path, self.images(cell, setting)) if path and shared else fresh

    def kept(self, cell: Cell, setting: Setting) -> Path | None:
        """Return where the attacked images of ``cell`` are kept, if they are; None where they cannot be."""
        if setting.adversarial is None or level_value(cell.level) == 0:
            return None
        world = World(self.data(setting), self.version, setting.limit)
        return set_path(setting.adversarial, cell._replace(level="") if parsed(cell).once else cell, world)

    def read(self, path: Path, cell: Cell, setting: Setting) -> Iterator[Stimulus]:
        """Yield the test images and what is kept of ``cell`` at ``path``."""
        first = 0
        for images, labels, index in clean_batches(cell, setting):
            yield Stimulus(images, labels, index, read_rows(path, first, self.images(cell, setting), images))
            first += len(images)

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield the scores of every attack and ε, and the worst case over several attacks.

        ``error`` is the share of images that are wrong after the attack.
        """
        yield from attack_scores(cells, classes, basis, self.attacks)


@dataclass(frozen=True)
class AttackSuite(UnderAttack):
    """Attacks at several ε, and their worst case image by image: run where it is named."""

    def unasked(self, setting: Setting) -> Missing | None:
        """Return what it costs: it is run where it is named."""
        own = replace(setting, substitutes={})
        cost = sum(self.passes(cell, own) for cell in self.cells("", own) if cell.part == 0)
        return Missing(f"{cost:,} forward passes an image", "name it in --benchmarks to run it")


@dataclass(frozen=True)
class AutoAttacked(AttackSuite):
    """AutoAttack's standard version, where its package is installed: run where it is named."""

    def needs(self, setting: Setting) -> Missing | None:
        """Return that the package is missing, or that there are too few classes."""
        from robustbench_msda.attacks.ensemble import FEWEST_CLASSES, PACKAGE, is_installed

        if not is_installed():
            return Missing(f"the package {PACKAGE} is not installed", "install it from github.com/fra31/auto-attack")
        if (classes := len(setting.dataset.classes)) < FEWEST_CLASSES:
            reason = f"AutoAttack's standard version aims at nine other classes, the data set has {classes} in all"
            return Missing(reason, "run linf_attacks or l2_attacks")
        return None


def attacks_of(dataset: str) -> tuple[UnderAttack, ...]:
    """Return the attacks on networks that classify ``dataset``."""
    # RobustBench's ε in the L∞ ball: 4/255 on ImageNet, 8/255 on CIFAR.
    epsilon = "4/255" if dataset.startswith("imagenet") else "8/255"
    return (
        UnderAttack("fgsm", ("fgsm()",)),
        # 10 steps of ε/4: 2/255 at ε = 8/255, the common short PGD.
        UnderAttack("pgd", ("pgd(steps=10, rel_stepsize=0.25)",)),
        AttackSuite("linf_attacks", FIVE, SIX_LEVELS),
        AttackSuite("fmix_attacks", FIVE, FMIX_LEVELS),
        AttackSuite("l2_attacks", FIVE_L2, L2_LEVELS),
        AutoAttacked("autoattack", ("autoattack()",), (epsilon,)),
        AutoAttacked("l2_autoattack", ("l2_autoattack()",), ("0.5",)),
    )


def parsed(cell: Cell) -> Attack:
    """Return the attack that the condition of ``cell`` names; foolbox is imported only here."""
    from robustbench_msda import attacks

    return attacks.parse(cell.condition)


def clean_batches(cell: Cell, setting: Setting) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the clean images of a part: (B, C, H, W) float32 on the device, labels (B,), index (B,)."""
    for pixels, labels, index in test_batches(cell, setting):
        yield as_network_input(pixels, setting.device), labels, index


def made(cell: Cell, setting: Setting, model: nn.Module, version: int) -> Iterator[Stimulus]:
    """Yield the clean images of ``cell`` and what its attack makes of them against ``model``.

    Each image has a stream of its own, whoever is attacked: its key is the benchmark, its ``version``, the attack, ε
    and the image.
    """
    from robustbench_msda.attacks.base import Moved

    attack, epsilon = parsed(cell), level_value(cell.level)
    for images, labels, index in clean_batches(cell, setting):
        if epsilon == 0:
            yield Stimulus(images, labels, index, Moved(images))
            continue
        keys = ((cell.benchmark, version, cell.condition, cell.level, int(i)) for i in index)
        start = torch.from_numpy(np.stack([attack.draw(stream(*key), tuple(images.shape[1:])) for key in keys]))
        target = labels.to(setting.device)
        with refused(cell, images), torch.enable_grad():
            moved = attack.run(model, images, target, epsilon, start.to(setting.device))
        yield Stimulus(images, labels, index, moved)
