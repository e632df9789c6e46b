"""Attacks on a classifier: ``ATTACKS`` is the table; their text form is the augmentations'."""

from __future__ import annotations

from robustbench_msda import expressions
from robustbench_msda.attacks.base import Attack
from robustbench_msda.attacks.gradient import FGSM, PGD

ATTACKS: dict[str, type] = {
    "fgsm": FGSM,
    "pgd": PGD,
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
