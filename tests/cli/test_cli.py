"""The command line as a user meets it: exit status, one line of error, nothing half-written."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import fresh_checkpoint, saved
from PIL import Image

from robustbench_msda.cli.main import commands, status
from robustbench_msda.models.checkpoints import save

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that a user's mistake must stop: status 1 and one line, which is returned."""

    def run(*arguments: object, code: int = 1) -> str:
        assert status([str(argument) for argument in arguments]) == code
        told = (": cells done: ", ": skipped ", " is not all here; ")
        lines = [line for line in capsys.readouterr().err.splitlines() if not any(text in line for text in told)]
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        return lines[0]

    return run


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_help_is_quick_shows_examples_and_never_imports_torch() -> None:
    code = (
        "import sys; from robustbench_msda.cli.main import status;"
        "left = status(['{}', '--help']); print('torch' in sys.modules, left)"
    )
    for name in commands.commands:
        done = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False 0", name
        assert "Example: " in done.stdout or "Commands:" in done.stdout, name


def test_every_leaf_command_has_an_example() -> None:
    for command in commands.commands.values():
        for leaf in getattr(command, "commands", {"": command}).values():
            if leaf.name != "list" or leaf is command:
                assert leaf.epilog, leaf.name
                assert leaf.epilog.startswith("Example: robustbench-msda "), leaf.name


def test_usage_errors_leave_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["train"]) == 2
    assert status(["evaluate", "x", "--mean", "a,b"]) == 2
    assert "expected numbers between commas" in capsys.readouterr().err
    assert status(["nonsense"]) == 2


def test_no_such_model(refused: Refused, tmp_path: Path) -> None:
    line = refused("train", "digits", "--model", "resnet02", "--out", tmp_path / "run")
    assert "resnet02" in line
    assert "resnet20" in line
    assert files(tmp_path) == set()


def test_an_unknown_augmentation_gets_a_suggestion(refused: Refused, tmp_path: Path) -> None:
    line = refused("train", "digits", "--model", "small_cnn", "--augmentation", "cutmx", "--out", tmp_path / "run")
    assert "Did you mean cutmix or" in line
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "text", ["cutmix(", "cutmix(alpha=", "cutmix)(", "dropmix(0.4, of=)", "__import__('os').system('x')", "lambda: 1"]
)
def test_a_malformed_augmentation(refused: Refused, tmp_path: Path, text: str) -> None:
    line = refused("train", "digits", "--model", "small_cnn", "--augmentation", text, "--out", tmp_path / "run")
    assert "augmentation" in line
    assert files(tmp_path) == set()


def test_an_unknown_recipe_field(refused: Refused, tmp_path: Path) -> None:
    line = refused("train", "digits", "--model", "small_cnn", "--set", "learning_rate=3", "--out", tmp_path / "run")
    assert "learning_rate" in line
    line = refused("train", "digits", "--model", "small_cnn", "--set", "lr=-1", "--out", tmp_path / "run")
    assert "lr" in line
    assert "-1" in line
    assert files(tmp_path) == set()


def test_data_that_are_not_there(refused: Refused, tmp_path: Path) -> None:
    line = refused("train", "cifar10", "--model", "resnet20", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert str(tmp_path / "cifar10") in line
    assert "robustbench-msda data prepare cifar10 --from" in line
    assert files(tmp_path) == set()


def test_a_checkpoint_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    assert "no checkpoint at" in refused("evaluate", tmp_path / "nothing.safetensors")
    (tmp_path / "empty").mkdir()
    assert "holds no checkpoint.safetensors" in refused("evaluate", tmp_path / "empty")


def test_a_truncated_checkpoint(refused: Refused, tmp_path: Path) -> None:
    run = saved(tmp_path / "run")
    path = run / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    line = refused("evaluate", run, "--results", tmp_path / "results")
    assert str(path) in line
    assert not (tmp_path / "results").exists()


def test_nan_weights(refused: Refused, tmp_path: Path) -> None:
    checkpoint = fresh_checkpoint()
    state = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    state[name][0, 0, 0, 0] = float("nan")
    weights = tmp_path / "weights.pth"
    torch.save(state, weights)
    line = refused(
        "evaluate", weights, "--model", "small_cnn", "--dataset", "digits", "--results", tmp_path / "results"
    )
    assert name in line
    assert "NaN" in line
    assert not (tmp_path / "results").exists()


def test_a_pickle_with_code_is_not_run(refused: Refused, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": Evil()}, weights)
    line = refused("evaluate", weights, "--model", "small_cnn", "--dataset", "digits")
    assert "weights.pth" in line
    assert "code" in line
    weights.write_bytes(pickle.dumps(Evil()))
    assert "weights.pth" in refused("evaluate", weights, "--model", "small_cnn", "--dataset", "digits")
    assert not (tmp_path / "owned").exists()


def test_weights_of_another_architecture_and_of_other_classes(refused: Refused, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(dict(fresh_checkpoint().state), weights)
    line = refused("evaluate", weights, "--model", "resnet20", "--dataset", "digits")
    assert "missing" in line
    state = {
        name: tensor[:7] if len(tensor.shape) and len(tensor) == 10 else tensor
        for name, tensor in fresh_checkpoint().state.items()
    }
    torch.save(state, weights)
    line = refused("evaluate", weights, "--model", "small_cnn", "--dataset", "digits")
    assert "7 classes" in line
    assert "10" in line


def test_weights_without_a_word_say_what_to_give(refused: Refused, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in fresh_checkpoint().state.items()}, weights)
    assert "--model" in refused("evaluate", weights)
    assert "--model" in refused("evaluate", weights, "--dataset", "digits")


def test_a_strangers_network_and_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other names, a ``module.`` prefix, nested in a training checkpoint: the same answers as our own checkpoint."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def tiny(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 12), nn.ReLU(), nn.Linear(12, num_classes))\n"
    )
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3072, 12), torch.nn.ReLU(), torch.nn.Linear(12, 10)
    )
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, tmp_path / "weights.pth")
    arguments = ["evaluate", tmp_path / "weights.pth", "--model", f"{tmp_path / 'net.py'}:tiny", "--dataset", "digits"]
    normalisation = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
    rest = ["--benchmarks", "clean,fgsm", "--limit", "60", "--results", tmp_path / "results"]
    assert status([str(argument) for argument in (*arguments, *normalisation, *rest)]) == 0
    printed = capsys.readouterr().out
    from robustbench_msda.data.datasets import open_dataset
    from robustbench_msda.records import limited

    dataset = open_dataset("digits", Path())
    taken = limited(500, 60)
    images = torch.from_numpy(np.array(dataset.images("test"))[taken]).permute(0, 3, 1, 2).float() / 255
    wrong = (network((images - 0.5) / 0.25).argmax(1).numpy() != dataset.labels("test")[taken]).mean()
    line = next(line for line in printed.splitlines() if " clean " in line and " error (%) " in line)
    assert f" {100 * wrong:.2f} " in line
    assert len([line for line in printed.splitlines() if "fgsm() " in line]) == 4


def test_a_strangers_network_of_other_classes(refused: Refused, tmp_path: Path) -> None:
    """A callable that takes no number of classes shows only when it answers that it has others."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef many():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 12))\n"
    )
    torch.save({"1.weight": torch.zeros(12, 3072), "1.bias": torch.zeros(12)}, tmp_path / "weights.pth")
    source = f"{tmp_path / 'net.py'}:many"
    results = tmp_path / "results"
    line = refused("evaluate", tmp_path / "weights.pth", "--model", source, "--dataset", "digits", "--results", results)
    assert "12 classes" in line
    assert "10" in line
    assert not list(results.rglob("*.npz"))


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_damaged_class_folders(refused: Refused, tmp_path: Path, damage: str) -> None:
    source = tmp_path / "source"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = source / split / name
            folder.mkdir(parents=True)
            for k in range(3):
                Image.fromarray(np.full((32, 32, 3), 40 * k, np.uint8)).save(folder / f"{k}.png")
    target = source / "test" / "dog"
    if damage == "text":
        (target / "1.png").write_text("this is no picture")
    else:
        for path in target.iterdir():
            path.unlink()
        if damage == "missing":
            target.rmdir()
    line = refused("data", "prepare", "pets", "--from", source, "--data-dir", tmp_path / "data")
    assert "dog" in line
    assert not (tmp_path / "data" / "pets").exists()


def test_labels_of_another_length(refused: Refused, tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / "source" / split
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", np.zeros((6, 32, 32, 3), np.uint8))
        np.save(folder / "labels.npy", np.arange(6 if split == "train" else 5) % 2)
        (folder / "classes.txt").write_text("cat\ndog\n")
    line = refused("data", "prepare", "pets", "--from", tmp_path / "source", "--data-dir", tmp_path / "data")
    assert "labels" in line
    assert "6" in line
    assert "5" in line
    assert not (tmp_path / "data" / "pets").exists()


def test_an_unwritable_results_folder(refused: Refused, tmp_path: Path) -> None:
    run = saved(tmp_path / "run")
    (tmp_path / "results").write_text("I am a file")
    line = refused("evaluate", run, "--limit", 20, "--results", tmp_path / "results" / "inside")
    assert "cannot write" in line
    assert (tmp_path / "results").read_text() == "I am a file"


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on file size stands for a disk that is full: every longer write fails in the middle."""
    run = saved(tmp_path / "run")
    results = tmp_path / "results"

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    done = subprocess.run(
        [sys.executable, "-m", "robustbench_msda", "evaluate", run, "--benchmarks", "clean", "--results", results],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith(str(run))]
    assert line.startswith("error: cannot write ")
    assert "free space" in line
    assert not list(results.rglob("*.npz"))
    assert not list(results.rglob("*.tmp"))


def test_a_device_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    run = saved(tmp_path / "run")
    assert "--device cuda" in refused("evaluate", run, "--device", "cuda", "--results", tmp_path / "results")


def test_a_dry_run_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved(tmp_path / "run")
    assert (
        status(
            [
                "evaluate",
                str(run),
                "--dry-run",
                "--limit",
                "20",
                "--benchmarks",
                "clean,digits-c-made",
                "--results",
                str(tmp_path / "results"),
            ]
        )
        == 0
    )
    told = capsys.readouterr()
    assert "96 cells missing, about " in told.out
    assert "digits_c_made 0/95" in told.err
    assert not (tmp_path / "results").exists()


def test_an_interruption_leaves_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("robustbench_msda.data.check.check", interrupted)
    assert status(["data", "check"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_data_check_tells_every_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["data", "check", "--data-dir", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "embedded" in lines["digits"]
    for name in ("cifar10", "cifar10_40k", "cifar100"):
        assert "not found" in lines[name]
        assert str(tmp_path / name) in lines[name]
        assert f"data prepare {name} --from" in lines[name]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("augmentations", ["vanilla", "cutmix(alpha=1.0)", "dropmix(rate=0.5, of=cutmix(alpha=1.0))"]),
        ("models", ["resnet20", "269,722", "path/to/file.py:callable"]),
        ("benchmarks", ["clean", "<dataset>_c_made", "imagenet_3dcc", "pgd"]),
        ("attacks", ["pgd(steps=40, rel_stepsize=0.0333)"]),
        ("metrics", ["rms_calibration_published", "recall"]),
        ("tables", ["class_dependency"]),
        ("figures", ["recall_change"]),
        ("presets", ["r_snu"]),
    ],
)
def test_lists(what: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["list", what]) == 0
    printed = capsys.readouterr().out
    for name in names:
        assert name in printed


def test_score_and_compare_print_what_was_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        save(fresh_checkpoint(seed), tmp_path / f"run{seed}" / "checkpoint.safetensors")
        arguments = ["evaluate", tmp_path / f"run{seed}", "--benchmarks", "clean", "--results", tmp_path / "results"]
        assert status([str(argument) for argument in arguments]) == 0
    capsys.readouterr()
    assert status(["score", "--results", str(tmp_path / "results")]) == 0
    printed = capsys.readouterr().out
    assert all(fresh_checkpoint(seed).fingerprint in printed for seed in (0, 1))
    assert (tmp_path / "results" / "scores" / "all.csv.gz").exists()
    sides = ["--baseline", tmp_path / "run0", "--treatment", fresh_checkpoint(1).fingerprint[:6]]
    assert status([str(a) for a in ("compare", *sides, "--results", tmp_path / "results")]) == 0
    assert "n_degraded_classes" in capsys.readouterr().out
