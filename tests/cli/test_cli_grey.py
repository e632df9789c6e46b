"""Images of one channel from idx files to scores, as a user does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.cli.main import status
from robustbench_msda.corrupting import write_corrupted
from robustbench_msda.data import idx
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import load
from robustbench_msda.recipes import Recipe
from robustbench_msda.training.state import start

SIDE = 28
TRAIN = ["--epochs", "1", "--set", "batch_size=32", "--set", "lr=0.05"]


def stripes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return grey images of a bright band, across or upright, in noise: a class each."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 100, (count, SIDE, SIDE), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 2
    for image, label, at in zip(images, labels, rng.integers(4, 20, count), strict=True):
        (image if label else image.T)[at : at + 4] += 150
    return images, labels


def write_gzipped(folder: Path) -> Path:
    import gzip
    import struct

    folder.mkdir()
    for split, pair in {"train": stripes(320, 0), "test": stripes(60, 1)}.items():
        for kind, array in zip(("images", "labels"), pair, strict=True):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            content = gzip.compress(head + array.tobytes())
            (folder / f"{idx.file_of(split, kind)}.gz").write_bytes(content)  # type: ignore[arg-type]
    (folder / "classes.txt").write_text("upright\nacross\n")
    return folder


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grey")
    source = write_gzipped(folder / "in")
    assert status(["data", "prepare", "bands", "--from", str(source), "--data-dir", str(folder / "data")]) == 0
    return folder / "data"


@pytest.fixture(scope="module")
def trained(data_dir: Path) -> Path:
    out = data_dir.parent / "run"
    given = ["bands", "--model", "small_cnn", "--augmentation", "mixup", *TRAIN]
    assert status(["train", *given, "--out", str(out), "--data-dir", str(data_dir), "--device", "cpu"]) == 0
    return out


def test_train_evaluate_score(
    trained: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert status(["evaluate", str(trained), "--benchmarks", "clean,fgsm,pgd", "--limit", "40", *places]) == 0
    assert status(["score", "--results", str(tmp_path / "results"), "--name", "grey"]) == 0
    frame = verbs.score(place=Place(data_dir, tmp_path / "results"))
    errors = frame[frame.metric == "error"].set_index(["benchmark", "level"]).value
    # Chance is a half; one epoch on mixed images is enough for bands, and an attack undoes it.
    assert errors["clean", ""].max() < 0.3
    assert errors["fgsm", "8/255"].max() >= errors["clean", ""].max()
    assert errors["pgd", "8/255"].max() >= errors["clean", ""].max()
    assert set(frame.dataset) == {"bands"}
    capsys.readouterr()
    assert status(["models", "inspect", str(trained)]) == 0
    told = capsys.readouterr().out
    assert "features.0.weight (16, 1, 3, 3)" in told
    assert "small_cnn: yes" in told


def test_what_is_defined_on_rgb_is_not_offered(
    trained: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path), "--device", "cpu"]
    assert status(["evaluate", str(trained), "--dry-run", *places]) == 0
    told = capsys.readouterr().err
    assert "cells done: clean 0/1, fgsm 0/4, pgd 0/4\n" in told
    for name in ("bands_c_made", "bands_3dcc_made", "bands_p_made", "bands_c", "bands_p"):
        assert f"skipped {name}: no " in told
    named = ["--benchmarks", "clean,bands_c_made,bands_3dcc_made", "--limit", "10"]
    assert status(["evaluate", str(trained), *named, *places]) == 0
    told = capsys.readouterr().err
    assert "skipped bands_c_made: no severities for grey images, they are defined on RGB; prepare" in told
    assert "skipped bands_3dcc_made: no severities for grey images" in told
    with pytest.raises(UserError, match="no severities for grey images"):
        write_corrupted("bands", data_dir, tmp_path / "corrupted")


def test_the_same_benchmarks_run_on_rgb(data_dir: Path) -> None:
    """What the grey set is refused, digits, RGB of the same kind, are not."""
    for name in ("digits_c_made", "digits_p_made"):
        setting = Setting(open_dataset("digits", data_dir), data_dir, torch.device("cpu"))
        assert benchmarks_of("digits")[name].needs(setting) is None


def test_the_identity_of_a_grey_checkpoint(trained: Path, data_dir: Path) -> None:
    checkpoint, dataset = load(trained / "checkpoint.safetensors"), open_dataset("bands", data_dir)
    assert (checkpoint.mean, checkpoint.std, checkpoint.options) == (dataset.mean, dataset.std, {})
    assert len(checkpoint.mean) == 1
    assert checkpoint.recipe is not None
    assert Recipe.model_validate(checkpoint.recipe).model_options == {}


def refusals(argument: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert status(argument) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("error: ")
    return told[-1]


def test_a_strangers_weights(trained: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    safetensors.torch.save_file(
        safetensors.torch.load_file(trained / "checkpoint.safetensors"), tmp_path / "w.safetensors"
    )
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--device", "cpu"]
    given = ["evaluate", str(tmp_path / "w.safetensors"), "--dataset", "bands", "--benchmarks", "clean", *places]
    assert status([*given, "--model", "small_cnn"]) == 0
    assert status([*given, "--model", "small_cnn", "--mean", "0.4", "--std", "0.2"]) == 0
    capsys.readouterr()
    found = refusals([*given, "--model", "small_cnn", "--mean", "0.4,0.4,0.4"], capsys)
    assert "--mean: expected 1 numbers, one a channel of the data set, found 3" in found
    assert "takes images of three channels" in refusals([*given, "--model", "torchvision/resnet18"], capsys)


def test_a_checkpoint_of_other_channels_than_its_data(trained: Path, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "rgb").mkdir()
    for split, (images, labels) in {"train": stripes(320, 0), "test": stripes(60, 1)}.items():
        (tmp_path / "rgb" / split).mkdir()
        np.save(tmp_path / "rgb" / split / "images.npy", np.repeat(images[..., None], 3, 3))
        np.save(tmp_path / "rgb" / split / "labels.npy", labels)
    (tmp_path / "rgb" / "classes.txt").write_text("upright\nacross\n")
    other = ["--data-dir", str(tmp_path / "data")]
    assert status(["data", "prepare", "bands", "--from", str(tmp_path / "rgb"), *other]) == 0
    with pytest.raises(UserError, match="takes images of 1 channels, the data set bands has 3"):
        verbs.plan(trained, 0, place=Place(tmp_path / "data", tmp_path / "results"))


BAD: Sequence[tuple[list[str], str]] = (
    (["--model", "torchvision/resnet18"], "torchvision/resnet18 takes images of three channels, these have 1"),
    (["--model", "small_cnn", "--set", "model_options={in_chans=3}"], "in_chans=3, the images have 1"),
    (
        ["--model", "small_cnn", "--set", "color_jitter=0.4"],
        "color_jitter and lighting are of RGB images, bands is grey",
    ),
    (
        ["--model", "small_cnn", "--set", "extra_dataset=coloured"],
        "extra_dataset coloured: expected images of 1 channels",
    ),
)


@pytest.fixture
def coloured(data_dir: Path, tmp_path: Path) -> Path:
    """A data folder where ``coloured`` is the RGB of ``bands``."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bands").symlink_to(data_dir / "bands")
    source = tmp_path / "in"
    for split in ("train", "test"):
        (source / split).mkdir(parents=True)
        images, labels = stripes(20, 3)
        np.save(source / split / "images.npy", np.repeat(images[..., None], 3, 3))
        np.save(source / split / "labels.npy", labels)
    (source / "classes.txt").write_text("upright\nacross\n")
    assert status(["data", "prepare", "coloured", "--from", str(source), "--data-dir", str(tmp_path / "data")]) == 0
    return tmp_path / "data"


@pytest.mark.parametrize(("given", "message"), BAD)
def test_what_cannot_train_is_refused_in_a_line(
    given: list[str], message: str, coloured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "bands", *TRAIN, *given, "--out", str(tmp_path / "run")]
    assert message in refusals([*command, "--data-dir", str(coloured), "--device", "cpu"], capsys)


def test_a_network_of_ones_own_that_takes_rgb(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def net(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 28), nn.Flatten(), nn.Linear(4, num_classes))\n"
    )
    recipe = Recipe(dataset="bands", model=f"{tmp_path / 'net.py'}:net", epochs=1)
    with pytest.raises(UserError, match="refuses images of 1 channels and 28×28 px"):
        start(recipe, open_dataset("bands", data_dir), torch.device("cpu"))
