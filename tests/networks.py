"""Small untrained networks for tests: fast to make, the same on every run."""

from __future__ import annotations

from pathlib import Path

import torch

from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.models.checkpoints import Checkpoint, save
from robustbench_msda.models.sources import build


def fresh_checkpoint(seed: int = 0, recipe: dict[str, object] | None = None) -> Checkpoint:
    """Return a digits classifier with fresh weights."""
    dataset = open_dataset("digits", Path())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build("small_cnn", len(dataset.classes), {}).state_dict()
    return Checkpoint(state, "small_cnn", {}, dataset.mean, dataset.std, dataset.classes, "digits", recipe)


def saved(folder: Path, seed: int = 0, recipe: dict[str, object] | None = None) -> Path:
    """Return the run folder of a fresh checkpoint."""
    save(fresh_checkpoint(seed, recipe), folder / "checkpoint.safetensors")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of predictions under ``folder``, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}
