"""Tiny training runs: a few digits, small networks, and networks of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robustbench_msda.data import digits
from robustbench_msda.recipes import Recipe

PLAIN = """
from torch import nn

def plain(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Tanh(), nn.Flatten(), nn.Linear(400, num_classes))

def forgetful(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(400, num_classes))
"""


def plain_network(folder: Path, name: str = "plain") -> str:
    """Return the source of a network without batch norm, kept in ``folder``; ``forgetful`` has dropout."""
    (folder / "networks_of_mine.py").write_text(PLAIN)
    return f"{folder / 'networks_of_mine.py'}:{name}"


def recipe_of(**settings: object) -> Recipe:
    """Return a short recipe on digits."""
    short = {"dataset": "digits", "model": "small_cnn", "epochs": 3, "batch_size": 64, "lr": 0.05}
    return Recipe.model_validate({**short, **settings})


def few_digits(replace: Callable[[object, str, object], None]) -> None:
    """Let the data set of digits hold 160 training and 60 test images; ``replace`` sets an attribute."""
    whole = digits.load()
    few = {
        split: (images[:count], labels[:count])
        for (split, (images, labels)), count in zip(whole.items(), (160, 60), strict=True)
    }
    replace(digits, "load", lambda: few)
