"""Training methods: ``AUGMENTATIONS`` is the table; a name in it trains end to end."""

from __future__ import annotations

from robustbench_msda import expressions
from robustbench_msda.augmentations.adversarial_training import AdversarialTraining
from robustbench_msda.augmentations.alternate import Alternate
from robustbench_msda.augmentations.augmix import AugMix
from robustbench_msda.augmentations.autoaugment_star import AutoAugmentStar
from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.augmentations.comixup import CoMixup
from robustbench_msda.augmentations.cutmix import CutMix
from robustbench_msda.augmentations.cutout import Cutout
from robustbench_msda.augmentations.dcutmix import DCutMix
from robustbench_msda.augmentations.dmixup import DMixup
from robustbench_msda.augmentations.dropmix import DropMix
from robustbench_msda.augmentations.dynmix import DynMix
from robustbench_msda.augmentations.fast_autoaugment import FastAutoAugment
from robustbench_msda.augmentations.fmix import FMix
from robustbench_msda.augmentations.gmix import GMix
from robustbench_msda.augmentations.hmix import HMix
from robustbench_msda.augmentations.manifold_mixup import ManifoldMixup
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.augmentations.puzzlemix import PuzzleMix
from robustbench_msda.augmentations.random_autoaugment_star import RandomAutoAugmentStar
from robustbench_msda.augmentations.saliency_dcutmix import SaliencyDCutMix
from robustbench_msda.augmentations.saliencymix import SaliencyMix
from robustbench_msda.augmentations.stochastic_mixup_cutmix import StochasticMixupCutMix
from robustbench_msda.augmentations.unbounded_mixup import UnboundedMixup
from robustbench_msda.augmentations.vanilla import Vanilla

AUGMENTATIONS: dict[str, type] = {
    "vanilla": Vanilla,
    "cutout": Cutout,
    "mixup": Mixup,
    "manifold_mixup": ManifoldMixup,
    "unbounded_mixup": UnboundedMixup,
    "dmixup": DMixup,
    "cutmix": CutMix,
    "dcutmix": DCutMix,
    "saliencymix": SaliencyMix,
    "saliency_dcutmix": SaliencyDCutMix,
    "fmix": FMix,
    "hmix": HMix,
    "gmix": GMix,
    "stochastic_mixup_cutmix": StochasticMixupCutMix,
    "puzzlemix": PuzzleMix,
    "comixup": CoMixup,
    "augmix": AugMix,
    "dynmix": DynMix,
    "autoaugment_star": AutoAugmentStar,
    "random_autoaugment_star": RandomAutoAugmentStar,
    "fast_autoaugment": FastAutoAugment,
    "adversarial_training": AdversarialTraining,
    "dropmix": DropMix,
    "alternate": Alternate,
}


def parse(text: str) -> Augmentation:
    """Return the method that ``text`` names, such as ``dropmix(0.4, of=cutmix)``.

    Raises:
        UserError: the text is malformed or an argument is refused.
        UnknownName: a name is not in ``AUGMENTATIONS``.
    """
    method: Augmentation = expressions.parse(text, AUGMENTATIONS, "augmentation")
    return method


def canonical(text: str) -> str:
    """Return ``text`` with every field written: what a recipe hashes."""
    return expressions.canonical(parse(text), AUGMENTATIONS)


def short(text: str) -> str:
    """Return ``text`` with only what differs from the defaults: what tables print."""
    return expressions.short(parse(text), AUGMENTATIONS)
