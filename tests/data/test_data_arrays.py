"""Arrays as a source, and which of them are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_builders import CLASSES, pictures, refused, shrink, splits, write_arrays

from robustbench_msda.data.classes import CIFAR10
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    return write_arrays(tmp_path / "arrays", splits())


def test_class_names_may_lie_in_each_split(arrays: Path, tmp_path: Path) -> None:
    (arrays / "classes.txt").unlink()
    for split in ("train", "test"):
        (arrays / split / "classes.txt").write_text("cat\r\ndog\r\neel\r\n")
    assert prepare("pets", arrays, tmp_path / "data").classes == CLASSES
    (arrays / "test" / "classes.txt").write_text("dog\ncat\neel\n")
    with refused(DamagedData, arrays / "test" / "classes.txt", "make the two the same", untouched=tmp_path / "else"):
        prepare("pets", arrays, tmp_path / "else")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "found 0"),
        ("cat\ncat\neel\n", "'cat' is listed twice"),
        ("a\nb\x07\nc", "'b\\x07'"),
        ("a\nb\n", "found 0 to 2"),
    ],
)
def test_class_names_that_cannot_be(arrays: Path, tmp_path: Path, text: str, fragment: str) -> None:
    (arrays / "classes.txt").write_text(text)
    with refused(DamagedData, arrays, fragment, untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


def test_class_names_are_needed_for_a_set_of_ones_own(arrays: Path, tmp_path: Path) -> None:
    (arrays / "classes.txt").unlink()
    with refused(DamagedData, arrays / "classes.txt", "one a line", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


IMAGES, LABELS = splits()["test"]
BAD = {
    "floats": ("images", IMAGES / 255, "found (9, 6, 6, 3) float64; convert"),
    "not a number": ("images", np.full((9, 6, 6, 3), np.nan, dtype=np.float32), "float32"),
    "channels first": ("images", np.moveaxis(IMAGES, -1, 1), "found (9, 3, 6, 6) uint8"),
    "flat": ("images", IMAGES.reshape(9, -1), "found (9, 108) uint8"),
    "grey and transparent": ("images", IMAGES[..., :2], "found (9, 6, 6, 2) uint8"),
    "no pixels": ("images", IMAGES[:, :0, :0], "found (9, 0, 0, 3) uint8"),
    "not square": ("images", IMAGES[:, :5], "found (9, 5, 6, 3)"),
    "none": ("images", IMAGES[:0], "found 9 labels and 0 images"),
    "signed": ("images", IMAGES.astype(np.int8), "int8"),
    "too few": ("images", IMAGES[:8], "found 9 labels and 8 images"),
    "another length": ("labels", LABELS[:4], "found 4 labels and 9 images"),
    "too large": ("labels", LABELS + 1, "expected 0 to 2 (3 classes), found 1 to 3"),
    "negative": ("labels", LABELS - 1, "found -1 to 1"),
    "enormous": ("labels", LABELS.astype(np.uint64) + np.uint64(2**63), "found 9223372036854775808"),
    "one-hot": ("labels", np.eye(3)[LABELS].astype(np.int64), "found (9, 3) int64"),
    "float labels": ("labels", LABELS.astype(np.float32), "float32"),
    "truth values": ("labels", LABELS > 1, "bool"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("split", ["train", "test"])
def test_arrays_that_cannot_be(arrays: Path, tmp_path: Path, case: str, split: str) -> None:
    kind, array, fragment = BAD[case]
    np.save(arrays / split / f"{kind}.npy", array)
    with refused(DamagedData, arrays / split, fragment, untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


def test_pickled_objects_are_not_loaded(arrays: Path, tmp_path: Path) -> None:
    np.save(arrays / "test" / "labels.npy", np.array([print] * 9, dtype=object), allow_pickle=True)
    with refused(DamagedData, arrays / "test" / "labels.npy", ".npy", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"text", b"\x93NUMPY\x01\x00\xff\xff{", b"PK\x03\x04"])
def test_files_that_are_no_arrays(arrays: Path, tmp_path: Path, data: bytes) -> None:
    (arrays / "test" / "images.npy").write_bytes(data)
    with refused(DamagedData, arrays / "test" / "images.npy", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


def test_an_archive_of_arrays_is_no_array(arrays: Path, tmp_path: Path) -> None:
    with (arrays / "test" / "images.npy").open("wb") as file:
        np.savez(file, images=IMAGES)
    with refused(DamagedData, arrays / "test" / "images.npy", "expected a NumPy array", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


def test_a_header_that_promises_more_than_there_is(arrays: Path, tmp_path: Path) -> None:
    with (arrays / "test" / "images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 6, 6, 3)})
    with refused(DamagedData, arrays / "test" / "images.npy", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_missing_file_is_named(arrays: Path, tmp_path: Path, name: str) -> None:
    (arrays / "test" / f"{name}.npy").unlink()
    with refused(DamagedData, arrays / "test" / f"{name}.npy", untouched=tmp_path / "data"):
        prepare("pets", arrays, tmp_path / "data")


def test_column_order_changes_nothing(arrays: Path, tmp_path: Path) -> None:
    np.save(arrays / "test" / "images.npy", np.asfortranarray(IMAGES))
    dataset = prepare("pets", arrays, tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("test"), IMAGES)
    assert dataset.images("test").flags.c_contiguous


def test_train_and_test_of_two_sizes(tmp_path: Path) -> None:
    data = {"train": splits(side=6)["train"], "test": splits(side=5)["test"]}
    source = write_arrays(tmp_path / "in", data)
    with refused(DamagedData, source, "sides [5, 6]", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def cifar(train: int, test: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    labels = np.random.default_rng(0).permutation(np.arange(train) % 10)
    data = {"train": (pictures(train, 32, 0), labels)}
    return {**data, "test": (pictures(test, 32, 1), np.arange(test) % 10)} if test else data


@pytest.mark.parametrize("test", [0, 3, 10])
def test_cifar10_40k_is_cut_out_of_all_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: int
) -> None:
    shrink(monkeypatch, "cifar10_40k", 40, 10)
    data = cifar(50, test)
    dataset = prepare("cifar10_40k", write_arrays(tmp_path / "in", data, CIFAR10), tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("train"), data["train"][0][:40])
    np.testing.assert_array_equal(dataset.images("test"), data["train"][0][40:])
    np.testing.assert_array_equal(dataset.labels("test"), data["train"][1][40:])


def test_cifar10_40k_is_taken_as_it_is_when_it_is_cut_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10_40k", 40, 10)
    data = cifar(40, 10)
    (source := write_arrays(tmp_path / "in", data, CIFAR10)) and (source / "classes.txt").unlink()
    dataset = prepare("cifar10_40k", source, tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("test"), data["test"][0])
    assert dataset.classes == CIFAR10


def test_a_parent_is_cut_for_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 40, 10)
    source = write_arrays(tmp_path / "in", cifar(50, 10), CIFAR10)
    with refused(DamagedData, source, "expected 40 train", "found 50", untouched=tmp_path / "data"):
        prepare("cifar10", source, tmp_path / "data")


def test_a_known_set_in_another_order_of_classes_is_refused(tmp_path: Path) -> None:
    source = write_arrays(tmp_path / "in", cifar(50, 10), (CIFAR10[1], CIFAR10[0], *CIFAR10[2:]))
    fragment = "'automobile' where 'airplane' belongs"
    with refused(DamagedData, source / "classes.txt", fragment, "own", untouched=tmp_path / "data"):
        prepare("cifar10", source, tmp_path / "data")


def test_a_known_set_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 10, 10)
    data = {split: (pictures(10, 8, 0), np.arange(10)) for split in ("train", "test")}
    source = write_arrays(tmp_path / "in", data, CIFAR10)
    with refused(DamagedData, source, "expected images of 32×32", "found 8×8", untouched=tmp_path / "data"):
        prepare("cifar10", source, tmp_path / "data")
