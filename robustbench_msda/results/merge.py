"""Results folders of several labs brought together; what two of them say otherwise is refused, never averaged."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from robustbench_msda.errors import DamagedData, MissingData, UserError
from robustbench_msda.files import write_whole
from robustbench_msda.records import COLUMNS
from robustbench_msda.results.scores import read_scores, write_scores
from robustbench_msda.results.store import CheckpointRecord, read_predictions, read_sidecar

# Whether two files say the same; raises where one cannot be read.
Alike = Callable[[Path, Path], bool]
# A results folder has one of these.
PARTS = ("predictions", "checkpoints", "scores")
# What a checkpoint's record says of where it was and what it took, not of what it is.
CIRCUMSTANCES = {"path", "cost"}
# What tells one score from another.
KEY = ["fingerprint", "benchmark", "world", "condition", "level", "source", "subset", "metric"]


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        copied: files by kind.
        alike: files that were there already and say the same, by kind.
        kept: what was kept although another folder has it otherwise, and what to do.
    """

    copied: dict[str, int] = field(default_factory=dict)
    alike: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is to be copied, by its path below a results folder, and how many files say what another says."""

    files: dict[Path, Path]
    alike: int


def merge_results(folders: Sequence[Path], into: Path) -> Merged:
    """Bring the results ``folders`` together in ``into``; what is there stays.

    Nothing is written before everything was compared. Predictions are copied after their sidecar, whole: after a kill
    the same command goes on. Rows of scores of one name are joined. Descriptions of studies and comparisons are over
    all networks at once and cannot be joined: the first stays. What attacks made is left where it is: it is made again.

    Raises:
        MissingData: a folder is not there, or is no results folder.
        DamagedData: predictions or a record cannot be read, or predictions have no sidecar.
        UserError: two folders hold other predictions for one cell, another checkpoint under one fingerprint, or two
            values of one score; or a file cannot be written.
    """
    if missing := [folder for folder in folders if not any((folder / name).is_dir() for name in PARTS)]:
        raise MissingData(f"no results folder at {missing[0]}; name folders that hold predictions/ or scores/")
    others = [folder for folder in folders if folder.resolve() != into.resolve()]
    predictions = planned(others, into, "predictions/*/*@*/[!.]*.npz", alike_predictions)
    records = planned(others, into, "checkpoints/[!.]*.json", alike_records)
    scores = joined_scores(others, into)
    merged = Merged()
    for source, path in ((source, into / path) for path, source in predictions.files.items()):
        # The sidecar first, so that every result has one.
        copy(source.with_suffix(".json"), path.with_suffix(".json"))
        copy(source, path)
    for path, source in records.files.items():
        copy(source, into / path)
    for path, frame in scores.items():
        write_scores(frame, into / path)
    merged.copied = {"predictions": len(predictions.files), "checkpoints": len(records.files), "scores": len(scores)}
    merged.alike = {"predictions": predictions.alike, "checkpoints": records.alike}
    copy_studies(others, into, merged)
    return merged


def planned(folders: Sequence[Path], into: Path, pattern: str, alike: Alike) -> Plan:
    """Return what of ``folders`` is to be copied, and how many files are found more than once.

    Raises:
        DamagedData: a file cannot be read.
        UserError: two files of one name do not say the same.
    """
    files: dict[Path, Path] = {}
    repeated = 0
    for folder in folders:
        for source in sorted(folder.glob(pattern)):
            path = source.relative_to(folder)
            there = into / path if (into / path).exists() else files.get(path, source)
            if not alike(there, source):
                raise UserError(
                    f"{there} and {source} are of one name and say otherwise, so one is not what it claims to be; "
                    "find out which, delete it, and merge again"
                )
            if there == source:
                files[path] = source
            else:
                repeated += 1
    return Plan(files, repeated)


def alike_predictions(there: Path, source: Path) -> bool:
    """Return whether two files of predictions hold the same, whatever their bytes; that the second has a sidecar."""
    read_sidecar(source)
    after = read_predictions(source)
    if there == source or filecmp.cmp(there, source, shallow=False):
        return True
    before = read_predictions(there)
    return all(same_column(getattr(before, name), getattr(after, name)) for name in vars(after))


def same_column(before: object, after: object) -> bool:
    """Return whether two columns of predictions are equal to the bit, but for which NaN it is."""
    if not isinstance(before, np.ndarray) or not isinstance(after, np.ndarray):
        return before is None and after is None
    return before.dtype == after.dtype and np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


def alike_records(there: Path, source: Path) -> bool:
    """Return whether two records are of one checkpoint, wherever it was and whatever it took.

    Raises:
        DamagedData: one is no record.
    """
    return record_of(there) == record_of(source)


def record_of(path: Path) -> dict[str, object]:
    """Return what a checkpoint is, by its record."""
    try:
        record = CheckpointRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise DamagedData(f"{path} is not a checkpoint record ({type(error).__name__}); delete it") from None
    return record.model_dump(exclude=CIRCUMSTANCES)


def joined_scores(folders: Sequence[Path], into: Path) -> dict[Path, pd.DataFrame]:
    """Return the rows of every table of scores that ``folders`` add to, by its path below a results folder.

    Raises:
        UserError: one score has two values.
    """
    found: dict[Path, list[Path]] = {}
    for folder in (into, *folders):
        for source in sorted((folder / "scores").glob("[!.]*.csv.gz")):
            found.setdefault(source.relative_to(folder), []).append(source)
    joined = {}
    for path, sources in found.items():
        frame = read_scores(sources[0])
        before = len(frame) if sources[0] == into / path else -1
        for source in sources[1:]:
            frame = pd.concat([frame, read_scores(source)], ignore_index=True)
            frame = frame.drop_duplicates(list(COLUMNS), ignore_index=True)
            check_one_value(frame, sources[0], source)
        if len(frame) != before:
            joined[path] = frame
    return joined


def check_one_value(frame: pd.DataFrame, first: Path, second: Path) -> None:
    """Raise ``UserError`` where two tables give one score two values."""
    repeated = frame[frame.duplicated(KEY)]
    if len(repeated):
        row = repeated.iloc[0]
        raise UserError(
            f"{first} and {second} give {row['metric']} of {row['benchmark']} for checkpoint {row['fingerprint']} two "
            "values; rename one of the two, merge, and make it again: robustbench-msda score"
        )


def copy_studies(folders: Sequence[Path], into: Path, merged: Merged) -> None:
    """Copy descriptions of studies and comparisons that are not there; keep what is, and say where others differ."""
    copied = alike = 0
    for folder in folders:
        for source in (*sorted(folder.glob("[!.]*.json")), *sorted((folder / "comparisons").glob("[!.]*.csv"))):
            path = into / source.relative_to(folder)
            if not path.exists():
                copy(source, path)
                copied += 1
            elif filecmp.cmp(path, source, shallow=False):
                alike += 1
            else:
                merged.kept.append(f"{path}: kept, {source} differs; run the study again on the merged results")
    merged.copied["studies"], merged.alike["studies"] = copied, alike


def copy(source: Path, path: Path) -> None:
    """Copy ``source`` to ``path``, whole."""
    write_whole(path, lambda temporary: shutil.copyfile(source, temporary))
