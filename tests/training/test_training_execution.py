"""What changes how a run is carried out: TensorBoard, torch.compile."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from training_runs import PLAIN, plain_network, recipe_of, rows, stop

from robustbench_msda.augmentations.manifold_mixup import mixed_at
from robustbench_msda.cli.main import status
from robustbench_msda.errors import UserError
from robustbench_msda.models.sources import build
from robustbench_msda.training import Execution, train


def test_without_tensorboard_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"--tensorboard: it is not installed; run: pip install"):
        train(PLAIN, Path(), tmp_path, how=Execution(tensorboard=True))


def test_the_command_knows_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    out = ["--out", str(tmp_path), "--device", "cpu"]
    assert status(["train", "digits", "--model", "small_cnn", "--tensorboard", *out]) == 1
    assert status(["train", "digits", "--model", "small_cnn", "--workers", "-1", *out]) == 2


@pytest.mark.extras
def test_tensorboard_shows_every_epoch_once(tmp_path: Path) -> None:
    """A kill in the second epoch; what goes on shows the second and the third."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stop(PLAIN, tmp_path, 5)
    train(PLAIN, Path(), tmp_path, how=Execution(tensorboard=True))
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("train_loss")] == [2, 3]
    expected = [float(row["train_loss"]) for row in rows(tmp_path)[1:]]
    assert [event.value for event in shown.Scalars("train_loss")] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    recipe = recipe_of(model=plain_network(tmp_path), augmentation="cutmix(alpha=1.0)")
    plain = train(recipe, Path(), tmp_path / "plain")
    compiled = train(recipe, Path(), tmp_path / "compiled", how=Execution(compiled=True))
    assert list(compiled.state) == list(plain.state)
    for name, tensor in plain.state.items():
        torch.testing.assert_close(compiled.state[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hidden_features_are_mixed_in_a_compiled_network_too() -> None:
    """A hook that is set after compilation is not seen by it: the mixing would be lost without a word."""
    network = build("resnet20", 10, {}).eval()
    images, partner = torch.rand(4, 3, 32, 32), torch.tensor([1, 0, 3, 2])
    with torch.no_grad():
        expected = mixed_at(network, images, 1, partner, 0.3)
        network.compile()
        plain = network(images)
        found = mixed_at(network, images, 1, partner, 0.3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-2)
