"""The data fingerprint and its memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from data_builders import pictures, splits, write_arrays
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_msda.data import datasets
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.data.fingerprints import fingerprint
from robustbench_msda.data.prepare import prepare


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    return prepare("pets", write_arrays(tmp_path / "arrays", splits()), tmp_path / "data")


def aged(dataset: Dataset, seconds: float = 60) -> Dataset:
    """Give the files an older time of change, so that their fingerprint is worth remembering."""
    assert dataset.root is not None
    for path in dataset.root.rglob("*.npy"):
        os.utime(path, (time.time() - seconds,) * 2)
    return dataset


def test_is_the_hash_of_labels_then_images_with_their_shapes() -> None:
    images, labels = splits()["test"]
    text = b"labels (9,)\n" + b"".join(int(v).to_bytes(8, "little") for v in labels)
    text += b"images (9, 6, 6, 3)\n" + images.tobytes()
    assert fingerprint(images, labels) == hashlib.sha256(text).hexdigest()


def test_more_images_than_a_chunk_are_hashed_in_order() -> None:
    images, labels = pictures(2500, 2, 0), np.zeros(2500, dtype=np.int64)
    first = fingerprint(images, labels)
    images[[1500, 2400]] = images[[2400, 1500]]
    assert fingerprint(images, labels) != first


@settings(max_examples=40)
@given(position=st.integers(0, 9 * 108 - 1), add=st.integers(1, 255))
def test_changes_with_one_byte_of_the_images(position: int, add: int) -> None:
    images, labels = splits()["test"]
    other = images.copy()
    other.ravel()[position] ^= add
    assert fingerprint(other, labels) != fingerprint(images, labels)


@settings(max_examples=20)
@given(position=st.integers(0, 8), add=st.integers(1, 100))
def test_changes_with_one_label(position: int, add: int) -> None:
    images, labels = splits()["test"]
    other = labels.copy()
    other[position] += add
    assert fingerprint(images, other) != fingerprint(images, labels)


def test_does_not_depend_on_how_the_labels_are_stored(tmp_path: Path, pets: Dataset) -> None:
    data = {split: (images, labels.astype(np.uint8)) for split, (images, labels) in splits().items()}
    other = prepare("pets", write_arrays(tmp_path / "small", data), tmp_path / "else")
    assert other.fingerprint("test") == pets.fingerprint("test") == fingerprint(*splits()["test"])
    assert pets.fingerprint("train") != pets.fingerprint("test")


def test_is_stable_over_copies_and_the_memory_does_not_move(tmp_path: Path, pets: Dataset) -> None:
    aged(pets)
    before = pets.fingerprint("test")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    cache = tmp_path / "copy" / "pets" / "fingerprints.json"
    cache.write_text(cache.read_text().replace(before, "0" * 64))
    assert open_dataset("pets", tmp_path / "copy").fingerprint("test") == before


def test_is_remembered(pets: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = aged(pets).fingerprint("test")
    calls: list[int] = []
    monkeypatch.setattr(datasets, "fingerprint", lambda *_: calls.append(1) or "f" * 64)
    assert pets.fingerprint("test") == first
    assert calls == []
    assert pets.fingerprint("train") == "f" * 64
    assert calls == [1]


@pytest.mark.parametrize("age", [0, 60])
def test_a_changed_byte_is_seen(pets: Dataset, age: int) -> None:
    assert pets.root is not None
    if age:
        aged(pets, age)
    before = pets.fingerprint("test")
    path = pets.root / "test" / "images.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert pets.fingerprint("test") != before


def test_young_files_are_not_remembered(pets: Dataset) -> None:
    assert pets.root is not None
    pets.fingerprint("test")
    assert not (pets.root / "fingerprints.json").exists()
    aged(pets).fingerprint("test")
    assert len(json.loads((pets.root / "fingerprints.json").read_text())) == 1


def test_a_folder_that_cannot_be_written_to_costs_only_time(pets: Dataset) -> None:
    assert pets.root is not None
    (pets.root / "fingerprints.json").mkdir()  # nobody can write over a folder, not even root
    first = aged(pets).fingerprint("test")
    assert first == pets.fingerprint("test") == fingerprint(*splits()["test"])


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[[1]]", "\xff", '{"KEY": 3}', '{"KEY": "short"}', "[" * 9999])
def test_a_damaged_memory_is_made_anew(pets: Dataset, text: str) -> None:
    assert pets.root is not None
    aged(pets).fingerprint("test")
    cache = pets.root / "fingerprints.json"
    (key,) = json.loads(cache.read_text())
    cache.write_text(text.replace("KEY", key), encoding="latin1")
    assert pets.fingerprint("test") == fingerprint(*splits()["test"])
    assert key in json.loads(cache.read_text())
