"""Small data sets and the official files that belong to them, laid out as their authors lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from robustbench_msda.benchmarks import Benchmark, Setting, benchmarks_of
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.data.decoding import View
from robustbench_msda.data.known import DATASETS
from robustbench_msda.data.prepare import prepare
from robustbench_msda.models.checkpoints import Checkpoint, network, save
from robustbench_msda.models.sources import build
from robustbench_msda.opening import Foreign, open_checkpoint
from robustbench_msda.records import Predictions
from robustbench_msda.results.store import Results, read_predictions

WNIDS = ("n01440764", "n01443537", "n01484850")
Pixels = NDArray[np.uint8]


def noise(seed: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def smooth(seed: int, width: int, height: int) -> Image.Image:
    """Return a picture that survives JPEG: a few colours, enlarged."""
    return Image.fromarray(noise(seed, 4, 5)).resize((width, height), Image.Resampling.BICUBIC)


def write_picture(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "JPEG", quality=90)


def own_dataset(data_dir: Path, name: str = "mine", side: int = 32, each: int = 3) -> Dataset:
    """Prepare a data set of three classes, ``each`` test images of each, from class folders."""
    for k, wnid in enumerate(WNIDS):
        for i in range(each):
            path = data_dir / f".{name}" / "test" / wnid / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(100 * k + i, side, side)).save(path)
    return prepare(name, data_dir / f".{name}", data_dir)


def imagenet(data_dir: Path, monkeypatch: pytest.MonkeyPatch, side: int = 32, each: int = 2) -> Dataset:
    """Lay out an ImageNet of three classes; the pictures of one class are wide, of the next high, one is grey."""
    view = View(side, short=side * 8 // 7)
    small = replace(DATASETS["imagenet"], classes=WNIDS, test=3 * each, side=side, view=view)
    monkeypatch.setitem(DATASETS, "imagenet", small)
    for k, wnid in enumerate(WNIDS):
        for i in range(each):
            picture = smooth(100 * k + i, side + 80 + 37 * k, side + 120 - 41 * k + i)
            path = data_dir / "imagenet/val" / wnid / f"ILSVRC2012_val_{7 * i + k:08d}.JPEG"
            write_picture(path, picture.convert("L") if (k, i) == (1, 1) else picture)
    return open_dataset("imagenet", data_dir)


def run_folder(folder: Path, dataset: Dataset, seed: int = 0) -> Path:
    """Return the run folder of a network with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build("small_cnn", len(dataset.classes), {}).state_dict()
    fresh = Checkpoint(state, "small_cnn", {}, dataset.mean, dataset.std, dataset.classes, dataset.name)
    save(fresh, folder / "checkpoint.safetensors")
    return folder


def model_of(run: Path, data_dir: Path) -> nn.Module:
    return network(open_checkpoint(run, Foreign(), data_dir)[0], "cpu")


def setting_of(dataset: Dataset, data_dir: Path, limit: int = 0, batch_size: int = 4, partial: bool = False) -> Setting:
    return Setting(dataset, data_dir, torch.device("cpu"), limit, batch_size, partial)


def benchmark_of(dataset: Dataset, name: str) -> Benchmark:
    return benchmarks_of(dataset.name)[name]


def stored(results: Path, benchmark: str, condition: str, level: str = "", part: int = 0) -> Predictions:
    """Return the predictions of one cell in the only world of a benchmark."""
    (path,) = Results(results).predictions.glob(f"*/{benchmark}@*/{condition}~{level}~~{part}.npz")
    return read_predictions(path)


def check_against(model: nn.Module, images: Sequence[Pixels], labels: Sequence[int], found: Predictions) -> None:
    """Demand that ``found`` is what a loop over ``images`` (side, side, 3) answers, row by row."""
    assert found.label.tolist() == list(labels)
    for row, image in enumerate(images):
        with torch.no_grad():
            logits = model(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)[0].double()
        assert found.label_logit[row] == pytest.approx(float(logits[labels[row]]), rel=1e-4, abs=1e-5)
        assert found.logsumexp[row] == pytest.approx(float(logits.logsumexp(0)), rel=1e-5)
        assert found.top5[row, 0] == int(logits.argmax())
    # A loop over other images would not do.
    assert len(np.unique(found.label_logit)) > len(images) // 2
