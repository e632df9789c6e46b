"""What a study has still to do, and how long that will take, said before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import DamagedData, MissingData, pick
from robustbench_msda.evaluation import Place, setting_of
from robustbench_msda.evaluation.planning import Task, tasks_of
from robustbench_msda.models.checkpoints import network
from robustbench_msda.recipes import Recipe
from robustbench_msda.results.store import CheckpointRecord
from robustbench_msda.speeds import Speeds, measuring, seconds_per_pass
from robustbench_msda.studies import Study, Trial
from robustbench_msda.training.loop import CHECKPOINT
from robustbench_msda.verbs import Planned

# What every row of a study's grid shows.
SHOWN = ("dataset", "model", "augmentation", "epochs", "seed")


@dataclass(frozen=True)
class Todo:
    """What one network has still to do.

    Attributes:
        trained: whether it is trained.
        cells: that it is put to, of the data and benchmarks that are here.
        done: of them, how many are predicted already.
        hours: of one worker, for what is missing; None where it could not be measured.
    """

    trained: bool
    cells: int
    done: int
    hours: float | None


@dataclass(frozen=True)
class Row:
    """Networks of a study that differ in nothing but the seed.

    Attributes:
        part: of the study; empty where it has none.
        recipe: of the first.
        also: the fields in which the recipes of its part differ, beside those that every row shows, and its values.
        networks: what each has still to do.
    """

    part: str
    recipe: Recipe
    also: str
    networks: tuple[Todo, ...]


@dataclass(frozen=True)
class Estimate:
    """What a study has still to do.

    Attributes:
        networks: what each has still to do.
        lacking: a line for everything that is not here, with how to get it, and for why something was not measured.
        rows: the grids.
    """

    networks: tuple[Todo, ...]
    lacking: tuple[str, ...]
    rows: tuple[Row, ...]


def hours(networks: Sequence[Todo]) -> float:
    """Return the hours of one worker for ``networks``; nan where those of one of them are not known."""
    return sum(math.nan if each.hours is None else each.hours for each in networks)


def estimate(study: Study, place: Place, runs: Path) -> Estimate:
    """Return what ``study`` has still to do, at the speed of a few steps on this machine with torch's threads as set.

    A speed is measured once for each network, augmentation and size of images, for about a minute in all. Data that are
    not here are named, and what needs them is not measured.

    Raises:
        UserError: the study names something that does not exist.
    """
    trials = study.trials()
    known = {record.recipe_id: record for record in place.store.checkpoints().values()}
    here = Here(place)
    substitutes = tuple((recipe, tuple(attacks.items())) for recipe, attacks in study.substitutes())
    todo: dict[str, Todo] = {}
    with measuring(place) as speeds:
        for trial in trials:
            trained = (runs / trial.recipe.folder / CHECKPOINT).exists()
            own = left(trial, here, speeds, known.get(trial.recipe.id), trained=trained)
            todo[trial.recipe.id] = with_transfer(own, trial.recipe, substitutes, here, speeds, known)
    rows = (row for name, part in study.parts().items() for row in rows_of(name, part.recipes(), todo))
    return Estimate(tuple(todo.values()), (*here.lacking, *speeds.why), tuple(rows))


def rows_of(part: str, recipes: Sequence[Recipe], todo: Mapping[str, Todo]) -> Iterator[Row]:
    """Yield a row for every group of ``recipes``, in their order."""
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(recipe.group, []).append(recipe)
    others = [name for name in Recipe.model_fields if name not in SHOWN]
    differing = [name for name in others if len({str(getattr(recipe, name)) for recipe in recipes}) > 1]
    for group in groups.values():
        also = ", ".join(f"{name}={getattr(group[0], name)}" for name in differing)
        yield Row(part, group[0], also, tuple(todo[recipe.id] for recipe in group))


def left(trial: Trial, here: Here, speeds: Speeds, record: CheckpointRecord | None, *, trained: bool) -> Todo:
    """Return what one network has still to do; without a ``record`` its checkpoint is not evaluated."""
    for name in trial.benchmarks:
        pick(benchmarks_of(trial.recipe.dataset), name, f"benchmark of {trial.recipe.dataset}")
    sets = here.sets(trial.recipe.dataset, trial.recipe.extra_dataset)
    if not sets:
        return Todo(trained, 0, 0, None)
    tasks = here.tasks(sets[0], tuple(trial.benchmarks.items()), record.fingerprint if record else "")
    missing = [task for task in tasks if not task.done]
    spent: list[float | None] = []
    if not trained:
        images = trial.recipe.epochs * sum(len(each.labels("train")) for each in sets)
        spent.append(times(images, speeds.training(trial.recipe, sets)))
    if missing:
        spent.append(times(sum(task.passes for task in missing), speeds.passing(trial.recipe, sets[0])))
    known = [seconds for seconds in spent if seconds is not None]
    return Todo(trained, len(tasks), len(tasks) - len(missing), sum(known) / 3600 if known == spent else None)


def with_transfer(
    own: Todo,
    recipe: Recipe,
    substitutes: Sequence[tuple[Recipe, tuple[tuple[str, int], ...]]],
    here: Here,
    speeds: Speeds,
    known: Mapping[str, CheckpointRecord],
) -> Todo:
    """Return ``own`` and what the network of ``recipe`` has to do with attacked images of other networks.

    It answers those of every other substitute, a pass an image; where it is one itself it is attacked, once.
    """
    sets = here.sets(recipe.dataset, recipe.extra_dataset)
    given = [(each, attacks) for each, attacks in substitutes if each.dataset == recipe.dataset]
    if not sets or not given:
        return own
    cells, missing, passes = 0, 0, 0
    for each, attacks in given:
        source = known[each.id].fingerprint if each.id in known else "unknown"
        shown = [on_source(task, source) for task in here.tasks(sets[0], attacks, fingerprint_of(recipe, known))]
        if each.id == recipe.id:
            passes += sum(task.passes - task.images for task in shown)
            continue
        left_over = [task for task in shown if not here.place.store.has(task.cell, task.world)]
        cells, missing = cells + len(shown), missing + len(left_over)
        passes += sum(task.images for task in left_over)
    speed = speeds.passing(recipe, sets[0]) if passes else 0.0
    hours = None if own.hours is None or speed is None else own.hours + passes * speed / 3600
    return Todo(own.trained, own.cells + cells, own.done + cells - missing, hours)


def fingerprint_of(recipe: Recipe, known: Mapping[str, CheckpointRecord]) -> str:
    """Return the fingerprint of the network of ``recipe``; empty where it is not evaluated."""
    return known[recipe.id].fingerprint if recipe.id in known else ""


def on_source(task: Task, source: str) -> Task:
    """Return ``task`` on what its attack makes of ``source``."""
    return replace(task, cell=task.cell._replace(source=source))


def times(count: int, speed: float | None) -> float | None:
    """Return the seconds that ``count`` images take; None at an unknown speed."""
    return None if speed is None else count * speed


class Here:
    """The data sets and benchmark files of a place, each looked for once; ``lacking`` says what is not there."""

    def __init__(self, place: Place) -> None:
        self.lacking: dict[str, None] = {}
        self.place = place
        self.sets = cache(self._sets)
        self.tasks = cache(self._tasks)

    def _sets(self, dataset: str, extra: str) -> list[Dataset]:
        """Return the data sets that train a network and, the first, test it; nothing where one is not here."""
        data_dir = Path(self.place.data_dir)
        try:
            found = [open_dataset(name, data_dir) for name in filter(None, (dataset, extra))]
            for each in found:
                each.labels("train")
            found[0].labels("test")
        except (MissingData, DamagedData) as error:
            self.lacking[str(error)] = None
            return []
        return found

    def _tasks(self, dataset: Dataset, limits: tuple[tuple[str, int], ...], fingerprint: str) -> list[Task]:
        """Return the cells of one network on the benchmarks that are here; without a fingerprint none is done."""
        found: list[Task] = []
        for name, limit in limits:
            benchmark = pick(benchmarks_of(dataset.name), name, f"benchmark of {dataset.name}")
            setting = setting_of(dataset, self.place, limit)
            if missing := benchmark.needs(setting):
                self.lacking[f"{benchmark.name}: {missing.reason}; {missing.remedy}"] = None
            else:
                # No checkpoint has an empty fingerprint.
                found += tasks_of(benchmark, fingerprint, setting, self.place.store)
        return found


def evaluation_hours(planned: Planned, place: Place) -> float:
    """Return the hours that the missing cells of ``planned`` take."""
    if not planned.cells.missing:
        return 0.0
    model = network(planned.checkpoint, place.device, planned.trusted)
    side = planned.cells.tasks[0].setting.dataset.side
    return planned.cells.passes * seconds_per_pass(model, side, place) / 3600
