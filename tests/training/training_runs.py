"""Tiny training runs: a few digits, small networks, networks of the user's own, and interruptions."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from robustbench_msda.data import digits
from robustbench_msda.models.checkpoints import load
from robustbench_msda.recipes import Recipe
from robustbench_msda.training import train

NETWORKS = """
from torch import nn

def plain(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Tanh(), nn.Flatten(), nn.Linear(400, num_classes))

def forgetful(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(400, num_classes))
"""


def plain_network(folder: Path, name: str = "plain") -> str:
    """Return the source of a network without batch norm, kept in ``folder``; ``forgetful`` has dropout."""
    (folder / "networks_of_mine.py").write_text(NETWORKS)
    return f"{folder / 'networks_of_mine.py'}:{name}"


def recipe_of(**settings: object) -> Recipe:
    """Return a short recipe on digits: three epochs of three steps."""
    short = {"dataset": "digits", "model": "small_cnn", "epochs": 3, "batch_size": 64, "lr": 0.05}
    return Recipe.model_validate({**short, **settings})


PLAIN = recipe_of()
# With everything that has a state of its own.
RICH = recipe_of(
    augmentation="dropmix(rate=0.4, of=cutmix(alpha=1.0))",
    ema=0.8,
    schedule="multi_step",
    milestones=(0.5,),
    warmup=0.2,
    label_smoothing=0.1,
    replicas=2,
)
# Whose turn it is depends on the step of the whole run: an epoch has three.
TURNS = recipe_of(augmentation="alternate(first=cutmix(alpha=1.0), second=mixup(alpha=1.0))")
RECIPES = {"plain": PLAIN, "rich": RICH, "turns": TURNS}


def few_digits(replace: Callable[[object, str, object], None]) -> None:
    """Let the data set of digits hold 160 training and 60 test images; ``replace`` sets an attribute."""
    whole = digits.load()
    few = {
        split: (images[:count], labels[:count])
        for (split, (images, labels)), count in zip(whole.items(), (160, 60), strict=True)
    }
    replace(digits, "load", lambda: few)


class Stopping:
    """Progress that is interrupted when ``step`` steps are done, and remembers what it was told."""

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.told: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.told.append((done, total))
        if done == self.step:
            raise KeyboardInterrupt


def stop(recipe: Recipe, out: Path, step: int) -> None:
    """Train until ``step`` steps are done."""
    with pytest.raises(KeyboardInterrupt):
        train(recipe, Path(), out, progress=Stopping(step))
    assert not (out / "checkpoint.safetensors").exists()


def fit(recipe: Recipe, out: Path, *stops: int) -> bytes:
    """Train, interrupted after each of ``stops`` steps, and return the bytes of the checkpoint."""
    for step in stops:
        stop(recipe, out, step)
    train(recipe, Path(), out)
    return (out / "checkpoint.safetensors").read_bytes()


def fingerprint_of(data: bytes, folder: Path) -> str:
    """Return the fingerprint of a checkpoint of which there are only bytes."""
    path = folder / "bytes.safetensors"
    path.write_bytes(data)
    return load(path).fingerprint


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))
