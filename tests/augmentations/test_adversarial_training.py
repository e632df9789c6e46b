from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from robustbench_msda.attacks import parse
from robustbench_msda.attacks.base import perform
from robustbench_msda.augmentations.adversarial_training import AdversarialTraining
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream
from robustbench_msda.training.losses import soft_cross_entropy


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(6, 4))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(8, 3, 10, 12, generator=generator)
    return Batch(images, torch.eye(4)[torch.arange(8) % 4], torch.arange(8))


class Recorder(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.fed: list[tuple[bool, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.fed.append((self.training, images.detach()))
        logits: Tensor = self.network(images)
        return logits


def test_the_network_is_trained_on_images_in_the_ball_that_raise_its_loss(model: nn.Module, batch: Batch) -> None:
    recorder = Recorder(model).train()
    method = AdversarialTraining(epsilon=0.05, step=0.02, steps=5)
    method.loss(recorder, batch, soft_cross_entropy, stream("test"))
    assert [training for training, _ in recorder.fed] == [False] * 5 + [True]
    attacked = recorder.fed[-1][1]
    assert float((attacked - batch.images).abs().max()) == pytest.approx(0.05, abs=1e-6)
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    model.eval()
    with torch.no_grad():
        clean, raised = (soft_cross_entropy(model(images), batch.targets) for images in (batch.images, attacked))
    assert raised > clean + 0.01


def test_the_attack_is_foolboxs_from_the_same_start(model: nn.Module, batch: Batch) -> None:
    model.eval().requires_grad_(requires_grad=False)
    direction = torch.rand(batch.images.shape, generator=torch.Generator().manual_seed(2)) * 2 - 1
    ours = AdversarialTraining(0.03, 0.03 * 0.25, 4).attack(model, batch, soft_cross_entropy, direction * 0.03)
    labels = batch.targets.argmax(1)
    attack = parse("pgd(steps=4, rel_stepsize=0.25)")
    theirs = perform(attack, model, batch.images, labels, 0.03, direction)
    # foolbox clips to [0, 1] after the last step as we do, but sums the losses: signs are the same but for near-zeros.
    assert float((ours - theirs).abs().gt(1e-6).float().mean()) < 0.01


def test_batch_statistics_are_those_of_the_attacked_images_alone(model: nn.Module, batch: Batch) -> None:
    recorder = Recorder(model).train()
    AdversarialTraining(steps=3).loss(recorder, batch, soft_cross_entropy, stream("test"))
    assert int(model[1].num_batches_tracked) == 1
    expected = 0.1 * model[0](recorder.fed[-1][1]).mean((0, 2, 3))
    torch.testing.assert_close(model[1].running_mean, expected)


def test_the_start_comes_from_the_argument(model: nn.Module, batch: Batch) -> None:
    def fed(key: int) -> Tensor:
        recorder = Recorder(deepcopy(model)).train()
        AdversarialTraining(steps=1, step=1e-6).loss(recorder, batch, soft_cross_entropy, stream("test", key))
        return recorder.fed[-1][1]

    assert torch.equal(fed(0), fed(0))
    assert not torch.equal(fed(0), fed(1))
    change = (fed(0) - batch.images) * 255
    assert float(change.abs().mean()) == pytest.approx(4, rel=0.15)  # uniform in ±8, some clipped to [0, 1]


@pytest.mark.parametrize(("field", "value"), [("epsilon", 0.0), ("epsilon", 8.0), ("step", 0.0), ("steps", 0)])
def test_fields_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {field}"):
        AdversarialTraining(**{field: value})
