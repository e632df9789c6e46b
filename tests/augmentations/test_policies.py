from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import AutoAugment

from robustbench_msda.augmentations.operations import OPERATIONS, as_bytes
from robustbench_msda.augmentations.policies import (
    PUBLISHED_NAMES,
    SIGNED,
    as_floats,
    draw_signs,
    level_magnitudes,
    level_values,
)
from robustbench_msda.streams import stream


def test_every_byte_comes_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = as_floats(values)
    assert floats.dtype == torch.float32
    assert float(floats.max()) == 1
    assert torch.equal(as_bytes(floats), values)


@pytest.mark.parametrize("side", [(32, 32), (28, 40), (224, 224), (64, 8)])
def test_levels_are_torchvisions(side: tuple[int, int]) -> None:
    published = AutoAugment()._augmentation_space(10, side)
    ours = level_values(*side)
    for name, (values, signed) in published.items():
        key = PUBLISHED_NAMES[name]
        if key in ours:
            expected = values.double().numpy()
            expected = np.trunc(expected) if name.startswith("Translate") else expected
            np.testing.assert_allclose(ours[key], expected, rtol=1e-6, atol=2e-5)
            assert signed == (key in SIGNED)
    assert len(ours) == 7


def test_published_names_are_operations() -> None:
    assert set(PUBLISHED_NAMES.values()) == OPERATIONS.keys() - {"hflip", "vflip"}


def test_magnitudes_follow_name_level_and_sign() -> None:
    names = np.array(["rotate", "rotate", "solarize", "posterize", "invert", "identity", "translate_y"])
    levels, signs = np.array([9, 3, 3, 9, 5, 5, 9]), np.array([-1, 1, -1, -1, -1, -1, -1])
    magnitudes = level_magnitudes(names, levels, signs, (64, 32))
    np.testing.assert_allclose(magnitudes, [-30, 10, 170, 4, 0, 0, -29])


def test_signs_are_even() -> None:
    signs = draw_signs(10_000, stream("test", 1))
    assert set(signs.tolist()) == {-1, 1}
    assert abs(signs.mean()) < 0.04
