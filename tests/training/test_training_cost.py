"""What a run says it cost: the size of the network counted by hand, and the times of its own log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from training_runs import PLAIN, fit, plain_network, recipe_of, rows

from robustbench_msda import scoring
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import DamagedData
from robustbench_msda.evaluation.run import record_of
from robustbench_msda.models.checkpoints import load
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build
from robustbench_msda.results.store import COST, read_cost
from robustbench_msda.training.cost import forward_flops


def test_a_run_folder_says_what_training_cost(tmp_path: Path) -> None:
    """The network: a convolution 3→4 of 5×5 with stride 3 on 32×32, which gives 10×10, and a layer 400→10."""
    fit(recipe_of(model=plain_network(tmp_path)), tmp_path / "run")
    cost, log = read_cost(tmp_path / "run"), rows(tmp_path / "run")
    assert cost is not None
    assert cost.parameters == 3 * 4 * 25 + 4 + 400 * 10 + 10
    assert cost.flops == 2 * (3 * 4 * 25 * 100 + 400 * 10)
    assert cost.epochs == 2
    assert cost.epoch_seconds == pytest.approx(sum(float(row["seconds"]) for row in log[1:]) / 2, abs=1e-5)
    assert cost.step_seconds == pytest.approx(cost.epoch_seconds / 3)
    assert (cost.processes, cost.threads) == (1, torch.get_num_threads())


def test_a_known_network_costs_what_is_known_of_it() -> None:
    """He et al. 2016, figure 1 and its code: resnet20 on 32×32 is 41 million multiplications and additions."""
    dataset = open_dataset("digits", Path())
    model = Normalised(build("resnet20", 10, {}), dataset.mean, dataset.std)
    assert forward_flops(model, 32) / 2 == pytest.approx(41e6, rel=0.02)
    assert model.training


def test_costs_become_scores(tmp_path: Path) -> None:
    fit(PLAIN, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    record = record_of(load(path), path)
    assert record.cost == read_cost(tmp_path / "run")
    found = {each.metric: each for each in scoring.training_scores(record)}
    assert set(found) == {"parameters", "flops", "epoch_seconds", "step_seconds", "images_per_s"}
    assert found["parameters"].value == record.cost.parameters
    assert {(each.benchmark, each.n) for each in found.values()} == {("training", 2)}
    (tmp_path / "run" / COST).unlink()
    assert list(scoring.training_scores(record_of(load(path), path))) == []


def test_a_damaged_file_of_costs_is_named(tmp_path: Path) -> None:
    (tmp_path / COST).write_text(json.dumps({"parameters": "many"}))
    with pytest.raises(DamagedData, match=r"cost.json is damaged .*; delete it: only the costs are lost"):
        read_cost(tmp_path)
