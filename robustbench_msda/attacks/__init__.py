"""Attacks on a classifier: ``ATTACKS`` is the table; their text form is the augmentations'."""

from __future__ import annotations

from robustbench_msda import expressions
from robustbench_msda.attacks.base import Attack
from robustbench_msda.attacks.deepfool import DeepFool, L2DeepFool
from robustbench_msda.attacks.ensemble import AutoAttack, L2AutoAttack
from robustbench_msda.attacks.gradient import BIM, FGSM, L2BIM, L2FGSM, L2PGD, PGD
from robustbench_msda.attacks.noise import L2UniformNoise, UniformNoise

ATTACKS: dict[str, type] = {
    "fgsm": FGSM,
    "pgd": PGD,
    "bim": BIM,
    "uniform_noise": UniformNoise,
    "deepfool": DeepFool,
    "autoattack": AutoAttack,
    "l2_fgsm": L2FGSM,
    "l2_pgd": L2PGD,
    "l2_bim": L2BIM,
    "l2_uniform_noise": L2UniformNoise,
    "l2_deepfool": L2DeepFool,
    "l2_autoattack": L2AutoAttack,
}


def parse(text: str) -> Attack:
    """Return the attack that ``text`` names, such as ``pgd(steps=10, rel_stepsize=0.25)``.

    Raises:
        UserError: the text is malformed or an argument is refused.
        UnknownName: a name is not in ``ATTACKS``.
    """
    attack: Attack = expressions.parse(text, ATTACKS, "attack")
    return attack


def canonical(text: str) -> str:
    """Return ``text`` with every field written: the condition of its cells."""
    return expressions.canonical(parse(text), ATTACKS)
