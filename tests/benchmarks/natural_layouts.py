"""ImageNet with one picture a class, the official folders of its other pictures, and a real network for it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from official_layouts import smooth

from robustbench_msda.data.check_layouts import LAYOUTS, PICTURES
from robustbench_msda.data.check_pictures import PictureLayout
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.data.known import DATASETS
from robustbench_msda.models.checkpoints import Checkpoint, save
from robustbench_msda.models.sources import build
from robustbench_msda.prediction import summarise
from robustbench_msda.records import Batch, Predictions

NETWORK = "timm/resnet10t"
KINDS = 23


def jpegs() -> list[bytes]:
    """Return pictures of several sizes and colours."""
    found = []
    for seed in range(KINDS):
        out = io.BytesIO()
        smooth(seed, 60 + 3 * seed, 95 - 2 * seed).save(out, "JPEG", quality=90)
        found.append(out.getvalue())
    return found


PICTURES_OF_ALL = jpegs()


def fill(folder: Path, names: tuple[str, ...], suffix: str = ".jpg", shift: int = 0) -> Path:
    """Write a picture into every class folder."""
    for k, name in enumerate(names):
        path = folder / name / f"{k:08d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURES_OF_ALL[(k + shift) % KINDS])
    return folder


def imagenet_of_thousand(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Lay out an ImageNet that has one validation picture of each of its thousand classes."""
    monkeypatch.setitem(DATASETS, "imagenet", replace(DATASETS["imagenet"], test=1_000))
    fill(data_dir / "imagenet/val", DATASETS["imagenet"].classes, ".JPEG")
    return open_dataset("imagenet", data_dir)


def one_each(data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str = "") -> PictureLayout:
    """Lay out a benchmark with one picture a class, and have it take this number for the official one."""
    small = replace(PICTURES[name], images=len(PICTURES[name].tops))
    monkeypatch.setitem(PICTURES, name, small)
    monkeypatch.setitem(LAYOUTS, name, small)
    fill(data_dir / (folder or name), small.tops, ".jpeg" if small.folders else ".jpg", shift=5)
    return small


def biased_network(folder: Path, dataset: Dataset, biases: Mapping[int, float]) -> Path:
    """Return the run folder of a real ResNet with fresh weights that leans towards some classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build(NETWORK, len(dataset.classes), {}).state_dict()
    for k, bias in biases.items():
        state["fc.bias"][k] += bias
    fresh = Checkpoint(state, NETWORK, {}, dataset.mean, dataset.std, dataset.classes, dataset.name)
    save(fresh, folder / "checkpoint.safetensors")
    return folder


def predictions_of(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    """Return what a network that answered with ``logits`` would be recorded with."""
    n = len(logits)
    batch = Batch(torch.empty(n, 0), torch.from_numpy(labels.astype(np.int64)), torch.arange(n))
    return summarise(batch, torch.from_numpy(logits.astype(np.float32)), keep_logits=True)
