"""Training methods: ``AUGMENTATIONS`` is the table; a name in it trains end to end."""

from __future__ import annotations

from robustbench_msda import expressions
from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.augmentations.cutmix import CutMix
from robustbench_msda.augmentations.cutout import Cutout
from robustbench_msda.augmentations.dropmix import DropMix
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.augmentations.vanilla import Vanilla

AUGMENTATIONS: dict[str, type] = {
    "vanilla": Vanilla,
    "cutout": Cutout,
    "mixup": Mixup,
    "cutmix": CutMix,
    "dropmix": DropMix,
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
