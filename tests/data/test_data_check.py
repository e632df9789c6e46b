"""Opening prepared data, and ``data check``."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_builders import refused, result_or_refusal, shrink, splits, write_arrays, write_cifar10, write_folders
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustbench_msda.data.check import DataStatus, check, check_one
from robustbench_msda.data.datasets import DATASETS, open_dataset
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData, MissingData


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    prepare("pets", write_arrays(tmp_path / "in", splits()), tmp_path / "data")
    return tmp_path / "data"


def by_name(data_dir: Path) -> dict[str, DataStatus]:
    return {status.name: status for status in check(data_dir)}


def test_nothing_there_is_said_of_every_known_set(tmp_path: Path) -> None:
    statuses = by_name(tmp_path / "absent")
    assert {name: status.state for name, status in statuses.items()} == {
        "digits": "embedded", "cifar10": "not found", "cifar10_40k": "not found", "cifar100": "not found",
            "fashion_mnist": "not found",
            "tiny_imagenet": "not found", "imagenet": "not found", "imagenet100": "not found",
            "imagenet_64": "not found", "imagenet100_64": "not found",
    }  # fmt: skip
    assert statuses["cifar10"].where == str(tmp_path / "absent" / "cifar10")
    assert statuses["cifar10"].get == DATASETS["cifar10"].get
    assert not (tmp_path / "absent").exists()


def test_what_is_there_is_described(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 50, 10)
    prepare("cifar10", write_cifar10(tmp_path / "official")[0], data_dir)
    statuses = by_name(data_dir)
    assert list(statuses) == [*DATASETS, "pets"]
    assert (statuses["pets"].state, statuses["cifar10"].state) == ("found", "found")
    assert statuses["pets"].detail == "3 classes, 6×6; train 9 (3 to 3 a class); test 9 (3 to 3 a class)"
    assert "train 50 (5 to 5 a class); test 10 (1 to 1 a class)" in statuses["cifar10"].detail
    assert statuses["digits"].detail.startswith("10 classes, 32×32; train 1,297 (126 to 132 a class)")


def test_other_folders_are_none_of_ours(data_dir: Path) -> None:
    for name in ("CIFAR-10-C", ".pets.123.part", "My Set"):
        (data_dir / name).mkdir()
        (data_dir / name / "meta.json").write_text("{}")
    (data_dir / "frost").mkdir()
    (data_dir / "note.txt").write_text("x")
    assert list(by_name(data_dir)) == [*DATASETS, "pets"]


@pytest.mark.parametrize("name", ["train/images.npy", "test/labels.npy", "classes.txt"])
def test_a_changed_byte_is_found(data_dir: Path, name: str) -> None:
    path = data_dir / "pets" / name
    path.write_bytes(path.read_bytes().replace(b"cat", b"bat")[:-1] + (b"\x00" if name != "classes.txt" else b"\n"))
    if name == "train/images.npy":
        data = bytearray(path.read_bytes())
        data[-2] ^= 1
        path.write_bytes(data)
    if name == "test/labels.npy":
        np.save(path, np.load(path)[::-1])
    open_dataset("pets", data_dir)  # cheap checks see nothing
    status = by_name(data_dir)["pets"]
    assert status.state == "damaged"
    assert f"{path}: its bytes are not those that were prepared" in status.detail
    assert "data prepare pets --from" in status.detail


def test_a_shortened_file_is_found_at_opening(data_dir: Path) -> None:
    path = data_dir / "pets" / "train" / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with refused(DamagedData, path, ".npy"):
        open_dataset("pets", data_dir)
    assert check_one("pets", data_dir).state == "damaged"


def test_arrays_that_agree_with_each_other_but_not_with_the_record(data_dir: Path) -> None:
    for kind in ("images", "labels"):
        path = data_dir / "pets" / "test" / f"{kind}.npy"
        np.save(path, np.load(path)[:6])
    with refused(DamagedData, data_dir / "pets" / "test", "expected 9 images", "found 6", "move"):
        open_dataset("pets", data_dir)


def test_a_label_out_of_range_is_found_at_opening(data_dir: Path) -> None:
    np.save(data_dir / "pets" / "test" / "labels.npy", np.full(9, 3))
    with refused(DamagedData, data_dir / "pets" / "test", "found 3 to 3"):
        open_dataset("pets", data_dir)


@pytest.mark.parametrize("name", ["meta.json", "classes.txt", "train/images.npy", "test/labels.npy"])
def test_a_missing_file_is_named(data_dir: Path, name: str) -> None:
    (data_dir / "pets" / name).unlink()
    with refused(DamagedData, data_dir / "pets" / name):
        open_dataset("pets", data_dir)


def test_a_folder_that_was_never_prepared(tmp_path: Path) -> None:
    write_arrays(tmp_path / "cifar10", splits())
    with refused(DamagedData, tmp_path / "cifar10" / "meta.json", "data prepare cifar10 --from"):
        open_dataset("cifar10", tmp_path)
    assert check_one("cifar10", tmp_path).state == "damaged"


CHANGES = [
    ({"std": [0.2, 0.0, 0.2]}, "std.1"),
    ({"mean": [0.5, 0.5, 125.0]}, "mean.2"),
    ({"mean": [0.5]}, "mean and in std, got 1, 3"),
    ({"test": 0}, "test"),
    ({"train": 0}, "train: expected 0 images"),
    ({"side": "wide"}, "side"),
    ({"format": 2}, "format"),
    ({"source": "thin air"}, "source"),
    ({"extra": 1}, "extra"),
    ({"name": "cats"}, "expected name 'pets', found 'cats'"),
]


@pytest.mark.parametrize(("change", "fragment"), CHANGES)
def test_a_damaged_record(data_dir: Path, change: dict[str, object], fragment: str) -> None:
    path = data_dir / "pets" / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with refused(DamagedData, path.parent, fragment, "move"):
        open_dataset("pets", data_dir)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff\x00"])
def test_a_record_that_is_no_json(data_dir: Path, text: str) -> None:
    (data_dir / "pets" / "meta.json").write_text(text, encoding="latin1")
    with refused(DamagedData, data_dir / "pets" / "meta.json"):
        open_dataset("pets", data_dir)


def test_a_set_of_ones_own_cannot_pass_for_a_known_one(data_dir: Path) -> None:
    (data_dir / "pets").rename(data_dir / "cifar10")
    path = data_dir / "cifar10" / "meta.json"
    path.write_text(path.read_text().replace('"pets"', '"cifar10"'))
    with refused(DamagedData, data_dir / "cifar10" / "classes.txt", "expected the 10 classes of cifar10", "found 3"):
        open_dataset("cifar10", data_dir)


def test_a_known_set_keeps_its_statistics_whatever_the_record_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch, "cifar10", 50, 10)
    prepare("cifar10", write_cifar10(tmp_path / "official")[0], tmp_path / "data")
    path = tmp_path / "data" / "cifar10" / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mean": [0.5] * 3}))
    assert open_dataset("cifar10", tmp_path / "data").mean == DATASETS["cifar10"].mean


def test_an_absent_split_is_missing(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "in", {"test": splits()["test"]})
    dataset = prepare("pets", source, tmp_path / "data")
    with refused(MissingData, "has no train images", "prepare it from a source that has them"):
        dataset.images("train")
    assert check_one("pets", tmp_path / "data").detail == "3 classes, 6×6; test 9 (3 to 3 a class)"


def test_a_dataset_is_small_to_send(data_dir: Path) -> None:
    dataset = open_dataset("pets", data_dir)
    sent = pickle.dumps(dataset)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).images("test"), splits()["test"][0])


def test_files_that_go_away_after_opening(data_dir: Path) -> None:
    dataset = open_dataset("pets", data_dir)
    (data_dir / "pets" / "test" / "images.npy").unlink()
    with refused(DamagedData, data_dir / "pets" / "test" / "images.npy"):
        dataset.images("test")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["test/images.npy", "train/labels.npy", "meta.json", "classes.txt"]),
    changes=st.lists(st.tuples(st.integers(0, 140), st.integers(0, 255)), min_size=1, max_size=4),
)
@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing")
def test_any_change_of_a_file_is_read_or_refused(data_dir: Path, name: str, changes: list[tuple[int, int]]) -> None:
    path = data_dir / "pets" / name
    whole = path.read_bytes()
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data)
    try:
        dataset = result_or_refusal(lambda: open_dataset("pets", data_dir))
        if dataset is not None:
            assert dataset.images("test").shape == (9, 6, 6, 3)
            assert dataset.labels("train").max() < 3
    finally:
        path.write_bytes(whole)
