"""Replicas in one process and in several: the same network, whoever works on which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from training_runs import Stopping, recipe_of, rows

from robustbench_msda.errors import UserError
from robustbench_msda.models.checkpoints import load
from robustbench_msda.recipes import Recipe
from robustbench_msda.training import distributed, train
from robustbench_msda.training.distributed import ALONE, Group, decoders, joined
from robustbench_msda.training.replicas import Statistics, drawing_for, replicas_of

CPU = torch.device("cpu")
# Batch norm, dropout, and a part that no image reaches: what may go apart where processes are on their own.
NETWORK = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(
            nn.Conv2d(3, 6, 5, stride=3), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Dropout(0.3), nn.Flatten(), nn.Linear(600, num_classes)
        )
        self.idle = nn.Parameter(nn.init.ones_(nn.Linear(4, 4).weight))

    def forward(self, images):
        for module in list(self)[:6]:
            images = module(images)
        return images
"""


@pytest.mark.timeout(280)
def test_two_processes_go_on_with_what_one_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run begun in one process and ended by two is the run of one process; losses to 1e-5, as the contract has it."""
    monkeypatch.undo()  # the processes see all digits
    (tmp_path / "net.py").write_text(NETWORK)
    settings = {"model": f"{tmp_path / 'net.py'}:Net", "augmentation": "dropmix(rate=0.4, of=cutmix(alpha=1.0))"}
    recipe = recipe_of(**settings, epochs=3, batch_size=256, replicas=2, ema=0.5, clip_norm=2.0)
    whole = train(recipe, tmp_path, tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, tmp_path / "two", progress=Stopping(8))
    assert len(rows(tmp_path / "two")) == 1
    launched = by_torchrun(recipe, tmp_path / "two")
    assert launched.returncode == 0, launched.stderr[-2000:]
    assert launched.stdout.count("fingerprint") == 1
    shared = load(tmp_path / "two" / "checkpoint.safetensors")
    losses = [[float(row["train_loss"]) for row in rows(tmp_path / name)] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    errors = [[float(row["test_error"]) for row in rows(tmp_path / name)] for name in ("one", "two")]
    assert errors[1] == pytest.approx(errors[0], abs=0.0021)  # an image of 500 at the edge
    for name, tensor in whole.state.items():
        torch.testing.assert_close(shared.state[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    assert torch.equal(whole.state["idle"], torch.ones(4, 4))
    assert not (tmp_path / "two" / "state.pt").exists()


def by_torchrun(recipe: Recipe, out: Path) -> subprocess.CompletedProcess[str]:
    """Train ``recipe`` through the command line by two processes."""
    defaults = Recipe(dataset="x", model="x").model_dump()
    given = {name: value for name, value in recipe.model_dump().items() if value != defaults[name]}
    dataset, model, epochs = (given.pop(name) for name in ("dataset", "model", "epochs"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        "-m",
        "robustbench_msda",
        "train",
        dataset,
        "--model",
        model,
        "--epochs",
        str(epochs),
        "--out",
        str(out),
    ]
    command += [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, cwd=out.parent, capture_output=True, text=True, check=False)


def test_replicas_are_shared_out_in_order() -> None:
    assert [list(Group(rank, 3).replicas(6)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert list(ALONE.replicas(3)) == [0, 1, 2]
    with pytest.raises(
        UserError, match=r"replicas: expected a multiple of the 2 processes, found 3; give --set replicas=2"
    ):
        Group(0, 2).replicas(3)


def test_the_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "cores", lambda: 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert (decoders(-1), decoders(0), decoders(5)) == (3, 0, 5)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert (decoders(-1), decoders(5)) == (1, 5)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # some schedulers set it, for every program they start
    with joined("cpu") as (group, device):
        assert (group, device) == (ALONE, CPU)


def test_running_statistics_are_the_mean_over_replicas() -> None:
    """Oracle: a copy of the network for each replica, and the mean of what they note."""
    parts = [3 + 2 * torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    copies = [nn.BatchNorm2d(3) for _ in parts]
    for copy, part in zip(copies, parts, strict=True):
        copy(part)
    norm = nn.BatchNorm2d(3)
    statistics = Statistics(norm, 3)
    for part in parts:
        with statistics.noted():
            norm(part)
    statistics.keep()
    torch.testing.assert_close(norm.running_mean, torch.stack([copy.running_mean for copy in copies]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([copy.running_var for copy in copies]).mean(0))
    assert norm.num_batches_tracked == 1


def test_what_no_replica_changes_keeps_every_bit() -> None:
    network = nn.Module()
    network.register_buffer("table", torch.rand(100))
    before = network.table.clone()
    for _ in range(5):
        statistics = Statistics(network, 3)
        for _ in range(3):
            with statistics.noted():
                pass
        statistics.keep()
    assert torch.equal(network.table, before)


def test_each_replica_has_chance_of_its_own_that_goes_on() -> None:
    first, second = replicas_of(recipe_of(replicas=2), 0, CPU)
    drawn = []
    for replica in (first, second, first, second):
        with drawing_for(replica, CPU):
            drawn.append(torch.rand(4))
    assert len({tuple(each.tolist()) for each in drawn}) == 4
    alone = replicas_of(recipe_of(replicas=2), 0, CPU, Group(1, 2))
    assert len(alone) == 1
    with drawing_for(alone[0], CPU):
        assert torch.equal(torch.rand(4), drawn[1])
    assert not torch.equal(first.chance[0], replicas_of(recipe_of(replicas=2), 1, CPU)[0].chance[0])
