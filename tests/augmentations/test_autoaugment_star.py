from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_msda.augmentations import autoaugment_star
from robustbench_msda.augmentations.autoaugment_star import AutoAugmentStar, PolicyTable, policy_table
from robustbench_msda.augmentations.operations import IDENTITY, OPERATIONS, OVERLAPPING, apply
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


def noise(n: int = 12, channels: int = 3, side: tuple[int, int] = (32, 32)) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, channels, *side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("policy", "kept"), [("cifar10", {0: 6, 1: 4, 2: 15}), ("imagenet", {0: 2, 1: 5, 2: 18})])
def test_the_star_leaves_no_operation_that_overlaps(policy: str, kept: dict[int, int]) -> None:
    table = policy_table(policy)
    assert table.names.shape == table.probabilities.shape == table.levels.shape == (25, 2)
    assert OVERLAPPING.isdisjoint(table.names.flatten())
    assert set(table.names.flatten()) <= OPERATIONS.keys() | {IDENTITY}
    assert Counter((table.names != IDENTITY).sum(1).tolist()) == kept


def test_imagenet_loses_the_sub_policies_the_specification_counts() -> None:
    touched = (policy_table("imagenet").names == IDENTITY).any(1)
    assert (np.flatnonzero(touched) + 1).tolist() == [11, 15, 16, 17, 18, 20, 24]


def test_partners_keep_their_place_probability_and_level() -> None:
    table = policy_table("cifar10")
    assert table.names[0].tolist() == ["invert", IDENTITY]
    assert table.names[1].tolist() == ["rotate", "translate_x"]
    assert table.probabilities[1].tolist() == [0.7, 0.3]
    assert table.levels[1].tolist() == [2, 9]
    assert table.names[10].tolist() == [IDENTITY, "translate_x"]


def one_row(names: list[str], probabilities: list[float], levels: list[int]) -> PolicyTable:
    return PolicyTable(np.array([names]), np.array([probabilities]), np.array([levels]))


def test_the_two_operations_are_applied_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    table = one_row(["solarize", "equalize"], [1.0, 1.0], [3, 0])
    monkeypatch.setattr(autoaugment_star, "policy_table", lambda _: table)
    images = noise()
    first = apply(images, ["solarize"] * 12, np.full(12, 170.0))
    expected = apply(first, ["equalize"] * 12, np.zeros(12))
    assert torch.equal(AutoAugmentStar().change(images, stream("test")), expected)


def test_an_operation_is_applied_with_its_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    table = one_row(["invert", IDENTITY], [0.3, 0.0], [0, 0])
    monkeypatch.setattr(autoaugment_star, "policy_table", lambda _: table)
    images = noise(4000, 1, (8, 8))
    changed = (AutoAugmentStar().change(images, stream("test")) != images).flatten(1).any(1)
    assert abs(float(changed.float().mean()) - 0.3) < 0.03


def test_geometry_goes_either_way_to_the_same_extent(monkeypatch: pytest.MonkeyPatch) -> None:
    table = one_row(["translate_x", IDENTITY], [1.0, 0.0], [9, 0])
    monkeypatch.setattr(autoaugment_star, "policy_table", lambda _: table)
    images = torch.full((400, 1, 8, 32), 200, dtype=torch.uint8)
    changed = AutoAugmentStar().change(images, stream("test"))
    black = (changed[:, 0, 0] == 0).long()
    assert black.sum(1).tolist() == [14] * 400  # 150 / 331 of 32 pixels, cut off
    assert 150 < int(black[:, 0].sum()) < 250


def test_every_sub_policy_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    names = np.array([["translate_x", IDENTITY]] * 10)
    table = PolicyTable(names, np.ones((10, 2)), np.arange(10)[:, None].repeat(2, 1))
    monkeypatch.setattr(autoaugment_star, "policy_table", lambda _: table)
    changed = AutoAugmentStar().change(torch.full((5000, 1, 1, 32), 9, dtype=torch.uint8), stream("test"))
    shares = np.bincount((changed[:, 0, 0] == 0).sum(1).numpy()) / 5000
    assert shares[shares > 0] == pytest.approx([0.1] * 10, abs=0.02)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (7, 1, 28, 28), (5, 3, 9, 17)])
@pytest.mark.parametrize("policy", ["cifar10", "imagenet"])
def test_the_network_gets_changed_images_and_the_same_labels(shape: tuple[int, ...], policy: str) -> None:
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float() / 255
    batch = Batch(images, torch.eye(shape[0]), torch.arange(shape[0]))
    before = images.clone()
    fed: list[Tensor] = []

    class Network(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            fed.append(images)
            return images.sum((1, 2, 3))

    def criterion(logits: Tensor, targets: Tensor) -> Tensor:
        assert torch.equal(targets, batch.targets)
        return logits.sum()

    for seed in range(8):
        loss = AutoAugmentStar(policy).loss(Network(), batch, criterion, stream("test", seed))
        assert float(loss) == pytest.approx(float(fed[-1].sum()), rel=1e-4)
    assert torch.equal(images, before)
    assert any(not torch.equal(one, images) for one in fed)
    for one in fed:
        assert one.shape == images.shape
        assert one.dtype == torch.float32
        assert torch.equal((one * 255).round() / 255, one)
        assert 0 <= float(one.min()) <= float(one.max()) <= 1


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("expected a policy of cifar10, imagenet, got 'svhn'")):
        AutoAugmentStar("svhn")
