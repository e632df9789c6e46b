"""The official batches: real pickles as Python 2 wrote them, and hostile ones."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from data_builders import (
    Arrays,
    batch,
    names,
    pictures,
    python2_pickle,
    refused,
    result_or_refusal,
    shrink,
    write_cifar10,
    write_tar,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_msda.data import official
from robustbench_msda.data.classes import CIFAR10, CIFAR100
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData, MissingData, UserError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 50, 10)
    shrink(monkeypatch, "cifar10_40k", 40, 10)
    shrink(monkeypatch, "cifar100", 200, 100)


def test_the_builder_pickles_as_python_2_did() -> None:
    stream = batch(pictures(2, 2, 0), np.arange(2))
    opcodes = {code.name for code, _, _ in pickletools.genops(stream)}
    assert {"PROTO", "SHORT_BINSTRING", "GLOBAL", "REDUCE", "BUILD"} <= opcodes
    assert not opcodes & {"BINUNICODE", "BINBYTES", "STACK_GLOBAL", "FRAME"}
    value = pickle.loads(stream, encoding="bytes")  # NumPy's own reading of the same bytes
    assert value[b"data"].tolist() == pictures(2, 2, 0).transpose(0, 3, 1, 2).reshape(2, 12).tolist()


def test_cifar10_round_trip(tmp_path: Path, small: None) -> None:
    folder, images = write_cifar10(tmp_path / "cifar-10-batches-py")
    dataset = prepare("cifar10", folder, tmp_path / "data")
    assert dataset.classes == CIFAR10
    np.testing.assert_array_equal(dataset.images("test"), images["test_batch"])
    expected = np.concatenate([images[f"data_batch_{i}"] for i in range(1, 6)])
    np.testing.assert_array_equal(dataset.images("train"), expected)
    assert dataset.labels("train").tolist() == [*range(9, -1, -1)] * 5


def test_cifar10_40k_takes_the_first_four_and_the_fifth(tmp_path: Path, small: None) -> None:
    folder, images = write_cifar10(tmp_path / "cifar-10-batches-py")
    dataset = prepare("cifar10-40k", folder, tmp_path / "data")
    expected = np.concatenate([images[f"data_batch_{i}"] for i in range(1, 5)])
    np.testing.assert_array_equal(dataset.images("train"), expected)
    np.testing.assert_array_equal(dataset.images("test"), images["data_batch_5"])


def write_cifar100(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate((("train", 200), ("test", 100))):
        (folder / name).write_bytes(batch(pictures(count, 32, seed), np.arange(count) % 100, b"fine_labels"))
    (folder / "meta").write_bytes(names(CIFAR100, b"fine_label_names"))
    return folder


def test_cifar100_fine_labels(tmp_path: Path, small: None) -> None:
    dataset = prepare("cifar100", write_cifar100(tmp_path / "cifar-100-python"), tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("train"), pictures(200, 32, 0))
    assert dataset.classes[8] == "bicycle"
    assert dataset.labels("test").tolist() == list(range(100))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_the_official_archive(tmp_path: Path, small: None, mode: str) -> None:
    folder, images = write_cifar10(tmp_path / "cifar-10-batches-py")
    archive = write_tar(folder, tmp_path / "cifar-10-python.tar", mode, "cifar-10-batches-py/")
    dataset = prepare("cifar10", archive, tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("test"), images["test_batch"])
    assert prepare("cifar10", folder, tmp_path / "other").fingerprint("train") == dataset.fingerprint("train")


@pytest.mark.parametrize("protocol", [3, 4])
def test_batches_pickled_again_by_python_3(tmp_path: Path, small: None, protocol: int) -> None:
    folder, images = write_cifar10(tmp_path / "batches")
    for path in folder.glob("*batch*"):
        path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes(), encoding="bytes"), protocol=protocol))
    dataset = prepare("cifar10", folder, tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("test"), images["test_batch"])


def test_the_true_counts_are_demanded(tmp_path: Path) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    with refused(DamagedData, folder, "expected 50,000 train", "found 50;", "own", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


def test_labels_of_another_balance_are_refused(tmp_path: Path, small: None) -> None:
    folder, images = write_cifar10(tmp_path / "batches")
    (folder / "test_batch").write_bytes(batch(images["test_batch"], np.array([0, *range(9)])))
    with refused(DamagedData, folder, "expected 1 of each class", "found 0 to 2", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


class Hostile:
    """Would run a command when unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.flag}",)


REBUILT = b"cnumpy\ndtype\n}(U\x01xK\x01ubcnumpy.core.multiarray\n_reconstruct\n"
STREAMS = {
    "no pickle": (b"<html>not found</html>", "expected a pickled batch"),
    "empty": (b"", "expected a pickled batch"),
    "cut": (batch(pictures(10, 32, 0), np.arange(10))[:-4000], "expected a pickled batch"),
    "a list": (pickle.dumps([1]), "expected a dictionary, found list"),
    "eval": (b"cbuiltins\neval\n(U\x041+1+tR.", "'builtins.eval'"),
    "a dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "'numpy.ndarray.__class__'"),
    "object array": (batch(pictures(10, 32, 0), np.arange(10), code=b"O8"), "uint8"),
    "floats": (batch(pictures(10, 32, 0), np.arange(10), code=b"f1"), "uint8"),
    "a function changed": (REBUILT + b".", "expected a pickled batch"),
    "no data": (names(("a",)), "expected an array under b'data', found NoneType"),
    "labels out of range": (batch(pictures(10, 32, 0), np.arange(10) + 1), "found 1 to 10"),
    "negative labels": (batch(pictures(10, 32, 0), np.arange(10) - 1), "expected a list of labels"),
    "labels missing": (batch(pictures(10, 32, 0), np.arange(10), b"other"), "expected a list of labels"),
    "too few labels": (batch(pictures(10, 32, 0), np.arange(9)), "found 9 labels for 10 images"),
    "another side": (batch(pictures(10, 16, 0), np.arange(10)), "expected rows of 3072 bytes"),
    "a number as data": (python2_pickle({b"data": b"K\x01"}), "found int"),
    "persistent": (b"Pid\n.", "expected a pickled batch"),
    "deep": (b"(" * 10_000 + b"t" * 9_999 + b".", "expected a dictionary, found tuple"),
    "huge memo": (b"}r\xff\xff\xff\x7f.", "remembers more"),
    "huge memo in text": (b"}p2147483647\n.", "remembers more"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_batch_that_is_something_else(tmp_path: Path, small: None, case: str) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    stream, fragment = STREAMS[case]
    (folder / "test_batch").write_bytes(stream)
    with refused(DamagedData, folder, fragment, untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


def test_a_hostile_pickle_runs_nothing_and_names_what_it_asked_for(tmp_path: Path, small: None) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    (folder / "data_batch_3").write_bytes(pickle.dumps(Hostile(tmp_path / "flag"), protocol=2))
    with refused(DamagedData, folder, "data_batch_3", ".system'", "get it again", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")
    assert not (tmp_path / "flag").exists()


def test_a_pickle_cannot_change_what_the_next_one_sees(tmp_path: Path, small: None) -> None:
    for module, name in official.ALLOWED:
        stream = f"c{module}\n{name}\n".encode() + b"(N}U\x05_makeNsu\x86b."
        with pytest.raises(DamagedData):
            official._dictionary(stream, "here")
    folder, _ = write_cifar10(tmp_path / "batches")
    assert prepare("cifar10", folder, tmp_path / "data").labels("test").tolist() == [*range(9, -1, -1)]


def test_a_missing_batch_is_named(tmp_path: Path, small: None) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    (folder / "data_batch_2").unlink()
    with refused(DamagedData, folder, "'data_batch_2'", "get it again", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


def test_an_absurdly_large_batch_is_not_read(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    monkeypatch.setattr(official, "MOST_BATCH", 1000)
    with refused(DamagedData, "larger than any official batch", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


def test_other_class_names_are_refused(tmp_path: Path, small: None) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    (folder / "batches.meta").write_bytes(names(("plane", *CIFAR10[1:])))
    with refused(DamagedData, "batches.meta", "'plane' where 'airplane' belongs", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


@pytest.mark.parametrize(("name", "hint"), [("cifar100", "cifar10 or cifar10_40k"), ("mine", "cifar10 or cifar10_40k")])
def test_batches_of_another_set_are_named(tmp_path: Path, small: None, name: str, hint: str) -> None:
    folder, _ = write_cifar10(tmp_path / "batches")
    with refused(UserError, folder, f"prepare them as {hint}", untouched=tmp_path / "data"):
        prepare(name, folder, tmp_path / "data")


def test_cifar100_batches_given_as_cifar10(tmp_path: Path, small: None) -> None:
    folder = write_cifar100(tmp_path / "batches")
    with refused(UserError, folder, "prepare them as cifar100", untouched=tmp_path / "data"):
        prepare("cifar10", folder, tmp_path / "data")


def test_nothing_there(tmp_path: Path) -> None:
    with refused(MissingData, f"--from {tmp_path / 'absent'}", "correct the path", untouched=tmp_path / "data"):
        prepare("cifar10", tmp_path / "absent", tmp_path / "data")


WHOLE = batch(pictures(10, 32, 0), np.arange(10))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_any_change_of_a_pickle_is_read_or_refused_in_one_line(changes: list[tuple[int, int]], at_end: bool) -> None:
    stream = bytearray(WHOLE)
    for place, value in changes:
        stream[-1 - place if at_end else place] = value

    def read() -> Arrays:
        return official._batch(official._dictionary(bytes(stream), "here"), b"labels", 32, "here")

    if found := result_or_refusal(read):
        images, labels = found
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), 32, 32, 3)
