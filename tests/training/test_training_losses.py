from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.recipes import Recipe
from robustbench_msda.training.losses import LOSSES, soft_cross_entropy, softmax_bce


def drawn(seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 7, generator=generator) * scale
    return logits, torch.rand(5, 7, generator=generator).softmax(1)


@given(seed=st.integers(0, 99))
def test_cross_entropy_is_the_mean_over_images(seed: int) -> None:
    logits, targets = drawn(seed)
    expected = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(value) for value in row))
        expected += sum(share * (log_sum - value) for share, value in zip(target, row, strict=True)) / 5
    assert float(soft_cross_entropy(logits, targets)) == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 99))
def test_softmax_bce_is_the_mean_over_images_and_classes(seed: int) -> None:
    logits, targets = drawn(seed)
    total = 0.0
    for row, target in zip(logits.softmax(1).tolist(), targets.tolist(), strict=True):
        for p, share in zip(row, target, strict=True):
            total -= share * max(math.log(p), -100) + (1 - share) * max(math.log(1 - p), -100)
    assert float(softmax_bce(logits, targets)) == pytest.approx(total / 35, rel=1e-4)


def test_a_sure_and_wrong_answer_costs_what_torch_cuts_off() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = softmax_bce(logits, torch.tensor([[0.0, 1.0]]))
    assert loss.item() == pytest.approx(100.0)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES.values())
def test_half_precision_is_raised(loss) -> None:
    logits, targets = drawn(0)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(logits.bfloat16(), targets)
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(float(loss(logits, targets)), rel=0.02)


def test_a_recipe_can_name_every_loss() -> None:
    assert set(get_args(Recipe.model_fields["loss"].annotation)) == set(LOSSES)
