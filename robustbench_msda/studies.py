"""Studies: a TOML file that names a grid of recipes, the benchmarks they are put to, and the claim they test."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robustbench_msda import augmentations
from robustbench_msda.errors import MissingData, UserError, pick, unknown
from robustbench_msda.recipes import Recipe, make_recipe

Value = int | float | str


class Scale(BaseModel):
    """What a scale of a study changes: keys of its sections, replaced one by one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: dict[str, Any] = {}
    grid: dict[str, list[Value]] = {}
    benchmarks: dict[str, int] = {}


class Study(BaseModel):
    """What a claim needs.

    Attributes:
        name: the file's, without suffix.
        claim: one sentence.
        feeds: the paper tables it feeds, such as ``classdep.T1``.
        recipe: fields of every recipe, or a ``preset``.
        grid: fields of ``Recipe`` and their values; every combination is trained. The first augmentation is the
            baseline of comparisons.
        override: rows such as ``{model = "wrn_28_2", augmentation = "dropmix(0.5, of=cutmix)"}``: where the other
            fields hold, the grid's augmentation of the same methods takes these arguments.
        benchmarks: name to how many test images, 0 for all.
        scale: named changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    claim: str
    feeds: tuple[str, ...] = ()
    recipe: dict[str, Any]
    grid: dict[str, list[Value]] = Field(min_length=1)
    override: list[dict[str, Value]] = []
    benchmarks: dict[str, int] = Field(min_length=1)
    scale: dict[str, Scale] = {}

    def recipes(self) -> list[Recipe]:
        """Return the recipe of every combination of the grid, each once, in its order.

        Raises:
            UserError: a field is unknown or out of range, or an augmentation cannot be read.
        """
        found: dict[str, Recipe] = {}
        for settings in self.combinations():
            where = f"study {self.name}"
            if "augmentation" in settings:
                settings["augmentation"] = self.overridden(settings)
            recipe = make_recipe(settings, where)
            found[recipe.id] = recipe
        return list(found.values())

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield the settings of every combination of the grid."""
        for values in itertools.product(*self.grid.values()):
            yield self.recipe | dict(zip(self.grid, values, strict=True))

    def overridden(self, settings: Mapping[str, Any]) -> str:
        """Return the canonical augmentation of ``settings``, with the arguments of the override that fits, if any."""
        text = augmentations.canonical(str(settings["augmentation"]))
        for row in self.override:
            others = {name: value for name, value in row.items() if name != "augmentation"}
            wanted = augmentations.canonical(str(row.get("augmentation", text)))
            if methods(wanted) == methods(text) and all(settings.get(name) == value for name, value in others.items()):
                return wanted
        return text

    def scaled(self, name: str) -> Study:
        """Return the study at one of its scales, under a name of its own: results of two scales never meet."""
        change = pick(self.scale, name, f"scale of study {self.name}")
        return self.model_copy(
            update={
                "name": f"{self.name}-{name}",
                "recipe": self.recipe | change.recipe,
                "grid": self.grid | change.grid,
                "benchmarks": self.benchmarks | change.benchmarks,
            }
        )


def methods(text: str) -> list[str]:
    """Return the names of the methods in a canonical text, from the outside in."""
    return re.findall(r"([a-z_][a-z_0-9]*)\(", text)


def load_study(path: Path) -> Study:
    """Return the study in the TOML file at ``path``.

    Raises:
        MissingData: there is no such file.
        UserError: it is not TOML, or a key is unknown, missing or of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingData(f"no study at {path}; the studies here are in evaluations/") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} is not a study in TOML: {error}") from None
    if strange := [key for key in content if key not in Study.model_fields]:
        raise unknown(strange[0], [name for name in Study.model_fields if name != "name"], f"key in {path}:")
    try:
        return Study.model_validate(content | {"name": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {field}: {first['msg']}") from None
