"""Rows of a study that speak of some of its networks: which those are, and what is said of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from robustbench_msda import augmentations
from robustbench_msda.errors import UserError, unknown
from robustbench_msda.recipes import Recipe


class Transfer(BaseModel):
    """Attacks on some networks of a study whose images are shown to all of them, in a gray or a black box.

    Attributes:
        sources: rows, each for the networks that it fits: those whose recipe holds what the row's fields say, such as
            ``{augmentation = "vanilla", seed = 0}``.
        benchmarks: attacks among the study's benchmarks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[list[dict[str, Any]], Field(min_length=1)]
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]

    def chosen(self, recipes: Sequence[Recipe], where: str) -> list[Recipe]:
        """Return those of ``recipes`` that a row of ``sources`` fits.

        Raises:
            UserError: a row names what is no field, or fits none.
        """
        found: dict[str, Recipe] = {}
        for row in self.sources:
            if strange := [name for name in row if name not in Recipe.model_fields]:
                raise unknown(strange[0], list(Recipe.model_fields), f"field in a row of transfer.sources in {where}:")
            fitting = [recipe for recipe in recipes if fits(row, recipe)]
            if not fitting:
                raise UserError(f"{where}: transfer.sources: expected networks of the grid, found none with {row}")
            found |= {recipe.id: recipe for recipe in fitting}
        return list(found.values())


def fits(row: Mapping[str, Any], recipe: Recipe) -> bool:
    """Return whether ``recipe`` holds what the fields of ``row`` say."""
    given = {name: canonical(str(value)) if name == "augmentation" else value for name, value in row.items()}
    return all(getattr(recipe, name) == value for name, value in given.items())


def spoken(row: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """Return the fields that a row of ``override`` sets in ``settings``; None where it does not fit.

    Raises:
        UserError: the row says nothing, or names what is no field.
    """
    fields = {name: value for name, value in row.items() if name != "set"}
    if strange := [name for name in fields if name not in Recipe.model_fields]:
        raise unknown(strange[0], ["set", *Recipe.model_fields], f"field in a row of override in {where}:")
    others = {name: value for name, value in fields.items() if name != "augmentation"}
    if any(settings.get(name) != value for name, value in others.items()):
        return None
    ours = canonical(str(settings.get("augmentation", "vanilla")))
    theirs = canonical(str(row.get("augmentation", ours)))
    if "set" in row:
        return as_table(row["set"], where) if theirs == ours else None
    if "augmentation" not in row:
        raise UserError(
            f"{where}: override: expected augmentation or set in every row, found {', '.join(row) or 'none'}"
        )
    return {"augmentation": theirs} if methods(theirs) == methods(ours) else None


def as_table(value: object, where: str) -> dict[str, Any]:
    """Return ``value``, or raise ``UserError``: what follows ``set`` is a table of fields."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: override: set: expected a table such as {{ epochs = 200 }}, found {value!r}")
    return value


@cache
def canonical(text: str) -> str:
    """Return ``text`` with every field written; a grid asks for the same few many times."""
    return augmentations.canonical(text)


def methods(text: str) -> list[str]:
    """Return the names of the methods in a canonical text, from the outside in."""
    return re.findall(r"([a-z_][a-z_0-9]*)\(", text)
