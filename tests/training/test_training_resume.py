"""No interruption changes a bit of what a training run leaves behind, and no file that it meets runs anything."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_runs import PLAIN, RECIPES, RICH, Stopping, fit, names, plain_network, recipe_of, rows, stop

from robustbench_msda.errors import UserError
from robustbench_msda.training import loop, train

HERE = Path(__file__).parent


@pytest.mark.parametrize("stops", [(1,), (3,), (5,), (9,), (2, 4, 8)], ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_an_interrupted_run_gives_the_same_bytes(
    tmp_path: Path, uninterrupted: dict[str, bytes], name: str, stops: tuple[int, ...]
) -> None:
    assert fit(RECIPES[name], tmp_path, *stops) == uninterrupted[name]
    assert names(tmp_path) == ["checkpoint.safetensors", "cost.json", "log.csv"]
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_a_resumed_run_does_not_begin_again(tmp_path: Path) -> None:
    stop(PLAIN, tmp_path, 8)
    assert names(tmp_path) == ["log.csv", "state.pt"]
    progress = Stopping()
    train(PLAIN, Path(), tmp_path, progress=progress)
    assert progress.told == [(7, 9), (8, 9), (9, 9)]


def test_a_state_that_a_kill_left_behind_is_removed(tmp_path: Path) -> None:
    train(PLAIN, Path(), tmp_path)
    (tmp_path / "state.pt").write_bytes(b"left by a kill between the checkpoint and the end")
    train(PLAIN, Path(), tmp_path)
    assert names(tmp_path) == ["checkpoint.safetensors", "cost.json", "log.csv"]


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
    stop(PLAIN, tmp_path, 5)
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(UserError, match="holds another recipe half trained; give another --out"):
        train(other, Path(), tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    fit(PLAIN, tmp_path)
    with pytest.raises(UserError, match="was trained by another recipe; give another --out"):
        train(other, Path(), tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_state_is_named_in_one_line(tmp_path: Path, share: float) -> None:
    stop(PLAIN, tmp_path, 5)
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
    stop(PLAIN, tmp_path, 5)
    before = (tmp_path / "state.pt").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match=r"cannot write .*state.pt: No space left on device"):
            train(PLAIN, Path(), tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    assert names(tmp_path) == ["log.csv", "state.pt"]
