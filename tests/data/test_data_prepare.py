"""What preparing writes, and that it is written whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from data_builders import CLASSES, pictures, refused, splits, write_arrays, write_folders, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustbench_msda.data import prepare as module
from robustbench_msda.data.classes import CIFAR10
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.prepare import channel_statistics, prepare
from robustbench_msda.errors import DamagedData, UserError


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    return write_arrays(tmp_path / "arrays", splits())


def test_arrays_round_trip(arrays: Path, tmp_path: Path) -> None:
    dataset = prepare("my-pets", arrays, tmp_path / "deep" / "data")
    assert dataset == open_dataset("my_pets", tmp_path / "deep" / "data")
    assert (dataset.name, dataset.classes, dataset.side, dataset.splits) == ("my_pets", CLASSES, 6, ("train", "test"))
    for split, (images, labels) in splits().items():
        np.testing.assert_array_equal(dataset.images(split), images)
        np.testing.assert_array_equal(dataset.labels(split), labels)
        assert isinstance(dataset.images(split), np.memmap)
        assert not dataset.images(split).flags.writeable
        assert dataset.labels(split).dtype == np.int64


def test_what_lies_on_the_disk(arrays: Path, tmp_path: Path) -> None:
    prepare("pets", arrays, tmp_path / "data")
    root = tmp_path / "data" / "pets"
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    kinds = [f"{split}/{kind}.npy" for split in ("test", "train") for kind in ("images", "labels")]
    assert files == ["classes.txt", "meta.json", *kinds]
    meta = json.loads((root / "meta.json").read_text())
    assert (meta["source"], meta["train"], meta["test"], meta["side"]) == ("arrays", 9, 9, 6)
    assert sorted(meta["sha256"]) == ["classes.txt", *kinds]
    assert stat.S_IMODE(root.stat().st_mode) == stat.S_IMODE((tmp_path / "data").stat().st_mode)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["pets"]


def test_a_constant_channel_cannot_be_normalised(tmp_path: Path) -> None:
    images = pictures(6, 4, 0)
    images[..., 1] = 7
    source = write_arrays(tmp_path / "in", {split: (images, np.arange(6) % 3) for split in ("train", "test")})
    with refused(DamagedData, source, "the same in every pixel", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


@settings(max_examples=30)
@given(st.integers(1, 2100), st.integers(1, 3), st.integers(0, 99))
def test_statistics_are_numpys(count: int, side: int, seed: int) -> None:
    images = pictures(count, side, seed)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-9, atol=1e-12)


def test_statistics_of_a_set_of_ones_own_are_of_its_training_images(arrays: Path, tmp_path: Path) -> None:
    dataset = prepare("pets", arrays, tmp_path / "data")
    assert dataset.mean == channel_statistics(splits()["train"][0])[0]
    assert dataset.std == channel_statistics(splits()["train"][0])[1]


def test_digits_need_no_preparing(arrays: Path, tmp_path: Path) -> None:
    with refused(UserError, "'digits' comes with scikit-learn", untouched=tmp_path / "data"):
        prepare("digits", arrays, tmp_path / "data")


def test_the_same_again_says_so_and_changes_nothing(
    arrays: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare("pets", arrays, tmp_path / "data")
    meta = (tmp_path / "data" / "pets" / "meta.json").stat()
    folders = write_folders(tmp_path / "folders", splits())
    with caplog.at_level(logging.WARNING):
        assert prepare("pets", folders, tmp_path / "data") == first
    assert f"{tmp_path / 'data' / 'pets'} already holds the same images and labels" in caplog.text
    assert (tmp_path / "data" / "pets" / "meta.json").stat() == meta
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["pets"]


def test_something_else_under_the_name_is_left_alone(arrays: Path, tmp_path: Path) -> None:
    first = prepare("pets", arrays, tmp_path / "data")
    before = first.fingerprint("test")
    np.save(arrays / "test" / "images.npy", 255 - splits()["test"][0])
    with refused(UserError, tmp_path / "data" / "pets", "remove that folder first"):
        prepare("pets", arrays, tmp_path / "data")
    assert open_dataset("pets", tmp_path / "data").fingerprint("test") == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["pets"]


def test_a_damaged_set_is_not_called_the_same(arrays: Path, tmp_path: Path) -> None:
    prepare("pets", arrays, tmp_path / "data")
    path = tmp_path / "data" / "pets" / "test" / "images.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with refused(UserError, tmp_path / "data" / "pets", "remove that folder first"):
        prepare("pets", arrays, tmp_path / "data")


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Make the system refuse to let any file grow beyond ``size`` bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["arrays", "folders", "zip"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    data = splits(per_class=30, side=16)
    folders = write_folders(tmp_path / "folders", data)
    sources = {
        "arrays": write_arrays(tmp_path / "arrays", data),
        "folders": folders,
        "zip": write_zip(folders, tmp_path / "x.zip"),
    }
    with (
        refused(UserError, "cannot prepare 'pets'", "free space or mend", untouched=tmp_path / "data"),
        at_most(20_000),
    ):
        prepare("pets", sources[kind], tmp_path / "data")


def test_no_space_left_names_the_file(arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "labels.npy")

    monkeypatch.setattr(module.np, "save", full)
    with refused(UserError, "No space left on device", "labels.npy", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


def test_a_data_folder_that_cannot_be_made(arrays: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with refused(UserError, "cannot prepare 'pets'", tmp_path / "data", "Not a directory"):
        prepare("pets", arrays, tmp_path / "data")


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    source = write_folders(tmp_path / "in", splits())
    with pytest.raises(KeyboardInterrupt):
        prepare("pets", source, tmp_path / "data", stop)
    assert list((tmp_path / "data").iterdir()) == []
    assert len(prepare("pets", source, tmp_path / "data").labels("test")) == 9


def test_a_kill_leaves_no_data_set(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "in", splits())
    if (child := os.fork()) == 0:
        prepare("pets", source, tmp_path / "data", lambda done, total: os._exit(9) if done == 10 else None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "data" / "pets").exists()
    assert len(prepare("pets", source, tmp_path / "data").labels("test")) == 9


def test_the_official_test_images_round_trip(reference: Path, tmp_path: Path) -> None:
    grid = np.asarray(Image.open(reference / "data/cifar10/test_00.webp").convert("RGB"))
    images = grid.reshape(25, 32, 40, 32, 3).transpose(0, 2, 1, 3, 4).reshape(1000, 32, 32, 3)
    labels = np.load(reference / "data/cifar10/labels.npy")[50_000:]
    by_arrays = prepare(
        "cifar10_first", write_arrays(tmp_path / "a", {"test": (images, labels)}, CIFAR10), tmp_path / "data"
    )
    np.testing.assert_array_equal(by_arrays.images("test"), images)
    np.testing.assert_array_equal(by_arrays.labels("test"), labels)
    assert by_arrays.labels("test")[:5].tolist() == [3, 8, 8, 0, 6]  # cat, ship, ship, airplane, frog

    folders = write_folders(tmp_path / "f", {"test": (images, labels)}, CIFAR10)
    by_folders = prepare("cifar10_sorted", folders, tmp_path / "data")
    order = np.argsort(labels, kind="stable")
    assert by_folders.classes == CIFAR10
    np.testing.assert_array_equal(by_folders.images("test"), images[order])
    np.testing.assert_array_equal(by_folders.labels("test"), labels[order])
    np.testing.assert_allclose(by_folders.mean, by_arrays.mean, rtol=1e-12)
    np.testing.assert_allclose(by_arrays.mean, (0.491, 0.482, 0.447), atol=0.02)
