"""``models list`` and ``models inspect`` as a user meets them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from networks import fresh_checkpoint, saved

from robustbench_msda.cli.main import status
from robustbench_msda.cli.models import LONGEST, WIDTH, printable
from robustbench_msda.models.checkpoints import METADATA
from robustbench_msda.models.names import MODELS

Told = tuple[int, dict[str, str], list[str]]
Inspect = Callable[..., Told]


@pytest.fixture(autouse=True)
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(MODELS) - {"small_cnn", "resnet20"}:
        monkeypatch.delitem(MODELS, name)


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspect:
    """Return the exit status of the command, what it says by label, and its lines of error."""

    def run(*arguments: object) -> Told:
        left = status(["models", "inspect", *map(str, arguments)])
        printed = capsys.readouterr()
        rows = {line[:WIDTH].strip(): line[WIDTH:] for line in printed.out.splitlines()}
        return left, rows, printed.err.splitlines()

    return run


def test_models_list_is_list_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert status(["list", "models"]) == 0
    assert capsys.readouterr().out == listed
    assert "small_cnn" in listed
    assert "24,346" in listed


def test_a_run_folder(inspect: Inspect, tmp_path: Path) -> None:
    recipe: dict[str, object] = {
        "dataset": "digits",
        "model": "small_cnn",
        "augmentation": "cutmix(alpha=1.0)",
        "epochs": 3,
    }
    left, rows, errors = inspect(saved(tmp_path / "run", recipe=recipe))
    assert (left, errors) == (0, [])
    assert rows["format"] == "safetensors"
    assert rows["made by"] == "this package"
    assert rows["fingerprint"] == fresh_checkpoint().fingerprint
    assert rows["model"] == "small_cnn"
    assert "cutmix(alpha=1.0), 3 epochs, seed 0" in rows["recipe"]
    assert rows["data set"] == "digits, 10 classes: 0, 1, 2, 3, 4, 5 and 4 more"
    assert rows["normalisation"] == "mean 0.3051, 0.3051, 0.3051; std 0.3229, 0.3229, 0.3229"
    assert rows["tensors"] == "20, with 24,346 parameters"
    assert rows["numbers"] == "float32 in 17, int64 in 3"
    assert rows["first layer"] == "features.0.weight (16, 3, 3, 3)"
    assert rows["last layer"] == "linear.weight (10, 64)"
    assert rows["fits"] == "small_cnn: yes"


def test_a_strangers(inspect: Inspect, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in fresh_checkpoint().state.items()}
    torch.save({"state_dict_ema": state, "epoch": 3, "optimizer": {}}, tmp_path / "w.pth")
    left, rows, errors = inspect(tmp_path / "w.pth")
    assert (left, errors) == (0, [])
    assert rows["format"] == "torch zip, read with weights only"
    assert rows["taken from"] == "entry state_dict_ema, beside epoch, optimizer"
    assert rows["prefix"].startswith("module. before every name")
    assert rows["classes"] == "10"
    assert rows["names, shapes"] == "those of small_cnn"
    left, rows, errors = inspect(tmp_path / "w.pth", "--model", "resnet20", "--dataset", "cifar100")
    assert left == 1
    assert rows["fits"] == "resnet20: no"
    assert rows["missing"].startswith("95: conv1.weight, bn1.weight, ")
    assert rows["missing"].endswith(" and 89 more")
    assert rows["of another shape"] == (
        "2: linear.weight: expected (100, 64), found (10, 64), linear.bias: expected (100,), found (10,)"
    )
    assert len(errors) == 1
    assert "it fits small_cnn: give that as --model" in errors[0]


def test_a_network_of_their_own(inspect: Inspect, tmp_path: Path) -> None:
    torch.save({"stem.weight": torch.zeros(4, 3, 3, 3), "out.weight": torch.zeros(6, 4)}, tmp_path / "w.pth")
    left, rows, _ = inspect(tmp_path / "w.pth")
    assert left == 0
    assert rows["names, shapes"] == "none of ours has these: give --model SOURCE"
    assert rows["classes"] == "6"
    assert "nearest" not in rows


def test_the_data_set_may_be_far_away(inspect: Inspect, tmp_path: Path) -> None:
    path = saved(tmp_path) / "checkpoint.safetensors"
    assert inspect(path, "--dataset", "cifar10", "--data-dir", tmp_path / "none")[0] == 0
    left, _, errors = inspect(path, "--dataset", "cifar100", "--data-dir", tmp_path / "none")
    assert left == 1
    assert "answers with 10 classes, the data set has 100" in errors[0]
    left, rows, errors = inspect(path, "--dataset", "animals", "--data-dir", tmp_path / "none")
    assert (left, rows, len(errors)) == (1, {}, 1)
    assert "animals" in errors[0]


class Run:
    """Unpickled without restriction, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<html>404</html>", b"PK\x03\x04half", b"\x80\x04half", b"\x05\0\0\0\0\0\0\0{half"]
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_is_no_checkpoint_gets_one_line(inspect: Inspect, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    left, rows, errors = inspect(tmp_path / name)
    assert left == 1
    assert rows.keys() == {"file", "format"}
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {tmp_path / name} is ")


def test_code_is_named_and_not_run(inspect: Inspect, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Run(tmp_path / "ran")))
    left, rows, errors = inspect(tmp_path / "w.pth", "--model", "small_cnn")
    assert (left, len(errors)) == (1, 1)
    assert rows["format"] == "pickle not written by torch.save"
    assert "would run code (posix.mkdir)" in errors[0]
    assert not (tmp_path / "ran").exists()


def test_nothing_there(inspect: Inspect, tmp_path: Path) -> None:
    assert inspect(tmp_path / "no.pth")[::2] == (
        1,
        [f"error: no weights at {tmp_path / 'no.pth'}: expected a .safetensors or .pth file, nothing is there"],
    )
    left, rows, errors = inspect(tmp_path)
    assert (left, rows) == (1, {})
    assert "holds no checkpoint.safetensors" in errors[0]


def test_hostile_texts_move_no_cursor(inspect: Inspect, tmp_path: Path) -> None:
    path = saved(tmp_path) / "checkpoint.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        said = json.loads(file.metadata()[METADATA])
    state = dict(fresh_checkpoint().state)
    for change in ({"dataset": "\x1b[2J\nfits  yes"}, {"\x1b[2J\nerror": 1}, {"source": "\x1b[2J\n"}):
        safetensors.torch.save_file(state, path, {METADATA: json.dumps(said | change)})
        _, rows, errors = inspect(path)
        assert len(errors) == (0 if "dataset" in change else 1)
        assert all(line.isprintable() for line in (*rows, *rows.values(), *errors))
        assert "fits  yes" not in rows
    torch.save({"state_dict": state, "\x1b[2J": 1, 7: 2, "x" * 9999: 3}, tmp_path / "w.pth")
    _, rows, _ = inspect(tmp_path / "w.pth")
    assert rows["taken from"].isprintable()
    assert len(rows["taken from"]) == LONGEST + 1


def test_printable() -> None:
    assert printable("a\n\x1b[2Jé") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2Jé"
    assert printable("x" * LONGEST) == "x" * LONGEST
