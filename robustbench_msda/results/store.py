"""The predictions and checkpoint records of a results folder. A file that exists is work that is done."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.files import write_text, write_whole
from robustbench_msda.records import PREDICTIONS_VERSION, Cell, Predictions, World, encode

# What NumPy and zipfile raise on damaged archives; NotImplementedError, a RuntimeError, for damaged flags.
UNREADABLE = (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
# In a run folder.
COST = "cost.json"
# The columns that are no float32.
WHOLE = {"index": np.int32, "frame": np.int16, "label": np.int16, "top5": np.int16}


class TrainingCost(BaseModel):
    """What the training of a network cost, as its run folder says.

    Attributes:
        parameters: of the network, trainable.
        flops: of the forward pass of one image: two for a multiplication and addition.
        epochs: over how many the times below are means.
        epoch_seconds: wall time of an epoch's training steps.
        step_seconds: of one step.
        images_per_s: trained on.
        device: in words.
        processes: that shared the work.
        threads: of torch in each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int
    flops: int
    epochs: int
    epoch_seconds: float
    step_seconds: float
    images_per_s: float
    device: str
    processes: int
    threads: int


class CheckpointRecord(BaseModel):
    """All that anything after prediction needs to know of a checkpoint.

    Attributes:
        fingerprint: 12 hex digits.
        source: the model source.
        options: keyword arguments of the model.
        dataset: what it classifies.
        classes: names, in the order of its answers.
        mean: of its normalisation, per channel.
        std: of its normalisation, per channel.
        path: where it was when it was evaluated.
        recipe: what it was trained by; None for a stranger.
        recipe_id: of the recipe, empty for a stranger.
        group: the recipe id without its seed, empty for a stranger.
        seed: of the recipe; None for a stranger.
        augmentation: short text of the recipe's, empty for a stranger.
        cost: what its training cost, where that is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    source: str
    options: dict[str, int | float | str] = {}
    dataset: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    path: str
    recipe: dict[str, Any] | None = None
    recipe_id: str = ""
    group: str = ""
    seed: int | None = None
    augmentation: str = ""
    cost: TrainingCost | None = None


class Sidecar(BaseModel):
    """What is known of a cell's computation beside its key: never part of its identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    world: dict[str, int | str]
    predictions_version: int = PREDICTIONS_VERSION
    n: int
    parts: int
    seconds: float
    batch_size: int
    device: str
    threads: int
    host: str
    created: str
    versions: dict[str, str]
    # How many images failed a check of how they were made, by its name: see ``Batch``.
    checks: dict[str, int] = {}


@dataclass(frozen=True)
class Results:
    """A results folder."""

    root: Path

    @property
    def predictions(self) -> Path:
        """Where predictions are kept."""
        return self.root / "predictions"

    @property
    def adversarial(self) -> Path:
        """Where attacked images are kept that several cells read."""
        return self.root / "adversarial"

    def path(self, cell: Cell, world: World) -> Path:
        """Return where the predictions of ``cell`` are kept."""
        return self.predictions / cell.fingerprint / f"{encode(cell.benchmark)}@{world.id}" / f"{cell.filename}.npz"

    def has(self, cell: Cell, world: World) -> bool:
        """Return whether ``cell`` is done."""
        return self.path(cell, world).exists()

    def write(self, world: World, predictions: Predictions, sidecar: Sidecar) -> None:
        """Keep ``predictions``, whole; the sidecar first, so that every result has one.

        Raises:
            UserError: the folder cannot be written.
        """
        path = self.path(sidecar.cell, world)
        columns = {name: value for name, value in vars(predictions).items() if value is not None}
        write_text(path.with_suffix(".json"), sidecar.model_dump_json(indent=1) + "\n")

        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **columns)

        write_whole(path, save)

    def worlds(self, fingerprint: str) -> Iterator[tuple[str, str, dict[Cell, Path]]]:
        """Yield the benchmark, the world's id and the done cells of each world of a checkpoint, by name.

        Raises:
            DamagedData: a file there is not named as a cell.
        """
        for folder in sorted((self.predictions / fingerprint).glob("*@*")):
            benchmark, _, world = folder.name.rpartition("@")
            cells = {}
            for path in sorted(folder.glob("[!.]*.npz")):
                pieces = [unquote(text) for text in path.stem.split("~")]
                if len(pieces) != 4 or not pieces[3].isdecimal():
                    raise DamagedData(f"{path} is not named as predictions are; move it elsewhere")
                condition, level, source, part = pieces
                cells[Cell(fingerprint, unquote(benchmark), condition, level, source, int(part))] = path
            yield unquote(benchmark), world, cells

    def add_checkpoint(self, record: CheckpointRecord) -> None:
        """Keep ``record``; an earlier one of the same checkpoint is replaced."""
        write_text(self.root / "checkpoints" / f"{record.fingerprint}.json", record.model_dump_json(indent=1) + "\n")

    def checkpoints(self) -> dict[str, CheckpointRecord]:
        """Return the record of every checkpoint, by fingerprint.

        Raises:
            DamagedData: a record cannot be read.
        """
        records = {}
        for path in sorted((self.root / "checkpoints").glob("[!.]*.json")):
            try:
                records[path.stem] = CheckpointRecord.model_validate_json(path.read_text(encoding="utf-8"))
            except (ValidationError, UnicodeDecodeError) as error:
                raise DamagedData(
                    f"{path} is not a checkpoint record ({type(error).__name__}); delete it and evaluate again"
                ) from None
        return records


def read_cost(folder: Path) -> TrainingCost | None:
    """Return what the run folder ``folder`` says its training cost; None where it says nothing.

    Raises:
        DamagedData: the file cannot be read.
    """
    path = folder / COST
    try:
        return TrainingCost.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        raise DamagedData(f"{path} is damaged ({type(error).__name__}); delete it: only the costs are lost") from None


def read_predictions(path: Path) -> Predictions:
    """Return the predictions at ``path``.

    Raises:
        DamagedData: the file is not one this package wrote, or is cut short.
    """
    try:
        # Opened here, for NumPy leaves the file open where it is no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        predictions = Predictions(**columns)
    except UNREADABLE as error:
        raise DamagedData(
            f"{path} is not a file of predictions ({type(error).__name__}); delete it and evaluate again"
        ) from None
    shapes = {name: value.shape for name, value in columns.items()}
    if () in shapes.values() or len({shape[0] for shape in shapes.values()}) != 1:
        raise DamagedData(f"{path}: columns of different lengths {shapes}; delete it and evaluate again")
    if wrong := [name for name, value in columns.items() if value.dtype != WHOLE.get(name, np.float32)]:
        raise DamagedData(f"{path}: {wrong[0]} is {columns[wrong[0]].dtype}; delete it and evaluate again")
    return predictions


def read_sidecar(path: Path) -> Sidecar:
    """Return the sidecar of the predictions at ``path``.

    Raises:
        DamagedData: it is missing or not one this package wrote.
    """
    sidecar = path.with_suffix(".json")
    try:
        return Sidecar.model_validate_json(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise DamagedData(
            f"{sidecar} is missing or damaged ({type(error).__name__}); delete {path.name} and evaluate again"
        ) from None


def check_writable(root: Path) -> None:
    """Raise ``UserError`` unless ``root`` can be written: asked before long work begins."""
    probe = root / ".writable"
    write_text(probe, "")
    try:
        # Another worker that asks at the same time may have removed it.
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {root}: {error.strerror}; choose another --results") from None


def world_facts(world: World) -> dict[str, int | str]:
    """Return the fields of ``world`` for a sidecar."""
    return asdict(world)
