"""What a network of the page was trained by: its recipe and the command that trains it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from robustbench_msda.recipes import Recipe

# What the command takes besides --set.
OPTIONS = ("model", "augmentation", "seed", "epochs")


def train_command(recipe: Mapping[str, object]) -> str:
    """Return the command that trains ``recipe``, a recipe as JSON has it; what is a default is not written."""
    written = {
        name: value
        for name, value in recipe.items()
        if name not in Recipe.model_fields or value != default(name) or name in ("model", "epochs")
    }
    options = [f"--{name} {shlex.quote(str(written[name]))}" for name in OPTIONS if name in written]
    others = [name for name in sorted(written) if name not in (*OPTIONS, "dataset")]
    settings = [f"--set {shlex.quote(f'{name}={toml(written[name])}')}" for name in others]
    return " ".join(["robustbench-msda train", shlex.quote(str(recipe["dataset"])), *options, *settings])


def default(name: str) -> object:
    """Return the default of a field of ``Recipe`` as JSON has it; None where it has none."""
    field = Recipe.model_fields[name]
    return None if field.is_required() else json.loads(json.dumps(field.default))


def toml(value: object) -> str:
    """Return ``value`` as TOML writes it, but for text, which needs no quotes on a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {json.dumps(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


def recipe_lines(recipe: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of ``recipe`` as text, but for empty ones and the seed."""
    return {name: toml(value) for name, value in sorted(recipe.items()) if value not in ({}, [], "") and name != "seed"}
