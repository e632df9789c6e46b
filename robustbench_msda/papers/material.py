"""What of ours may stand in a paper's table: score rows, the recipes behind them, and what is allowed to stand in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from robustbench_msda.conditions import STAND_INS
from robustbench_msda.errors import MissingData, UserError
from robustbench_msda.papers.printed import Number
from robustbench_msda.records import COLUMNS
from robustbench_msda.results.aggregates import check_unique
from robustbench_msda.results.scores import read_scores
from robustbench_msda.results.store import Results

MADE = "_made"
# Aggregates whose flags say one of these are of less than the paper's, or of something else.
REFUSED = ("partial:", *STAND_INS.values())
# Fields of a recipe that a printed row must name to have them otherwise, and what they are else.
USUAL = {"model_options": {}, "label_smoothing": 0.0, "extra_dataset": ""}
# Benchmarks whose condition is the text of an attack.
ATTACKS = ("fgsm", "pgd")
# The benchmark whose condition is the prepared set that people's answers are compared on.
PEOPLE = "cifar10h"
PLACE = ["benchmark", "condition", "level", "source", "subset", "flags"]
KEY = ["dataset", "model", "augmentation", "metric"]


@dataclass(frozen=True)
class Terms:
    """What may stand in for what.

    Attributes:
        substitutes: a data set, model or augmentation of the table, and which of ours stands for it; or
            ``cifar10h`` and the prepared set that stands for the official test images.
        allow_made: take stimuli that were made here where there are no scores on the official files.
    """

    substitutes: Mapping[str, str] = field(default_factory=dict)
    allow_made: bool = False

    def ours(self, number: Number) -> Number:
        """Return ``number`` with what stands in for its data set, model and augmentation."""
        dataset, model, augmentation = (
            self.substitutes.get(name, name) for name in (number.dataset, number.model, number.augmentation)
        )
        benchmark = number.benchmark
        if dataset != number.dataset and benchmark.startswith(f"{number.dataset}_"):
            benchmark = dataset + benchmark.removeprefix(number.dataset).removesuffix("_augmix")
        condition = self.substitutes.get(PEOPLE, number.condition) if benchmark == PEOPLE else number.condition
        return replace(
            number, dataset=dataset, model=model, augmentation=augmentation, benchmark=benchmark, condition=condition
        )


@dataclass(frozen=True)
class Material:
    """Score rows of one results folder, without repeated ones, and what is known of the networks.

    Attributes:
        scores: with a column ``study``.
        recipes: of networks, by fingerprint; none of a stranger.
    """

    scores: pd.DataFrame
    recipes: Mapping[str, Mapping[str, object]]

    @cached_property
    def indexed(self) -> dict[tuple[str, ...], pd.DataFrame]:
        """The rows by data set, model, augmentation and metric."""
        return {tuple(map(str, key)): rows for key, rows in self.scores.groupby(KEY, sort=False)}

    def rows(self, number: Number, by_class: str = "") -> pd.DataFrame:
        """Return the rows of our ``number``, or those of the metric ``by_class``; of one recipe, world and attack.

        Raises:
            UserError: they are of several recipes, worlds or settings of an attack, which are never averaged.
        """
        key = (number.dataset, number.model, number.augmentation, by_class or number.metric)
        found = self.indexed.get(key, self.scores.iloc[:0])
        columns = [found[name] for name in PLACE]
        meant = [self.meant(number, row, by_class) for row in zip(*columns, strict=True)]
        varied = [self.varies(who, number.variant) for who in found["fingerprint"]]
        kept: pd.DataFrame = found[np.array(meant, dtype=bool) & np.array(varied, dtype=bool)]
        check_alike(kept, number)
        return kept

    def meant(self, number: Number, row: tuple[str, ...], by_class: str) -> bool:
        """Return whether a row, its ``PLACE``, is what ``number`` is of."""
        benchmark, condition, level, source, subset, flags = row
        return (
            (benchmark, level) == (number.benchmark, number.level)
            and (benchmark in ATTACKS or condition.partition("=")[0] == number.condition)
            and (bool(by_class) or subset == "all")
            and not source
            and not any(each in flags for each in REFUSED)
        )

    def varies(self, fingerprint: str, variant: str) -> bool:
        """Return whether the recipe of a network has ``variant`` and else is as usual; True where it is not known."""
        recipe = self.recipes.get(fingerprint)
        if recipe is None:
            return not variant
        options = recipe.get("model_options")
        chosen = dict(options) if isinstance(options, dict) else {}
        name, _, value = variant.partition("=")
        if variant and str({**recipe, **chosen}.get(name)) != value:
            return False
        chosen.pop(name, None)
        others = {**recipe, "model_options": chosen}
        return all(key == name or others.get(key, usual) == usual for key, usual in USUAL.items())


def check_alike(rows: pd.DataFrame, number: Number) -> None:
    """Raise ``UserError`` where ``rows`` are of several recipes or worlds, or of attacks with several settings."""
    for column, what in (("group", "recipes"), ("world", "worlds"), ("condition", "settings")):
        if rows[column].nunique() > 1:
            studies = ", ".join(sorted(set(rows["study"])))
            raise UserError(
                f"{number.paper}.{number.table}: {number.augmentation} on {number.dataset} with {number.model} was "
                f"scored with {rows[column].nunique()} {what} ({studies}), which are never averaged; name one study: "
                f"robustbench-msda tables build STUDY {number.paper}.{number.table}"
            )


def read_material(results: Path, studies: Sequence[str]) -> Material:
    """Return the scores of ``studies`` in a results folder, and what is known of their networks.

    Raises:
        MissingData: a study has no scores.
        DamagedData: a file is not what it should be.
        UserError: one number was stored with two values.
    """
    frames = [read_scores(results / "scores" / f"{study}.csv.gz").assign(study=study) for study in studies] or [
        pd.DataFrame(columns=[*COLUMNS, "study"])
    ]
    scores = pd.concat(frames, ignore_index=True).drop_duplicates(list(COLUMNS), ignore_index=True)
    check_unique(scores)
    scores = scores.dropna(subset=["value"])
    records = Results(results).checkpoints()
    return Material(scores, {who: record.recipe for who, record in records.items() if record.recipe is not None})


def scored_studies(results: Path) -> list[str]:
    """Return the names of all scores of a results folder.

    Raises:
        MissingData: there are none.
    """
    found = sorted(path.name.removesuffix(".csv.gz") for path in (results / "scores").glob("[!.]*.csv.gz"))
    if not found:
        raise MissingData(f"no scores in {results / 'scores'}; make them with: robustbench-msda score")
    return found


def feeding(results: Path, studies: Sequence[str], table: str) -> list[str]:
    """Return those of ``studies`` whose descriptions say that they feed ``table``; all of them where none does."""
    return [study for study in studies if table in feeds(results / f"{study}.json")] or list(studies)


def feeds(path: Path) -> list[str]:
    """Return which tables the study described at ``path`` says it feeds; none where there is no description."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("feeds", [])
    except (OSError, ValueError, AttributeError):
        return []
    return [str(name) for name in found] if isinstance(found, list) else []
