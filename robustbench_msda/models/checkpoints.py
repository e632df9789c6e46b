"""Checkpoints: weights with their model source, normalisation and classes, known by one fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from torch import Tensor, nn

from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.files import write_whole
from robustbench_msda.models.channels import with_channels
from robustbench_msda.models.normalisation import Normalised, check_normalisation
from robustbench_msda.models.pretrained import pretrained
from robustbench_msda.models.sources import Options, build, runs_code
from robustbench_msda.models.weights import check_finite, fit, read_safetensors, read_weights

# One key only: safetensors writes several in random order, and equal checkpoints must be equal files.
METADATA = "robustbench_msda"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights and all that is needed to use them; two are the same if their fingerprints are.

    Attributes:
        state: the state dict of the bare network.
        source: its model source, such as ``resnet20``.
        options: keyword arguments of the architecture.
        mean: a number a channel, for images in [0, 1].
        std: likewise, positive.
        classes: class names, in the order of the logits.
        dataset: the data set whose classes these are.
        recipe: the recipe it was trained by, as JSON; None for a stranger.
    """

    state: Mapping[str, Tensor]
    source: str
    options: Options
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    dataset: str
    recipe: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        check_normalisation(self.mean, self.std)
        if not self.classes:
            raise ValueError("expected at least one class, got none")

    @cached_property
    def fingerprint(self) -> str:
        """The first 12 hex digits of the SHA-256 of its tensors, source, options, mean, std and classes."""
        return fingerprint(self)


class Metadata(BaseModel):
    """What our safetensors files say besides tensors, as one JSON text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    version: Literal[1]
    source: str
    options: dict[str, int | float | str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    dataset: str
    recipe: dict[str, JsonValue] | None


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return the first 12 hex digits of the identity of ``checkpoint``.

    SHA-256 of, for each tensor by name, a line ``["name", "dtype", [shape]]`` of JSON and its little-endian bytes, row
    by row; then ``[source, options, mean, std, classes]`` as JSON with sorted keys.
    """
    identity = hashlib.sha256()
    for name in sorted(checkpoint.state):
        tensor = checkpoint.state[name]
        header = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        identity.update(json.dumps(header).encode() + b"\n")
        identity.update(_contiguous(tensor).reshape(-1).view(torch.uint8).numpy().data)
    numbers = ([float(value) for value in values] for values in (checkpoint.mean, checkpoint.std))
    meaning = [checkpoint.source, dict(checkpoint.options), *numbers, list(checkpoint.classes)]
    identity.update(json.dumps(meaning, sort_keys=True).encode())
    return identity.hexdigest()[:12]


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``checkpoint`` to ``path``, whole: equal checkpoints give equal bytes, in every process.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    # A copy each, for safetensors refuses tensors that share memory.
    tensors = {name: _contiguous(tensor).clone() for name, tensor in checkpoint.state.items()}
    meaning = {
        "version": 1,
        "source": checkpoint.source,
        "options": dict(checkpoint.options),
        "mean": checkpoint.mean,
        "std": checkpoint.std,
        "classes": checkpoint.classes,
        "dataset": checkpoint.dataset,
        "recipe": None if checkpoint.recipe is None else dict(checkpoint.recipe),
    }
    data = safetensors.torch.save(tensors, {METADATA: json.dumps(meaning, sort_keys=True, allow_nan=False)})
    write_whole(path, lambda temporary: temporary.write_bytes(data))


def in_folder(path: Path, name: str) -> Path:
    """Return the file ``name`` of a run folder, or ``path`` itself where that is no folder.

    Raises:
        UserError: the folder does not hold it.
    """
    if not path.is_dir():
        return path
    if not (path / name).exists():
        raise UserError(f"{path} holds no {name}; it is no run folder, or training is not done: train again")
    return path / name


def load(path: Path) -> Checkpoint:
    """Return the checkpoint that ``save`` wrote to ``path``; nothing in the file is run.

    Raises:
        DamagedData: the file is truncated, not one of ours, or holds NaN or infinity.
        UserError: it is not there.
    """
    state, texts = read_safetensors(path)
    if METADATA not in texts:
        raise DamagedData(f"{path} does not say which model it is of: give --model, --dataset, --mean and --std")
    checkpoint = described(state, texts[METADATA], path)
    check_finite(state, str(path))
    return checkpoint


def described(state: Mapping[str, Tensor], text: str, path: Path) -> Checkpoint:
    """Return the checkpoint of the tensors in ``path``, of which our metadata there say ``text``.

    Raises:
        DamagedData: the text is not what ``save`` writes.
    """
    try:
        said = Metadata.model_validate_json(text)
        return Checkpoint(
            state, said.source, said.options, said.mean, said.std, said.classes, said.dataset, said.recipe
        )
    except ValidationError as error:
        first = error.errors()[0]
        # A stranger's key may hold what moves a terminal's cursor.
        field = ".".join(str(part) for part in first["loc"]).encode("unicode_escape").decode("ascii") or "the whole"
        raise DamagedData(f"{path}: metadata: {field}: {first['msg']}: get the file again") from None
    except ValueError as error:
        raise DamagedData(f"{path}: metadata: {error}: get the file again") from None


def load_foreign(
    path: Path, source: str, *, dataset: str, classes: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> Checkpoint:
    """Return the checkpoint of a weights file that says nothing of itself; a ``source`` that is a file is run.

    Args:
        path: ``.safetensors``, or a state dict written by ``torch.save``, bare or inside a training checkpoint.
        source: the model source of its network.
        dataset: the data set it was trained for.
        classes: the class names of that data set, in label order.
        mean: of the normalisation it was trained with, for images in [0, 1].
        std: likewise.

    Raises:
        DamagedData: the file is truncated, is something else, or holds NaN or infinity.
        UserError: it wants to run code, or does not fit the model; the message lists what differs.
    """
    state = read_weights(path)
    network = fresh(source, len(classes), with_channels(source, {}, len(mean)))
    fit(network, state, str(path), len(classes))
    try:
        return Checkpoint(_kept(network), source, {}, tuple(mean), tuple(std), tuple(classes), dataset)
    except ValueError as error:
        raise UserError(f"--mean and --std: {error}") from None


def load_pretrained(source: str, *, dataset: str) -> Checkpoint:
    """Return the published weights of ``source``, from the local cache, as a checkpoint.

    Raises:
        MissingData: they are not in the cache; nothing is downloaded.
        UserError: the source has no published weights, or several.
    """
    network, mean, std, classes = pretrained(source)
    return Checkpoint(_kept(network), source, {}, mean, std, classes, dataset)


def network(checkpoint: Checkpoint, device: str | torch.device, trusted: Collection[str] = ()) -> Normalised:
    """Return the network of ``checkpoint`` on ``device``: normalised, in evaluation mode, without gradients of weights.

    Args:
        checkpoint: its own, or one that ``load`` read.
        device: where to put it.
        trusted: the model sources that the user typed. A checkpoint that names a Python file is a stranger's request to
            run it, so such a source must be among them.

    Raises:
        DamagedData: the weights hold NaN or infinity.
        UserError: the source cannot be built, does not fit the weights, or is a file that is not trusted.
    """
    where = f"checkpoint {checkpoint.fingerprint}"
    if runs_code(checkpoint.source) and checkpoint.source not in trusted:
        raise UserError(f"{where} wants to run the file {checkpoint.source}: if you trust it, say so with --model")
    classes = len(checkpoint.classes)
    options = with_channels(checkpoint.source, checkpoint.options, len(checkpoint.mean))
    bare = fresh(checkpoint.source, classes, options)
    fit(bare, checkpoint.state, where, classes)
    return Normalised(bare, checkpoint.mean, checkpoint.std).to(device).eval().requires_grad_(False)


def fresh(source: str, classes: int, options: Options) -> nn.Module:
    """Return the network of ``source`` (see ``build``) for weights to be loaded into."""
    # The weights are about to be replaced: building must not advance the caller's chance.
    with torch.random.fork_rng(devices=[]):
        return build(source, classes, options)


def _kept(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _contiguous(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
