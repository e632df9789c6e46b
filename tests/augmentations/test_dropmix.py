from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.augmentations.cutmix import CutMix
from robustbench_msda.augmentations.cutout import Cutout
from robustbench_msda.augmentations.dropmix import DropMix
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.augmentations.vanilla import Vanilla
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream
from robustbench_msda.training.losses import soft_cross_entropy

WRAPPED: list[Augmentation] = [Mixup(), CutMix(), Cutout(4), Vanilla()]


def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 8, 5))
    return Normalised(network, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def batch() -> Batch:
    images = torch.rand(6, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.eye(6)[:, :5] + torch.eye(6)[:, 5:] / 5, torch.arange(6))


def run(method: Augmentation, seed: int, batches: int = 4) -> tuple[list[Tensor], object]:
    """Return the losses and gradients of some batches, and the state that the generator is left in."""
    network, rng = model(), stream("test", "dropmix", seed)
    answers = []
    for _ in range(batches):
        network.zero_grad()
        loss = method.loss(network, batch(), soft_cross_entropy, rng)
        loss.backward()
        answers += [
            loss.detach(),
            *(grad.clone() for parameter in network.parameters() if (grad := parameter.grad) is not None),
        ]
    return answers, rng.random(4).tolist()


def same(ours: tuple[list[Tensor], object], theirs: tuple[list[Tensor], object]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours[0], theirs[0], strict=True)) and ours[1] == theirs[1]


@pytest.mark.parametrize("wrapped", WRAPPED, ids=lambda method: type(method).__name__)
def test_rate_zero_is_the_method_draw_for_draw(wrapped: Augmentation) -> None:
    for seed in range(3):
        assert same(run(DropMix(0.0, of=wrapped), seed), run(wrapped, seed))


@pytest.mark.parametrize("wrapped", WRAPPED, ids=lambda method: type(method).__name__)
def test_rate_one_is_vanilla_bit_for_bit_and_draws_nothing(wrapped: Augmentation) -> None:
    for seed in range(3):
        assert same(run(DropMix(1.0, of=wrapped), seed), run(Vanilla(), seed))


def test_these_comparisons_can_fail() -> None:
    assert not same(run(DropMix(0.5), 0), run(Vanilla(), 0))
    assert not same(run(DropMix(0.5), 0), run(CutMix(), 0))


class Counting(Augmentation):
    """A method that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def loss(
        self, model: nn.Module, batch: Batch, criterion: Callable[[Tensor, Tensor], Tensor], rng: np.random.Generator
    ) -> Tensor:
        self.asked += 1
        return torch.zeros(())


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.9])
def test_a_share_of_the_batches_is_dropped(rate: float) -> None:
    counting, rng = Counting(), stream("test", "rate", str(rate))
    network, images = nn.Flatten(), Batch(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1), torch.zeros(1))
    for _ in range(3000):
        DropMix(rate, of=counting).loss(network, images, lambda logits, targets: logits.sum(), rng)
    # Four standard errors.
    assert 1 - counting.asked / 3000 == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 3000) ** 0.5)


def test_nested_rates_multiply() -> None:
    counting, rng = Counting(), stream("test", "nested")
    network, images = nn.Flatten(), Batch(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1), torch.zeros(1))
    method = DropMix(0.5, of=DropMix(0.2, of=counting))
    for _ in range(3000):
        method.loss(network, images, lambda logits, targets: logits.sum(), rng)
    assert counting.asked / 3000 == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.5"])
def test_rate_is_checked(rate: object) -> None:
    with pytest.raises(ValueError, match=r"expected a rate in \[0, 1\]"):
        DropMix(rate)  # type: ignore[arg-type]


def test_what_it_wraps_is_checked() -> None:
    with pytest.raises(ValueError, match="expected an augmentation such as of=cutmix"):
        DropMix(0.5, of=0.4)  # type: ignore[arg-type]
