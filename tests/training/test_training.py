"""Whole training runs: what they leave behind."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_runs import PLAIN, RECIPES, Stopping, fingerprint_of, fit, names, plain_network, recipe_of, rows

from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import UserError
from robustbench_msda.models.checkpoints import load, network
from robustbench_msda.recipes import Recipe
from robustbench_msda.training import loop, train
from robustbench_msda.training.batches import GlobalBatch


def test_a_run_leaves_a_checkpoint_that_describes_itself_and_a_log(tmp_path: Path) -> None:
    progress = Stopping()
    checkpoint = train(PLAIN, Path(), tmp_path / "runs" / "a", progress=progress)
    assert names(tmp_path / "runs" / "a") == ["checkpoint.safetensors", "cost.json", "log.csv"]
    read = load(tmp_path / "runs" / "a" / "checkpoint.safetensors")
    assert read.fingerprint == checkpoint.fingerprint
    assert (read.source, read.dataset, read.classes) == ("small_cnn", "digits", tuple("0123456789"))
    assert Recipe.model_validate(read.recipe).id == PLAIN.id
    assert progress.told == [(step, 9) for step in range(1, 10)]


def test_the_log_has_a_row_an_epoch(tmp_path: Path) -> None:
    checkpoint = train(recipe_of(epochs=4, lr=0.2), Path(), tmp_path)
    log = rows(tmp_path)
    assert list(log[0]) == ["epoch", "train_loss", "test_error", "images_per_s", "seconds", "waiting"]
    assert [row["epoch"] for row in log] == ["1", "2", "3", "4"]
    losses = [float(row["train_loss"]) for row in log]
    assert losses[-1] < losses[0] < 3
    assert all(float(row["images_per_s"]) == pytest.approx(160 / float(row["seconds"]), rel=0.01) for row in log)
    dataset = open_dataset("digits", Path())
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
    assert load(tmp_path / "checkpoint.safetensors").fingerprint != fingerprint_of(uninterrupted["plain"], tmp_path)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(PLAIN, Path(), tmp_path)
    before = (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns
    progress = Stopping()
    again = train(PLAIN, Path(), tmp_path, progress=progress)
    assert progress.told == []
    assert again.fingerprint == first.fingerprint
    assert (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns == before


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


@pytest.mark.parametrize(("replicas", "step"), [(1, 0), (1, 4), (2, 2), (1, 8)])
def test_the_batch_whose_loss_is_no_number_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicas: int, step: int
) -> None:
    """The very batch, also where it is the last of its epoch: an epoch has three."""
    taken: list[Tensor] = []
    real = loop.train_step

    def failing(run: object, recipe: object, method: object, whole: GlobalBatch, *others: object) -> Tensor:
        loss = real(run, recipe, method, whole, *others)
        batches = whole.batches
        if batches[0].step != step:
            return loss
        taken.append(torch.cat([batch.images for batch in batches]))
        return loss * float("nan")

    monkeypatch.setattr(loop, "train_step", failing)
    with pytest.raises(UserError, match=rf"the loss of step {step + 1} is not finite; its batch is in not_finite"):
        train(recipe_of(replicas=replicas), Path(), tmp_path)
    kept = load_file(tmp_path / "not_finite.safetensors")
    assert torch.equal(kept["images"], taken[0])
    assert len(kept["targets"]) == len(kept["index"]) == len(taken[0])
    epochs = step // 3
    assert (tmp_path / "state.pt").exists() == (epochs > 0)
    assert len(rows(tmp_path) if epochs else []) == epochs


def test_bfloat16_trains_float32_weights(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    recipe = recipe_of(precision="bfloat16")
    whole = fit(recipe, tmp_path / "whole")
    assert fit(recipe, tmp_path / "resumed", 4) == whole
    checkpoint = load(tmp_path / "whole" / "checkpoint.safetensors")
    assert {str(tensor.dtype) for tensor in checkpoint.state.values()} == {"torch.float32", "torch.int64"}
    assert checkpoint.fingerprint != fingerprint_of(uninterrupted["plain"], tmp_path)
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
