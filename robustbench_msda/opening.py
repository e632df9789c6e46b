"""The checkpoint a user names: a run folder, a file of ours or a stranger's, or a source with published weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import UserError
from robustbench_msda.models.channels import check_numbers
from robustbench_msda.models.checkpoints import Checkpoint, in_folder, load, load_foreign, load_pretrained
from robustbench_msda.models.sources import split
from robustbench_msda.training.loop import CHECKPOINT


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
    if "/" in str(argument) and split(str(argument))[0] in ("timm", "torchvision", "hf-hub"):
        return load_pretrained(str(argument), dataset=foreign.dataset or "imagenet"), path
    raise UserError(f"no checkpoint at {path}: expected a run folder, a weights file, or a source such as timm/NAME")


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
