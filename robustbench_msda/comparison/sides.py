"""The two sides of a comparison: which checkpoints, what they answered, and on which stimuli."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_msda.conditions import EXTRA, STAND_INS
from robustbench_msda.errors import UserError
from robustbench_msda.metrics.classification import class_confidence, class_counts
from robustbench_msda.records import Cell, Predictions
from robustbench_msda.results.aggregates import labels_of
from robustbench_msda.results.store import CheckpointRecord, Results, read_predictions, read_sidecar

BENCHMARK = "clean"
SEVERITIES = {"1", "2", "3", "4", "5"}
# A condition and its level.
Stimuli = tuple[str, str]


@dataclass(frozen=True)
class On:
    """What is compared: one condition of a benchmark, or the severities and corruptions that fit what is left empty."""

    benchmark: str = BENCHMARK
    condition: str = ""
    level: str = ""

    @property
    def text(self) -> str:
        """The form that is typed and stored: ``BENCHMARK:CONDITION:LEVEL`` without what is empty."""
        return ":".join(filter(None, (self.benchmark, self.condition, self.level)))

    def takes(self, cell: Cell) -> bool:
        """Return whether ``cell`` is among what is compared, its substitute aside."""
        named = cell.benchmark == self.benchmark and self.condition in ("", cell.condition)
        return named and self.level in ("", cell.level)


CLEAN = On()


@dataclass(frozen=True)
class Side:
    """The checkpoints of one side on the same images.

    Attributes:
        name: short text of the augmentation, or the source and fingerprint of a stranger.
        correct: (seeds, n) whether each answer is right; over several conditions, of each image the share that is.
        labels: (n,) classes.
        counts: (seeds, K) correct answers of each class, over all conditions.
        total: (K,) stimuli of each class, over all conditions.
        confidence: (seeds, K) mean probability of the first answer over the stimuli of each class; NaN without any.
        conditions: how many.
    """

    name: str
    correct: NDArray[np.bool_] | NDArray[np.float64]
    labels: NDArray[np.int16]
    counts: NDArray[np.int64]
    total: NDArray[np.int64]
    confidence: NDArray[np.float64]
    conditions: int = 1


def parse_on(text: str) -> On:
    """Return what ``text`` names: ``BENCHMARK``, ``BENCHMARK:CONDITION`` or ``BENCHMARK:CONDITION:LEVEL``.

    Raises:
        UserError: it has more parts, or an empty benchmark.
    """
    pieces = text.split(":")
    if len(pieces) > 3 or not pieces[0]:
        raise UserError(f"--on {text!r}: expected BENCHMARK[:CONDITION[:LEVEL]], such as cifar10_c:fog:3")
    benchmark, condition, level = [*pieces, "", ""][:3]
    name = condition if "(" in condition else condition.replace("-", "_")
    return On(benchmark.replace("-", "_"), name, level)


def groups(records: Iterable[CheckpointRecord]) -> list[list[CheckpointRecord]]:
    """Return ``records`` by all of their recipe but the seed; a stranger is a group of its own."""
    found: dict[tuple[str, str, str, str], list[CheckpointRecord]] = {}
    for record in records:
        found.setdefault((record.dataset, record.source, name_of(record), record.group), []).append(record)
    return list(found.values())


def differences(before: CheckpointRecord, after: CheckpointRecord) -> str:
    """Return in what two recipes differ besides augmentation and seed, as a flag; empty for nothing, or strangers."""
    if before.recipe is None or after.recipe is None:
        return ""
    names = [name for name, value in after.recipe.items() if before.recipe.get(name) != value]
    found = [name for name in names if name not in ("augmentation", "seed")]
    return f"recipes differ in {', '.join(found)}" if found else ""


def name_of(record: CheckpointRecord) -> str:
    """Return what a comparison calls a checkpoint: its augmentation, or a stranger's fingerprint."""
    return record.augmentation or record.fingerprint


def names_of(records: Iterable[CheckpointRecord]) -> dict[str, str]:
    """Return what each of ``records`` is called beside the others, by fingerprint: the label of its score rows."""
    columns = ["fingerprint", "group", "dataset", "model", "augmentation"]
    rows = [(each.fingerprint, each.group, each.dataset, each.source, each.augmentation) for each in records]
    frame = pd.DataFrame(rows, columns=columns, dtype=str)
    return dict(zip(frame["fingerprint"], labels_of(frame), strict=True))


def check_comparable(before: Sequence[CheckpointRecord], after: Sequence[CheckpointRecord]) -> None:
    """Raise ``UserError`` unless the two groups differ in nothing but the augmentation and the seed."""
    if not before:
        raise UserError(f"no --baseline checkpoint has the model {after[0].source!r} of the treatment; add one")
    if len(kinds := groups(before)) > 1:
        names = sorted(name_of(kind[0]) for kind in kinds)
        raise UserError(f"--baseline names several groups of {before[0].source}: {', '.join(names)}; name one")
    if before[0].classes != after[0].classes or before[0].dataset != after[0].dataset:
        raise UserError(f"baseline and treatment classify {before[0].dataset!r} and {after[0].dataset!r}; name one")
    if shared := {record.fingerprint for record in before} & {record.fingerprint for record in after}:
        raise UserError(f"checkpoint {sorted(shared)[0]} is both --baseline and --treatment; name it once")


def both_sides(
    results: Results, before: Sequence[CheckpointRecord], after: Sequence[CheckpointRecord], limit: int, on: On = CLEAN
) -> tuple[Side, Side]:
    """Return the two sides, baseline first, on the same images and conditions.

    Raises:
        UserError: a checkpoint was not evaluated there, or on other images.
    """
    found = {record.fingerprint: answers(results, record, limit, on) for record in (*before, *after)}
    first = found[before[0].fingerprint]
    for fingerprint, predictions in found.items():
        if set(predictions) != set(first):
            raise UserError(
                f"checkpoint {fingerprint} has {len(predictions)} conditions of {on.text}, "
                f"{before[0].fingerprint} has {len(first)}; evaluate both completely"
            )
    one, other = side(before, found), side(after, found)
    if not np.array_equal(one.labels, other.labels):
        raise UserError(f"{one.name} and {other.name} were evaluated on other images; evaluate both again")
    return one, other


def side(records: Sequence[CheckpointRecord], found: Mapping[str, Mapping[Stimuli, Predictions]]) -> Side:
    """Return the answers of ``records``, whose predictions are ``found`` by fingerprint and condition.

    Raises:
        UserError: two of them, or two conditions, are of different images, or of videos.
    """
    first = next(iter(found[records[0].fingerprint].values()))
    for record in records:
        for answer in found[record.fingerprint].values():
            same = np.array_equal(answer.index, first.index) and np.array_equal(answer.label, first.label)
            if not same or answer.frame.any():
                kind = "videos, whose frames are no images of their own" if same else "other images"
                raise UserError(f"checkpoint {record.fingerprint} was evaluated on {kind}; evaluate all on the same")
    rows = [pooled(list(found[record.fingerprint].values()), len(records[0].classes)) for record in records]
    counts, totals, confidence, correct = zip(*rows, strict=True)
    return Side(
        name=name_of(records[0]),
        correct=np.stack(correct),
        labels=first.label,
        counts=np.stack(counts),
        total=totals[0],
        confidence=np.stack(confidence),
        conditions=len(found[records[0].fingerprint]),
    )


def pooled(
    predictions: Sequence[Predictions], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return of one checkpoint the correct answers and stimuli by class, confidence by class, and correct by image."""
    labels = np.concatenate([each.label for each in predictions])
    counts, total = class_counts(labels, np.concatenate([each.correct for each in predictions]), classes)
    confidence = class_confidence(labels, np.concatenate([each.confidence for each in predictions]), classes)
    share = predictions[0].correct if len(predictions) == 1 else np.mean([each.correct for each in predictions], axis=0)
    return counts, total, confidence, share


def answers(results: Results, record: CheckpointRecord, limit: int, on: On) -> dict[Stimuli, Predictions]:
    """Return the complete predictions of ``record`` on every condition of ``on``, of the newest version of it.

    Raises:
        UserError: there are none, or they are no severities of corruptions and therefore no one thing.
    """
    best: tuple[int, dict[Stimuli, list[Cell]], dict[Cell, Path]] = (-1, {}, {})
    for name, _, paths in results.worlds(record.fingerprint):
        cells = [cell for cell in sorted(paths) if on.takes(cell) and not cell.source]
        if name != on.benchmark or not cells:
            continue
        sidecar = read_sidecar(paths[cells[0]])
        grouped: dict[Stimuli, list[Cell]] = {}
        for cell in cells:
            grouped.setdefault((cell.condition, cell.level), []).append(cell)
        whole = {key: found for key, found in grouped.items() if len(found) == sidecar.parts}
        version = int(sidecar.world["version"])
        if sidecar.world["limit"] == limit and whole and version > best[0]:
            best = version, whole, paths
    chosen = tested(best[1])
    check_one_thing(record, chosen, limit, on)
    return {
        key: Predictions.concatenate([read_predictions(best[2][cell]) for cell in cells])
        for key, cells in chosen.items()
    }


def tested(found: Mapping[Stimuli, list[Cell]]) -> dict[Stimuli, list[Cell]]:
    """Return of several corruptions those that means are over: none for validation, no stand-in beside the real."""
    names = {condition for condition, _ in found}
    if len(names) < 2:
        return dict(found)
    spare = {made for real, made in STAND_INS.items() if real in names} | set(EXTRA)
    return {key: cells for key, cells in found.items() if key[0] not in spare}


def check_one_thing(record: CheckpointRecord, found: Mapping[Stimuli, object], limit: int, on: On) -> None:
    """Raise ``UserError`` unless ``found`` is one condition, or severities of corruptions."""
    if not found:
        wanted = f" --limit {limit}" if limit else ""
        raise UserError(
            f"checkpoint {record.fingerprint} has no complete {on.text} predictions"
            f"{wanted or ' of the whole test set'}; "
            f"run: robustbench-msda evaluate {record.path} --benchmarks {on.benchmark}{wanted}"
        )
    if len(found) > 1 and not {level for _, level in found} <= SEVERITIES:
        named = ", ".join(On(on.benchmark, *key).text for key in sorted(found)[:4])
        raise UserError(f"--on {on.text}: expected one condition and level, found {len(found)} ({named} …); name one")
