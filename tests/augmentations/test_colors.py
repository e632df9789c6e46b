"""Colours of ImageNet training against torchvision's own operations, and the law of the draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tv

from robustbench_msda.augmentations.colors import (
    EIGENVALUES,
    EIGENVECTORS,
    ColorDraws,
    draw_colors,
    shift_colors,
)
from robustbench_msda.streams import stream

OPERATIONS = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)
# In the middle of the range nothing is cut, so that cutting at the end and after each step are the same.
MIDDLE = 0.35 + 0.3 * torch.rand(4, 3, 9, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@given(seed=st.integers(0, 2**31))
def test_colors_are_torchvisions_operations_in_any_order(order: tuple[int, ...], seed: int) -> None:
    draws = draw_colors(4, 0.2, 0.0, np.random.default_rng(seed))
    shifted = shift_colors(MIDDLE, draws)
    for image, factors, ours in zip(MIDDLE, draws.factors, shifted, strict=True):
        for kind in order:
            image = OPERATIONS[kind](image, factors[kind].item())
        # torchvision rounds the weights of luma to four digits.
        assert torch.allclose(ours, image, atol=2e-4)


def test_lighting_adds_the_principal_components() -> None:
    strengths = torch.tensor([[0.3, -0.2, 0.1]])
    draws = ColorDraws(torch.ones(1, 3), strengths)
    expected = np.array(EIGENVECTORS) @ (np.array(EIGENVALUES) * strengths[0].numpy())
    difference = shift_colors(MIDDLE[:1], draws) - MIDDLE[:1]
    assert torch.allclose(
        difference, torch.from_numpy(expected).float()[None, :, None, None].expand_as(difference), atol=1e-6
    )


def test_no_strength_changes_nothing_and_the_result_stays_in_range() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(shift_colors(images, draw_colors(5, 0.0, 0.0, stream("test"))), images, atol=1e-6)
    strong = shift_colors(images, draw_colors(5, 0.9, 2.0, stream("test")))
    assert strong.min() >= 0
    assert strong.max() <= 1
    assert not torch.allclose(strong, images, atol=0.1)


def test_factors_are_uniform_and_noise_is_normal() -> None:
    draws = draw_colors(6000, 0.4, 0.1, stream("test"))
    assert draws.factors.min() >= 0.6
    assert draws.factors.max() <= 1.4
    assert draws.factors.mean().item() == pytest.approx(1.0, abs=0.01)
    assert draws.factors.std().item() == pytest.approx(0.8 / 12**0.5, rel=0.02)
    assert draws.lighting.std().item() == pytest.approx(0.1, rel=0.02)
