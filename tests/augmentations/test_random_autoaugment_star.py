from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations import random_autoaugment_star
from robustbench_msda.augmentations.operations import IDENTITY
from robustbench_msda.augmentations.policies import level_values
from robustbench_msda.augmentations.random_autoaugment_star import STAR_OPERATIONS, RandomAutoAugmentStar
from robustbench_msda.streams import stream

Call = tuple[list[str], NDArray[np.float64]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The names and magnitudes of each step of 20,000 images."""
    seen: list[Call] = []

    def record(images: Tensor, names: Sequence[str], magnitudes: NDArray[np.float64]) -> Tensor:
        seen.append((list(names), magnitudes))
        return images

    monkeypatch.setattr(random_autoaugment_star, "apply", record)
    RandomAutoAugmentStar().change(torch.zeros(20_000, 1, 32, 32, dtype=torch.uint8), stream("test"))
    return seen


def test_ten_operations_are_left() -> None:
    assert len(STAR_OPERATIONS) == 10
    assert {"invert", "rotate", "posterize"} < set(STAR_OPERATIONS)


def test_two_steps_draw_every_operation_alike_and_apply_half(calls: list[Call]) -> None:
    assert len(calls) == 2
    for names, _ in calls:
        shares = {name: count / 20_000 for name, count in Counter(names).items()}
        assert shares.pop(IDENTITY) == pytest.approx(0.5, abs=0.015)
        assert shares.keys() == set(STAR_OPERATIONS)
        assert list(shares.values()) == pytest.approx([0.05] * 10, abs=0.008)


def test_the_steps_are_drawn_independently(calls: list[Call]) -> None:
    (first, _), (second, _) = calls
    same = [one == other for one, other in zip(first, second, strict=True) if IDENTITY not in (one, other)]
    assert np.mean(same) == pytest.approx(0.1, abs=0.02)


def test_levels_and_signs_are_uniform(calls: list[Call]) -> None:
    names, magnitudes = calls[0]
    solarized = magnitudes[np.array(names) == "solarize"]
    values, counts = np.unique(solarized, return_counts=True)
    np.testing.assert_allclose(values, np.sort(level_values(32, 32)["solarize"]))
    assert counts / counts.sum() == pytest.approx([0.1] * 10, abs=0.04)
    turned = magnitudes[np.array(names) == "rotate"]
    assert np.mean(turned > 0) == pytest.approx(0.45, abs=0.06)
    assert np.mean(turned < 0) == pytest.approx(0.45, abs=0.06)


def test_images_change_and_the_stream_decides() -> None:
    images = torch.randint(0, 256, (9, 3, 11, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    once = RandomAutoAugmentStar().change(images, stream("test", 1))
    assert torch.equal(once, RandomAutoAugmentStar().change(images, stream("test", 1)))
    assert not torch.equal(once, RandomAutoAugmentStar().change(images, stream("test", 2)))
    assert not torch.equal(once, images)
    assert torch.equal(images, before)
