"""idx files, and images of one channel in prepared data sets."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_builders import refused, result_or_refusal, shrink, splits, write_arrays, write_folders, write_idx, write_tar
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.data import idx
from robustbench_msda.data.check import check_one, describe
from robustbench_msda.data.classes import FASHION_MNIST
from robustbench_msda.data.datasets import DATASETS, open_dataset
from robustbench_msda.data.downloads import DOWNLOADS
from robustbench_msda.data.idx import FILES, parse
from robustbench_msda.data.prepare import channel_statistics, prepare
from robustbench_msda.errors import DamagedData, MissingData, UserError

CLASSES = ("cat", "dog", "eel")
NAMES = "\n".join(CLASSES) + "\n"


def grey(per_class: int = 3, classes: int = 3, side: int = 6) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return splits of grey images (N, side, side)."""
    return {name: (images[..., 0], labels) for name, (images, labels) in splits(per_class, classes, side).items()}


def header(*shape: int, type_: int = 8) -> bytes:
    return bytes([0, 0, type_, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "in", grey(), NAMES)


def test_the_golden_bytes_of_the_format() -> None:
    assert parse(bytes.fromhex("00000801 00000003 00 07 ff"), 1, "x").tolist() == [0, 7, 255]
    image = parse(bytes.fromhex("00000803 00000002 00000001 00000002 01 02 03 04"), 3, "x")
    assert image.tolist() == [[[1, 2]], [[3, 4]]]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("form", ["folder", "zip", "tar", "one folder down"])
def test_a_set_of_ones_own(tmp_path: Path, suffix: str, form: str) -> None:
    data = grey()
    source = write_idx(tmp_path / "in" / "raw", data, NAMES, suffix)
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            for path in source.iterdir():
                archive.write(path, f"FashionMNIST/{path.name}")
        source = tmp_path / "in.zip"
    elif form == "tar":
        source = write_tar(source, tmp_path / "in.tar.xz", "w:xz")
    elif form == "one folder down":
        source = source.parent
    dataset = prepare("letters", source, tmp_path / "data")
    assert (dataset.classes, dataset.side, dataset.channels) == (CLASSES, 6, 1)
    for split, (images, labels) in data.items():
        np.testing.assert_array_equal(dataset.images(split), images[..., None])
        np.testing.assert_array_equal(dataset.labels(split), labels)
    assert dataset.mean == (pytest.approx(data["train"][0].mean() / 255),)
    assert dataset.std == (pytest.approx(data["train"][0].std() / 255),)
    assert json.loads((tmp_path / "data" / "letters" / "meta.json").read_text())["source"] == "idx"
    assert describe(dataset).startswith("3 classes, 6×6 grey; train 9")
    assert check_one("letters", tmp_path / "data").state == "found"


def test_test_images_are_enough_for_a_set_of_ones_own(tmp_path: Path) -> None:
    source = write_idx(tmp_path / "in", {"test": grey()["test"]}, NAMES)
    assert prepare("letters", source, tmp_path / "data").splits == ("test",)
    source = write_idx(tmp_path / "else", {"train": grey()["train"]}, NAMES)
    with refused(DamagedData, source, "expected test images", untouched=tmp_path / "none"):
        prepare("letters", source, tmp_path / "none")


@pytest.mark.parametrize("name", [*FILES, "classes.txt"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    with refused(DamagedData, folder, repr(name), "found none", untouched=tmp_path / "data"):
        prepare("letters", folder, tmp_path / "data")


def test_one_of_the_files_is_no_source(folder: Path, tmp_path: Path) -> None:
    with refused(UserError, folder / FILES[0], "name the folder", untouched=tmp_path / "data"):
        prepare("fashion_mnist", folder / FILES[0], tmp_path / "data")


IMAGES = header(9, 6, 6) + bytes(9 * 36)
BAD = {
    "empty": (b"", "found nothing"),
    "text": (b"<html>", "found 3c68746d"),
    "signed": (header(9, 6, 6, type_=9) + bytes(9 * 36), "found 00000903"),
    "floats": (header(9, 6, 6, type_=13) + bytes(9 * 36 * 4), "found 00000d03"),
    "labels": (header(9) + bytes(9), "found 00000801"),
    "half a header": (IMAGES[:15], "found 00000803"),
    "no images": (header(0, 6, 6), "dimensions (0, 6, 6)"),
    "no pixels": (header(9, 0, 2**32 - 1), "found dimensions (9, 0,"),
    "cut": (IMAGES[:-1], "expected 324 values by its header, found 323"),
    "longer": (IMAGES + b"\0", "expected 324 values by its header, found more"),
    "a lie": (header(2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(100), "by its header, found fewer"),
    "a small lie": (header(90, 6, 6) + bytes(9 * 36), "expected 3,240 values"),
    "not square": (header(9, 4, 9) + bytes(9 * 36), "found (9, 4, 9, 1)"),
    "other labels": (header(8, 6, 6) + bytes(8 * 36), "9 labels and 8 images"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_that_are_not_what_they_claim(folder: Path, tmp_path: Path, case: str, suffix: str) -> None:
    data, fragment = BAD[case]
    (folder / FILES[0]).unlink()
    (folder / f"{FILES[0]}{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    with refused(DamagedData, folder, fragment, untouched=tmp_path / "data"):
        prepare("letters", folder, tmp_path / "data")


def test_a_class_that_has_no_name(tmp_path: Path) -> None:
    source = write_idx(tmp_path / "in", grey(), "cat\ndog\n")
    with refused(DamagedData, "expected 0 to 1 (2 classes), found 0 to 2", untouched=tmp_path / "data"):
        prepare("letters", source, tmp_path / "data")


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a header promises is believed only as far as a file of that size can hold it, and read piece by piece."""
    monkeypatch.setattr(idx, "LEAST_CAP", 1000)
    honest = gzip.compress(header(2000) + bytes(2000))
    assert parse(honest, 1, "x").shape == (2000,)
    bomb = gzip.compress(header(500_000) + bytes(500_000))
    assert len(bomb) < 5_000
    with refused(DamagedData, "expected 500,000 values by its header, found fewer"):
        parse(bomb, 1, "x")
    quiet = gzip.compress(header(10) + bytes(3 * 10**7))
    tracemalloc.start()
    with refused(DamagedData, "expected 10 values by its header, found more"):
        parse(quiet, 1, "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


@pytest.mark.parametrize("at", [3, 12, -8, -5, -1])
def test_damage_to_a_gzip_file_is_seen(at: int) -> None:
    content = gzip.compress(header(3000) + np.random.default_rng(0).bytes(3000), mtime=0)
    with refused(DamagedData, "letters"):
        parse(content[:at], 1, "letters")
    if at not in (3,):
        broken = bytearray(content)
        broken[at] ^= 0xFF
        with refused(DamagedData, "letters"):
            parse(bytes(broken), 1, "letters")


@given(st.binary(max_size=60), st.integers(1, 3), st.booleans())
def test_no_file_makes_a_traceback(data: bytes, dimensions: int, packed: bool) -> None:
    whole = bytes([0, 0, 8, dimensions]) + data
    array = result_or_refusal(lambda: parse(gzip.compress(whole) if packed else whole, dimensions, "x"))
    assert array is None or (array.ndim == dimensions and header(*array.shape) + array.tobytes() == whole)


def fashion(count: int = 20) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {split: (np.repeat(images, 2, 0)[:count], np.arange(count) % 10) for split, (images, _) in
            grey(per_class=5, classes=10, side=28).items()}  # fmt: skip


def test_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DATASETS["fashion_mnist"]
    assert (spec.train, spec.test, spec.side, spec.channels) == (60_000, 10_000, 28, 1)
    assert (spec.classes[0], spec.classes[9], len(set(spec.classes))) == ("T-shirt/top", "Ankle boot", 10)
    shrink(monkeypatch, "fashion_mnist", 20, 20)
    dataset = prepare("fashion-mnist", write_idx(tmp_path / "in", fashion(), "", ".gz"), tmp_path / "data")
    assert (dataset.name, dataset.classes, dataset.channels) == ("fashion_mnist", FASHION_MNIST, 1)
    assert (dataset.mean, dataset.std) == ((0.2860,), (0.3530,))
    assert dataset.images("train").shape == (20, 28, 28, 1)
    assert dataset.labels("test").tolist() == fashion()["test"][1].tolist()
    assert open_dataset("fashion_mnist", tmp_path / "data") == dataset


def test_what_is_not_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = fashion()
    out = tmp_path / "data"
    with refused(DamagedData, "expected 60,000 train images of fashion_mnist, found 20", untouched=out):
        prepare("fashion_mnist", write_idx(tmp_path / "few", data), out)
    shrink(monkeypatch, "fashion_mnist", 20, 20)
    with refused(DamagedData, "expected the file 'train-images-idx3-ubyte'", "found none", untouched=out):
        prepare("fashion_mnist", write_idx(tmp_path / "half", {"test": data["test"]}), out)
    with refused(DamagedData, "labels: expected 2 of each class", untouched=out):
        labels = np.array([0, *range(1, 10), *range(1, 10), 1])
        prepare("fashion_mnist", write_idx(tmp_path / "odd", {**data, "test": (data["test"][0], labels)}), out)
    with refused(DamagedData, "expected images of 28×28", "found 6×6", untouched=out):
        prepare("fashion_mnist", write_idx(tmp_path / "small", grey(2, 10)), out)
    colour = {split: (np.repeat(images[..., None], 3, 3), labels) for split, (images, labels) in data.items()}
    with refused(DamagedData, "expected images of 1 channels", "found 3", untouched=out):
        prepare("fashion_mnist", write_arrays(tmp_path / "rgb", colour, FASHION_MNIST), out)
    files = tuple(name.replace("/", " or ") for name in FASHION_MNIST)
    with refused(UserError, "class folders make RGB", "data fetch fashion_mnist", untouched=out):
        prepare("fashion_mnist", write_folders(tmp_path / "folders", data, files), out)


def test_idx_files_of_another_known_set_are_refused(folder: Path, tmp_path: Path) -> None:
    with refused(DamagedData, "32×32", "found 6×6", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


def test_fashion_mnist_as_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "fashion_mnist", 20, 20)
    source = write_arrays(tmp_path / "in", fashion(), FASHION_MNIST)
    assert prepare("fashion_mnist", source, tmp_path / "data").images("test").shape == (20, 28, 28, 1)
    from_idx = prepare("fashion_mnist", write_idx(tmp_path / "idx", fashion()), tmp_path / "else")
    assert from_idx.fingerprint("test") == open_dataset("fashion_mnist", tmp_path / "data").fingerprint("test")


def test_the_published_checksums() -> None:
    """The MD5 that the authors' README prints, in both places."""
    from torchvision.datasets import FashionMNIST

    archives = DOWNLOADS["fashion_mnist"].archives
    assert [(each.filename, each.md5) for each in archives] == FashionMNIST.resources
    assert {each.url.removesuffix(each.filename) for each in archives} == set(FashionMNIST.mirrors)
    assert {each.filename for each in archives} == {f"{name}.gz" for name in FILES}


@pytest.mark.parametrize("last", [(), (1,)])
def test_grey_arrays_of_ones_own_have_one_channel(tmp_path: Path, last: tuple[int, ...]) -> None:
    data = {split: (images.reshape(*images.shape, *last), labels) for split, (images, labels) in grey().items()}
    dataset = prepare("letters", write_arrays(tmp_path / "in", data), tmp_path / "data")
    assert dataset.channels == 1
    np.testing.assert_array_equal(dataset.images("train")[..., 0], grey()["train"][0])


def test_grey_training_and_coloured_test_images_are_refused(tmp_path: Path) -> None:
    source = write_arrays(tmp_path / "in", {"train": grey()["train"], "test": splits()["test"]})
    with refused(DamagedData, source, "grey images in both", "(6, 6, 1), (6, 6, 3)", untouched=tmp_path / "data"):
        prepare("letters", source, tmp_path / "data")


@pytest.mark.parametrize("channels", [2, 4, 0])
def test_other_channels_are_refused(tmp_path: Path, channels: int) -> None:
    labels = splits()["test"][1]
    source = write_arrays(tmp_path / "in", {"test": (np.zeros((9, 6, 6, channels), np.uint8), labels)})
    with refused(DamagedData, f"found (9, 6, 6, {channels}) uint8", untouched=tmp_path / "data"):
        prepare("letters", source, tmp_path / "data")


def test_statistics_of_one_channel_equal_those_of_the_same_in_three() -> None:
    images = grey()["train"][0][..., None]
    mean, std = channel_statistics(images)
    assert (len(mean), len(std)) == (1, 1)
    np.testing.assert_allclose((mean * 3, std * 3), channel_statistics(np.repeat(images, 3, 3)), rtol=1e-12)
    np.testing.assert_allclose((mean[0], std[0]), ((images / 255).mean(), (images / 255).std()))


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"mean": [0.5, 0.5], "std": [0.2, 0.2]}, "one or three numbers"),
        ({"mean": [0.5, 0.5, 0.5]}, "one or three numbers"),
        ({"mean": [], "std": []}, "one or three numbers"),
        ({"mean": [0.5] * 3, "std": [0.2] * 3}, "3 channels by meta.json, found 9 of side 6 and 1 channels"),
        ({"std": [0.0]}, "std"),
    ],
)
def test_a_meta_of_other_channels_than_its_images(
    folder: Path, tmp_path: Path, changes: dict[str, object], fragment: str
) -> None:
    meta = Path(str(prepare("letters", folder, tmp_path / "data").root)) / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), **changes}))
    with refused(DamagedData, meta.parent, fragment):
        open_dataset("letters", tmp_path / "data")


def test_it_says_how_to_get_it(tmp_path: Path) -> None:
    with refused(MissingData, "data fetch fashion_mnist", "data prepare fashion_mnist --from FOLDER"):
        open_dataset("fashion_mnist", tmp_path)
