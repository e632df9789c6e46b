"""Studies: a TOML file that names grids of recipes, the benchmarks they are put to, and the claim they test."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from robustbench_msda.errors import MissingData, UserError, pick, unknown
from robustbench_msda.recipes import Recipe, make_recipe
from robustbench_msda.study_rows import Transfer, canonical, spoken

# A scale that every study with scales has: the study as it is written.
PAPER = "paper"

Atom = int | float | str
# A table is a value of a field such as model_options.
Value = Atom | dict[str, Atom]
Grid = dict[str, Annotated[list[Value], Field(min_length=1)]]
# It becomes a part of file names.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,40}$")]


class Change(BaseModel):
    """What a part or a scale changes: keys of the study's sections, replaced one by one.

    Attributes:
        recipe: fields of every recipe.
        grid: fields and their values.
        benchmarks: name to limit.
        feeds: tables it feeds, in place of the study's.
        stands: more of what stands for what.
        override: rows that come before the study's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: dict[str, Any] = {}
    grid: Grid = {}
    benchmarks: dict[str, int] = {}
    feeds: tuple[str, ...] = ()
    stands: dict[str, str] = {}
    override: list[dict[str, Any]] = []


class Scale(Change):
    """A change of the whole study, and the parts and the transfer it has then, in place of the study's."""

    transfer: Transfer | None = None
    part: dict[Name, Change] = {}


@dataclass(frozen=True)
class Trial:
    """A recipe of a study, and what the network it trains is put to: benchmark name to limit."""

    recipe: Recipe
    benchmarks: Mapping[str, int]


class Study(BaseModel):
    """What a claim needs.

    Attributes:
        name: the file's, without suffix.
        claim: one sentence.
        feeds: the paper tables it feeds, such as ``classdep.T1``.
        stands: data sets, models and augmentations of these tables, and which of its own stands for each: its numbers
            are put there, marked.
        recipe: fields of every recipe, or a ``preset``.
        grid: fields of ``Recipe`` and their values; every combination is trained. The first augmentation is the
            baseline of comparisons.
        override: rows, each for the combinations that it fits: those whose ``[recipe]`` and ``[grid]`` hold what the
            row's fields say. ``{model = "wrn_28_2", augmentation = "dropmix(0.5, of=cutmix)"}`` gives an augmentation
            of the same methods these arguments. ``{augmentation = "mixup", set = {weight_decay = 1e-4}}`` sets fields
            where the augmentation is this one, arguments and all; ``set`` may name a ``preset``. Where two rows speak
            of one field, the first holds.
        benchmarks: name to how many test images, 0 for all; one number a benchmark, whatever the part.
        transfer: of which networks attacked images are shown to all; none where it is absent.
        part: several grids under one claim, such as the tables of a paper: each is the study with some changes. A
            study with parts has no other grids; what it says itself is what they share.
        scale: named changes. A study that has any has ``paper`` too: itself, as it is written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    claim: str
    feeds: tuple[str, ...] = ()
    stands: dict[str, str] = {}
    recipe: dict[str, Any] = {}
    grid: Grid = {}
    override: list[dict[str, Any]] = []
    benchmarks: dict[str, int] = {}
    transfer: Transfer | None = None
    part: dict[Name, Change] = {}
    scale: dict[Name, Scale] = {}

    def parts(self) -> dict[str, Study]:
        """Return every part as a study of its own, by name; itself, under no name, where it has none."""
        if not self.part:
            return {"": self}
        return {name: self.changed(change, name).model_copy(update={"part": {}}) for name, change in self.part.items()}

    def only(self, name: str) -> Study:
        """Return one part, under a name of its own, without the transfer, which is of the whole study."""
        if not self.part:
            raise UserError(f"study {self.name} has no parts: leave --part {name} out")
        return pick(self.parts(), name, f"part of study {self.name}").model_copy(update={"transfer": None})

    def scaled(self, name: str) -> Study:
        """Return the study at one of its scales, under a name of its own: results of two scales never meet."""
        if not self.scale:
            raise UserError(f"study {self.name} has no scales: leave --scale {name} out")
        if name == PAPER and PAPER not in self.scale:
            return self
        change = pick({PAPER: Scale(), **self.scale}, name, f"scale of study {self.name}")
        own = {"part": change.part, "scale": {}, "transfer": change.transfer or self.transfer}
        return self.changed(change, name).model_copy(update=own)

    def changed(self, change: Change, name: str) -> Study:
        """Return the study with ``change``, its name followed by ``name``."""
        return self.model_copy(
            update={
                "name": f"{self.name}-{name}",
                "feeds": change.feeds or self.feeds,
                "stands": self.stands | change.stands,
                "recipe": self.recipe | change.recipe,
                "grid": self.grid | change.grid,
                "benchmarks": self.benchmarks | change.benchmarks,
                "override": [*change.override, *self.override],
            }
        )

    def trials(self) -> list[Trial]:
        """Return every recipe of every part once, in order, with the benchmarks of all parts it is in.

        Raises:
            UserError: a part has no grid or no benchmarks, a field is unknown or out of range, or an augmentation
                cannot be read.
        """
        found: dict[str, Trial] = {}
        for part in self.parts().values():
            for recipe in part.combined():
                earlier = found[recipe.id].benchmarks if recipe.id in found else {}
                found[recipe.id] = Trial(recipe, {**earlier, **part.benchmarks})
        self.limits()
        return list(found.values())

    def recipes(self) -> list[Recipe]:
        """Return every recipe once, in order; raise as ``trials`` does."""
        return [trial.recipe for trial in self.trials()]

    def limits(self) -> dict[str, int]:
        """Return every benchmark of the study and its limit.

        Raises:
            UserError: two parts limit one benchmark to different numbers.
        """
        found: dict[str, int] = {}
        for part in self.parts().values():
            for name, limit in part.benchmarks.items():
                if found.setdefault(name, limit) != limit:
                    raise UserError(
                        f"study {part.name}: benchmarks.{name}: expected one limit in all parts, found {found[name]} "
                        f"and {limit}"
                    )
        return found

    def substitutes(self) -> list[tuple[Recipe, dict[str, int]]]:
        """Return every network whose attacked images are shown to all, and the attacks with their limits.

        Raises:
            UserError: a row fits no network, or an attack is no benchmark of the study.
        """
        if self.transfer is None:
            return []
        where, limits = f"study {self.name}", self.limits()
        for name in self.transfer.benchmarks:
            pick(limits, name, f"benchmark of {where} in transfer.benchmarks:")
        attacks = {name: limits[name] for name in self.transfer.benchmarks}
        return [(recipe, attacks) for recipe in self.transfer.chosen(self.recipes(), where)]

    def combined(self) -> Iterator[Recipe]:
        """Yield the recipe of every combination of its own grid; raise as ``trials`` does."""
        where = f"study {self.name}"
        for section in ("grid", "benchmarks"):
            if not getattr(self, section):
                raise UserError(
                    f"{where}: expected [{section}] with at least one line, here or in the study, found none"
                )
        for values in itertools.product(*self.grid.values()):
            settings = self.overridden(self.recipe | dict(zip(self.grid, values, strict=True)))
            if "augmentation" in settings:
                settings["augmentation"] = canonical(str(settings["augmentation"]))
            yield make_recipe(settings, where)

    def overridden(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``settings`` with what the rows of ``override`` that fit it say."""
        said: dict[str, Any] = {}
        for row in self.override:
            said = {**(spoken(row, settings, f"study {self.name}") or {}), **said}
        return {**settings, **said}


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
        study = Study.model_validate(content | {"name": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {field}: {first['msg']}") from None
    if both := sorted(
        {name for parts in (study.part, *(scale.part for scale in study.scale.values())) for name in parts}
        & set(study.scale)
    ):
        raise UserError(f"{path}: {both[0]} is a part and a scale: their results would have one name; rename one")
    return study
