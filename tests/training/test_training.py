"""Whole training runs: what they leave behind, and that no interruption changes a bit of it."""

from __future__ import annotations

import csv
import errno
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import few_digits, plain_network, recipe_of

from robustbench_msda.errors import UserError
from robustbench_msda.models.checkpoints import load, network
from robustbench_msda.recipes import Recipe
from robustbench_msda.training import loop, train

HERE = Path(__file__).parent
# What a run leaves: without and with everything that has a state of its own.
PLAIN = recipe_of()
RICH = recipe_of(
    augmentation="dropmix(rate=0.4, of=cutmix(alpha=1.0))",
    ema=0.8,
    schedule="multi_step",
    milestones=(0.5,),
    warmup=0.2,
    label_smoothing=0.1,
    replicas=2,
)
RECIPES = {"plain": PLAIN, "rich": RICH}


@pytest.fixture(autouse=True)
def _few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    few_digits(monkeypatch.setattr)


class Stopping:
    """Progress that is interrupted when ``step`` steps are done, and remembers what it was told."""

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.told: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.told.append((done, total))
        if done == self.step:
            raise KeyboardInterrupt


def fit(recipe: Recipe, out: Path, *stops: int) -> bytes:
    """Train, interrupted after each of ``stops`` steps, and return the bytes of the checkpoint."""
    for step in stops:
        with pytest.raises(KeyboardInterrupt):
            train(recipe, Path(), out, progress=Stopping(step))
        assert not (out / "checkpoint.safetensors").exists()
    train(recipe, Path(), out)
    return (out / "checkpoint.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The checkpoint of each recipe, trained in one go."""
    with pytest.MonkeyPatch.context() as patch:
        few_digits(patch.setattr)
        return {name: fit(recipe, tmp_path_factory.mktemp(name)) for name, recipe in RECIPES.items()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_a_checkpoint_that_describes_itself_and_a_log(tmp_path: Path) -> None:
    progress = Stopping()
    checkpoint = train(PLAIN, Path(), tmp_path / "runs" / "a", progress=progress)
    assert names(tmp_path / "runs" / "a") == ["checkpoint.safetensors", "log.csv"]
    read = load(tmp_path / "runs" / "a" / "checkpoint.safetensors")
    assert read.fingerprint == checkpoint.fingerprint
    assert (read.source, read.dataset, read.classes) == ("small_cnn", "digits", tuple("0123456789"))
    assert Recipe.model_validate(read.recipe).id == PLAIN.id
    assert progress.told == [(step, 9) for step in range(1, 10)]


def test_the_log_has_a_row_an_epoch(tmp_path: Path) -> None:
    checkpoint = train(recipe_of(epochs=4, lr=0.2), Path(), tmp_path)
    log = rows(tmp_path)
    assert list(log[0]) == ["epoch", "train_loss", "test_error", "images_per_s", "seconds"]
    assert [row["epoch"] for row in log] == ["1", "2", "3", "4"]
    losses = [float(row["train_loss"]) for row in log]
    assert losses[-1] < losses[0] < 3
    assert all(float(row["images_per_s"]) == pytest.approx(160 / float(row["seconds"]), rel=0.01) for row in log)
    dataset = loop.open_dataset("digits", Path())
    images = torch.from_numpy(np.array(dataset.images("test"))).permute(0, 3, 1, 2).float() / 255
    wrong = network(checkpoint, "cpu")(images).argmax(1).numpy() != dataset.labels("test")
    assert float(log[-1]["test_error"]) == pytest.approx(wrong.mean(), abs=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_two_runs_give_the_same_bytes(tmp_path: Path, uninterrupted: dict[str, bytes], name: str) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert fit(RECIPES[name], tmp_path) == uninterrupted[name]
    assert torch.equal(torch.get_rng_state(), state)


def test_another_seed_gives_another_network(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    fit(recipe_of(seed=1), tmp_path)
    assert load(tmp_path / "checkpoint.safetensors").fingerprint != load_bytes(tmp_path, uninterrupted["plain"])


def load_bytes(folder: Path, data: bytes) -> str:
    """Return the fingerprint of a checkpoint of which there are only bytes."""
    path = folder / "other.safetensors"
    path.write_bytes(data)
    return load(path).fingerprint


@pytest.mark.parametrize("stops", [(1,), (3,), (5,), (9,), (2, 4, 8)], ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_an_interrupted_run_gives_the_same_bytes(
    tmp_path: Path, uninterrupted: dict[str, bytes], name: str, stops: tuple[int, ...]
) -> None:
    assert fit(RECIPES[name], tmp_path, *stops) == uninterrupted[name]
    assert names(tmp_path) == ["checkpoint.safetensors", "log.csv"]
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_a_resumed_run_does_not_begin_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(PLAIN, Path(), tmp_path, progress=Stopping(8))
    assert names(tmp_path) == ["log.csv", "state.pt"]
    progress = Stopping()
    train(PLAIN, Path(), tmp_path, progress=progress)
    assert progress.told == [(7, 9), (8, 9), (9, 9)]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(PLAIN, Path(), tmp_path)
    before = (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns
    progress = Stopping()
    again = train(PLAIN, Path(), tmp_path, progress=progress)
    assert progress.told == []
    assert again.fingerprint == first.fingerprint
    assert (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns == before


def test_a_state_that_a_kill_left_behind_is_removed(tmp_path: Path) -> None:
    train(PLAIN, Path(), tmp_path)
    (tmp_path / "state.pt").write_bytes(b"left by a kill between the checkpoint and the end")
    train(PLAIN, Path(), tmp_path)
    assert names(tmp_path) == ["checkpoint.safetensors", "log.csv"]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch
from training_runs import few_digits
from robustbench_msda.recipes import Recipe
from robustbench_msda.training import train

torch.set_num_threads(1)
few_digits(setattr)

def kill(done, total, note=""):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

train(Recipe.model_validate_json(sys.argv[3]), Path(), Path(sys.argv[1]), progress=kill)
"""


def test_a_killed_process_gives_the_same_bytes(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(HERE), RICH.model_dump_json()]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert names(tmp_path) == ["log.csv", "state.pt"]
    assert fit(RICH, tmp_path) == uninterrupted["rich"]


def test_chance_inside_a_network_goes_on_where_it_was(tmp_path: Path) -> None:
    recipe = recipe_of(model=plain_network(tmp_path, "forgetful"))
    whole = fit(recipe, tmp_path / "whole")
    assert fit(recipe, tmp_path / "resumed", 4) == whole
    torch.manual_seed(99)
    assert fit(recipe, tmp_path / "again") == whole


def test_a_kill_after_the_last_epoch_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[str, bytes]
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(PLAIN, Path(), tmp_path)
    progress = Stopping()
    train(PLAIN, Path(), tmp_path, progress=progress)
    assert progress.told == []
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == uninterrupted["plain"]
    assert len(rows(tmp_path)) == 3


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    other = recipe_of(lr=0.06)
    with pytest.raises(KeyboardInterrupt):
        train(PLAIN, Path(), tmp_path, progress=Stopping(5))
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(UserError, match="holds another recipe half trained; give another --out"):
        train(other, Path(), tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    fit(PLAIN, tmp_path)
    with pytest.raises(UserError, match="was trained by another recipe; give another --out"):
        train(other, Path(), tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_state_is_named_in_one_line(tmp_path: Path, share: float) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(PLAIN, Path(), tmp_path, progress=Stopping(5))
    data = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"state.pt: cannot be read .*; delete it to train from the start") as caught:
        train(PLAIN, Path(), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "state", [3, {}, {"recipe": PLAIN.id}, {"recipe": PLAIN.id, "epoch": 1, "rows": [], "model": {}}]
)
def test_a_state_that_is_something_else_is_named_in_one_line(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(UserError, match=r"delete it to train from the start|delete state.pt") as caught:
        train(PLAIN, Path(), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_state_that_runs_code_is_not_read(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "trace",)

    torch.save({"recipe": Hostile()}, tmp_path / "state.pt")
    with pytest.raises(UserError, match=r"state.pt: cannot be read"):
        train(PLAIN, Path(), tmp_path)
    assert not (tmp_path / "trace").exists()


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(PLAIN, Path(), tmp_path, progress=Stopping(5))
    before = (tmp_path / "state.pt").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match=r"cannot write .*state.pt: No space left on device"):
            train(PLAIN, Path(), tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    assert names(tmp_path) == ["log.csv", "state.pt"]


@pytest.mark.parametrize("model", ["plain", "small_cnn"])
def test_a_loss_that_is_no_number_ends_the_run_and_is_not_kept(tmp_path: Path, model: str) -> None:
    source = plain_network(tmp_path) if model == "plain" else model
    settings = {"model": source, "warmup": 0.4, "epochs": 4}
    # Warm-up: the first epoch is harmless, and what it kept must stay.
    recipe = recipe_of(**settings, lr=1e36)
    with pytest.raises(UserError) as caught:
        train(recipe, Path(), tmp_path / "out")
    assert "lower lr (it is 1e+36)" in str(caught.value)
    assert str(tmp_path / "out") in str(caught.value)
    assert "\n" not in str(caught.value)
    if (tmp_path / "out" / "state.pt").exists():
        kept = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
        assert all(tensor.isfinite().all() for tensor in kept["model"].values())
        assert all(math.isfinite(row["train_loss"]) for row in kept["rows"])
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


def test_bfloat16_trains_float32_weights(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    recipe = recipe_of(precision="bfloat16")
    whole = fit(recipe, tmp_path / "whole")
    assert fit(recipe, tmp_path / "resumed", 4) == whole
    checkpoint = load(tmp_path / "whole" / "checkpoint.safetensors")
    assert {str(tensor.dtype) for tensor in checkpoint.state.values()} == {"torch.float32", "torch.int64"}
    assert checkpoint.fingerprint != load_bytes(tmp_path, uninterrupted["plain"])
    assert 0 < float(rows(tmp_path / "whole")[-1]["train_loss"]) < 4


def test_the_average_is_what_is_kept(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    train(recipe_of(ema=0.8), Path(), tmp_path / "average")
    averaged = load(tmp_path / "average" / "checkpoint.safetensors").state
    (tmp_path / "plain.safetensors").write_bytes(uninterrupted["plain"])
    weights = load(tmp_path / "plain.safetensors").state
    assert averaged.keys() == weights.keys()
    assert not any(torch.equal(averaged[name], weights[name]) for name in weights if name.endswith("weight"))


def test_a_model_option_reaches_the_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot build small_cnn"):
        train(recipe_of(model_options={"depth": 3}), Path(), tmp_path)
    assert names(tmp_path) == []


def test_an_augmentation_that_does_not_exist_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean mixup"):
        train(recipe_of(augmentation="mixpu()"), Path(), tmp_path)
    assert names(tmp_path) == []
