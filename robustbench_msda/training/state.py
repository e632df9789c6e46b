"""A training run under way: all that changes, how it starts, and how it is kept and taken up again."""

from __future__ import annotations

import csv
import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]  # it is in their documentation
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robustbench_msda import augmentations
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.errors import UserError
from robustbench_msda.files import write_whole
from robustbench_msda.models.channels import GREY, check_takes, with_channels
from robustbench_msda.models.checkpoints import Checkpoint, load
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build
from robustbench_msda.recipes import Recipe
from robustbench_msda.streams import seed


@dataclass
class Run:
    """A training run under way: all that changes, and all that a resume needs."""

    model: Normalised
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    epoch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)


def start(recipe: Recipe, dataset: Dataset, device: torch.device, *, compiled: bool = False) -> Run:
    """Return the run of ``recipe`` before its first step; initialisation is drawn from the seed alone.

    Args:
        recipe: what is trained.
        dataset: on what.
        device: where.
        compiled: whether torch.compile makes the forward pass.

    Raises:
        UserError: the model cannot be built, or the augmentation cannot train it on images of this size.
    """
    options = with_channels(recipe.model, recipe.model_options, dataset.channels)
    if dataset.channels == GREY and (recipe.color_jitter or recipe.lighting):
        raise UserError(f"color_jitter and lighting are of RGB images, {dataset.name} is grey; set both to 0")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed("initialisation", recipe.seed))
        network = build(recipe.model, len(dataset.classes), options)
    model = Normalised(network, dataset.mean, dataset.std).to(device).to(memory_format=torch.channels_last)
    check_takes(model, recipe.model, (dataset.channels, dataset.side, dataset.side))
    if reason := augmentations.parse(recipe.augmentation).refusal(model, (dataset.side, dataset.side)):
        raise UserError(f"{recipe.augmentation} on {recipe.model} and {dataset.name}: {reason}")
    if compiled:
        model.compile()
    spared = recipe.decayed == "weights"
    optimizer = torch.optim.SGD(
        param_groups_weight_decay(model, recipe.weight_decay) if spared else model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
    averaging = get_ema_multi_avg_fn(recipe.ema)
    average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True) if recipe.ema else None
    return Run(model, optimizer, average)


def kept_model(run: Run) -> Normalised:
    """Return the network whose weights are evaluated and kept: the average where there is one."""
    return run.model if run.average is None else cast(Normalised, run.average.module)


def save_state(run: Run, recipe: Recipe, path: Path) -> None:
    """Write all that a resume needs to ``path``, whole."""
    state = {
        "recipe": recipe.id,
        "epoch": run.epoch,
        "rows": run.rows,
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": run.average.state_dict() if run.average is not None else None,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)  # torch's own writer calls a full disk a RuntimeError
    write_whole(path, lambda temporary: temporary.write_bytes(buffer.getbuffer()))


def resume(run: Run, recipe: Recipe, path: Path) -> None:
    """Bring ``run`` to where the state at ``path`` stopped; do nothing where there is none.

    Raises:
        UserError: the state is damaged or another recipe's.
    """
    if not path.exists():
        return
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        ours = state["recipe"] == recipe.id
        if ours:
            restore(run, state)
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}); delete it to train from the start") from None
    if not ours:
        raise UserError(f"{path.parent} holds another recipe half trained; give another --out or delete {path.name}")


def restore(run: Run, state: dict[str, Any]) -> None:
    """Bring ``run`` to ``state``, which ``save_state`` wrote."""
    run.epoch, run.rows = state["epoch"], state["rows"]
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.average is not None:
        run.average.load_state_dict(state["average"])


def finished_checkpoint(run: Run, recipe: Recipe, dataset: Dataset) -> Checkpoint:
    """Return the checkpoint of a run that is done."""
    return Checkpoint(
        state={name: tensor.detach().cpu() for name, tensor in kept_model(run).network.state_dict().items()},
        source=recipe.model,
        options=recipe.model_options,
        mean=dataset.mean,
        std=dataset.std,
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=recipe.model_dump(mode="json"),
    )


def finished(recipe: Recipe, path: Path) -> Checkpoint:
    """Return the checkpoint at ``path``, which an earlier call finished.

    Raises:
        UserError: it was trained by another recipe.
    """
    checkpoint = load(path)
    if checkpoint.recipe is None or Recipe.model_validate(checkpoint.recipe) != recipe:
        raise UserError(f"{path} was trained by another recipe; give another --out or delete it")
    return checkpoint


def log_text(rows: list[dict[str, float]]) -> str:
    """Return the log as CSV: epoch, train_loss, test_error, images_per_s, seconds; waiting, a share of them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: round(value, 6) for name, value in row.items()})
    return text.getvalue()
