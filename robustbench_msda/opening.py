"""The checkpoint a user names: a run folder, a file of ours or a stranger's, or a source with published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from robustbench_msda import augmentations
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.models.channels import check_numbers
from robustbench_msda.models.checkpoints import Checkpoint, in_folder, load, load_foreign, load_pretrained
from robustbench_msda.models.sources import runs_code, split
from robustbench_msda.results.selection import select
from robustbench_msda.results.store import CheckpointRecord
from robustbench_msda.training.loop import CHECKPOINT


class Opened(NamedTuple):
    """A checkpoint and where it lies."""

    checkpoint: Checkpoint
    path: Path


@dataclass(frozen=True)
class Foreign:
    """What a weights file does not say of itself, as the user gives it.

    Attributes:
        model: the model source; beside one of our checkpoints it says that this file may be run.
        dataset: the data set it classifies; empty for our own checkpoints.
        mean: of its normalisation, a channel; empty for the data set's.
        std: likewise.
    """

    model: str = ""
    dataset: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


NOTHING_SAID = Foreign()


def open_checkpoint(argument: Path | str, foreign: Foreign, data_dir: Path) -> tuple[Checkpoint, Path]:
    """Return the checkpoint a user names, and where it lies.

    Args:
        argument: a run folder, one of our ``.safetensors``, a weights file (with ``foreign``), or a model source with
            cached pretrained weights.
        foreign: what a weights file does not say of itself.
        data_dir: where its data set is.

    Raises:
        UserError: it cannot be found, read or understood.
    """
    path = in_folder(Path(argument), CHECKPOINT)
    if (foreign.mean or foreign.std) and not (path.is_file() and foreign.dataset):
        raise UserError(
            f"{argument}: --mean and --std are of a weights file that says nothing of itself, beside --model and "
            "--dataset; this one brings its own: leave them out"
        )
    if path.is_file():
        return (stranger(path, foreign, data_dir) if foreign.dataset else load(path)), path
    if is_published(str(argument)):
        return load_pretrained(str(argument), dataset=foreign.dataset or "imagenet"), path
    raise UserError(f"no checkpoint at {path}: expected a run folder, a weights file, or a source such as timm/NAME")


def is_published(argument: str) -> bool:
    """Return whether ``argument`` is a model source that may have published weights."""
    return "/" in argument and split(argument)[0] in ("timm", "torchvision", "hf-hub")


def open_selected(
    selections: Sequence[str], foreign: Foreign, data_dir: Path, records: Mapping[str, CheckpointRecord]
) -> list[Opened]:
    """Return the checkpoints that ``selections`` name, each once, in their order.

    Args:
        selections: each a checkpoint as ``open_checkpoint`` takes it, or what ``select`` finds among ``records``.
        foreign: its model is a source whose file may be run.
        data_dir: where data sets are.
        records: what was evaluated, by fingerprint.

    Raises:
        UserError: a selection names nothing, is a stranger's file that was never evaluated, or what was evaluated is
            not there any more.
    """
    found: dict[str, Opened] = {}
    for selection in selections:
        path = in_folder(Path(selection), CHECKPOINT)
        if path.is_file() or is_published(selection):
            opened = open_named(selection, path, foreign, data_dir, records)
        else:
            chosen = select([selection], records, augmentations.short)
            opened = [open_recorded(record, foreign, data_dir) for record in chosen]
        found |= {each.checkpoint.fingerprint: each for each in opened}
    return list(found.values())


def open_named(
    selection: str, path: Path, foreign: Foreign, data_dir: Path, records: Mapping[str, CheckpointRecord]
) -> list[Opened]:
    """Return the checkpoint at ``path``; of a file that says nothing of itself, what ``records`` say of it."""
    try:
        return [Opened(*open_checkpoint(selection, Foreign(foreign.model), data_dir))]
    except DamagedData as error:
        known = [each for each in records.values() if Path(each.path).resolve() == path.resolve()]
        if not known:
            raise DamagedData(
                f"{error}; a weights file that says nothing of itself: evaluate it first, with --model and --dataset"
            ) from None
        return [open_recorded(record, foreign, data_dir) for record in known]


def open_recorded(record: CheckpointRecord, foreign: Foreign, data_dir: Path) -> Opened:
    """Return the checkpoint that ``record`` is of, where it was.

    Raises:
        UserError: it is not there any more, is another now, or its source is a file that ``foreign`` does not name.
    """
    path = Path(record.path)
    if runs_code(record.source) and record.source != foreign.model:
        raise UserError(f"{path} wants to run the file {record.source}: if you trust it, say so with --model")
    if not path.is_file() and not is_published(record.path):
        raise UserError(
            f"the checkpoint of {record.fingerprint} is not at {path} any more; put it back, or choose others"
        )
    # Our own files say all of themselves, their recipe first.
    says_nothing = path.is_file() and record.recipe is None
    told = Foreign(record.source, record.dataset, record.mean, record.std) if says_nothing else Foreign(record.source)
    opened = Opened(*open_checkpoint(path, told, data_dir))
    if opened.checkpoint.fingerprint != record.fingerprint:
        raise UserError(
            f"{path} is now {opened.checkpoint.fingerprint}, it was {record.fingerprint} when it was evaluated; "
            "name the file you want, or put the old one back"
        )
    return opened


def stranger(path: Path, foreign: Foreign, data_dir: Path) -> Checkpoint:
    """Return the checkpoint in a weights file that says nothing of itself.

    Raises:
        UserError: the model is not named, or the file does not fit.
    """
    if not foreign.model:
        raise UserError(f"{path}: give --model SOURCE, such as path/to/net.py:resnet20, beside --dataset")
    dataset = open_dataset(foreign.dataset, data_dir)
    check_numbers({"--mean": foreign.mean, "--std": foreign.std}, dataset.channels)
    return load_foreign(
        path,
        foreign.model,
        dataset=dataset.name,
        classes=dataset.classes,
        mean=foreign.mean or dataset.mean,
        std=foreign.std or dataset.std,
    )
