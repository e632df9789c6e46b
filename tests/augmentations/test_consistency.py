from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from robustbench_msda.augmentations.consistency import consistent_loss, jensen_shannon, require_views
from robustbench_msda.records import Batch


def random_logits(views: int, n: int, classes: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(views * 1000 + n * 10 + classes)
    return scale * torch.randn(views, n, classes, generator=generator, dtype=torch.float64)


class Counting(nn.Module):
    """A linear network that keeps what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[Tensor] = []
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            self.head.weight.copy_(torch.arange(12.0).reshape(3, 4).sin())
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        self.fed.append(images)
        logits: Tensor = self.head(images.flatten(1))
        return logits


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.float().log_softmax(1)).sum(1).mean()


def clean_batch() -> Batch:
    images = torch.linspace(0, 1, 20).reshape(5, 1, 2, 2)
    return Batch(images, torch.eye(3)[[0, 1, 2, 0, 1]], torch.arange(5))


def test_two_views_are_scipys_squared_distance() -> None:
    logits = random_logits(2, 50, 7)
    probs = logits.softmax(-1).numpy()
    expected = np.mean(jensenshannon(probs[0], probs[1], axis=1) ** 2)
    assert float(jensen_shannon(logits)) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("views", [2, 3, 5])
def test_many_views_are_their_entropies(views: int) -> None:
    """H(mean) − mean H, a loop an image."""
    probs = random_logits(views, 11, 6).softmax(-1).numpy()
    total = 0.0
    for image in range(11):
        mean = probs[:, image].mean(0)
        total -= (mean * np.log(mean)).sum()
        total += np.mean([(p * np.log(p)).sum() for p in probs[:, image]])
    assert float(jensen_shannon(random_logits(views, 11, 6))) == pytest.approx(total / 11, abs=1e-7)


@given(views=st.integers(1, 5), n=st.integers(1, 6), classes=st.integers(2, 9), scale=st.floats(0, 60))
def test_it_lies_between_nothing_and_the_logarithm_of_the_views(views: int, n: int, classes: int, scale: float) -> None:
    value = float(jensen_shannon(random_logits(views, n, classes, scale)))
    assert -4e-8 * classes <= value <= math.log(views) + 1e-6


def test_equal_views_agree_and_opposite_views_disagree_wholly() -> None:
    same = random_logits(1, 4, 5).repeat(3, 1, 1)
    assert float(jensen_shannon(same)) == pytest.approx(0, abs=1e-7)
    # Raising one logit of one view is seen; adding a constant to all of a row is not.
    assert float(jensen_shannon(same + torch.tensor([0.0, 0.0, 5.0])[:, None, None])) == pytest.approx(0, abs=1e-7)
    same[1, 2, 3] += 0.5
    assert float(jensen_shannon(same)) > 1e-4
    opposite = 1000 * torch.eye(3)[:, None]
    assert float(jensen_shannon(opposite)) == pytest.approx(math.log(3), abs=1e-6)


def test_the_order_of_views_is_of_no_matter_and_batches_average() -> None:
    logits = random_logits(3, 8, 4)
    value = float(jensen_shannon(logits))
    assert float(jensen_shannon(logits[[2, 0, 1]])) == pytest.approx(value, rel=1e-12)
    assert np.mean([float(jensen_shannon(logits[:, i : i + 1])) for i in range(8)]) == pytest.approx(value, rel=1e-12)


def test_gradients_are_right_and_reach_every_view() -> None:
    logits = random_logits(3, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(jensen_shannon, (logits,))
    (gradient,) = torch.autograd.grad(jensen_shannon(logits), logits)
    assert bool((gradient.abs().sum(2) > 0).all())


def test_gradients_of_certain_networks_are_finite() -> None:
    logits = (1e4 * torch.eye(3)[:, None]).requires_grad_()
    (gradient,) = torch.autograd.grad(jensen_shannon(logits), logits)
    assert bool(gradient.isfinite().all())


def test_dtypes() -> None:
    logits = random_logits(2, 3, 4)
    assert jensen_shannon(logits).dtype == torch.float64
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert jensen_shannon(logits.to(dtype)).dtype == torch.float32


def test_half_precision_is_raised_before_anything_is_lost() -> None:
    logits = random_logits(3, 20, 10).bfloat16()
    assert float(jensen_shannon(logits)) == pytest.approx(float(jensen_shannon(logits.double())), rel=1e-5)


def test_the_loss_under_autocast_is_float32() -> None:
    batch, model = clean_batch(), Counting()
    with torch.autocast("cpu", torch.bfloat16):
        loss = consistent_loss(model, batch, 1 - batch.images, cross_entropy, 12.0)
        assert model(batch.images).dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    exact = consistent_loss(Counting(), batch, 1 - batch.images, cross_entropy, 12.0)
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=0.02)


def test_the_loss_is_the_clean_criterion_plus_the_divergence_in_one_pass() -> None:
    batch, model = clean_batch(), Counting()
    views = torch.cat([1 - batch.images, batch.images.flip(0)])
    loss = consistent_loss(model, batch, views, cross_entropy, 7.0)
    assert len(model.fed) == 1
    assert torch.equal(model.fed[0], torch.cat([batch.images, views]))
    parts = [model(images) for images in (batch.images, *views.split(5))]
    expected = cross_entropy(parts[0], batch.targets) + 7 * jensen_shannon(torch.stack(parts))
    torch.testing.assert_close(loss, expected)
    assert float(jensen_shannon(torch.stack(parts)).detach()) > 1e-3


def test_without_a_weight_the_criterion_judges_the_view_alone() -> None:
    batch, model = clean_batch(), Counting()
    views = 1 - batch.images
    loss = consistent_loss(model, batch, views, cross_entropy, 0.0)
    assert len(model.fed) == 1
    assert torch.equal(model.fed[0], views)
    torch.testing.assert_close(loss, cross_entropy(model(views), batch.targets))


@pytest.mark.parametrize(
    ("views", "js_weight", "expected"),
    [
        (0, 12.0, "whole views >= 1"),
        (1.5, 12.0, "whole views >= 1"),
        (2, -1.0, "js_weight >= 0"),
        (2, float("nan"), "js_weight >= 0"),
        (2, 0.0, "views=1 where js_weight=0"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(views: int, js_weight: float, expected: str) -> None:
    with pytest.raises(ValueError, match=f"expected {expected}"):
        require_views(views, js_weight)


@pytest.mark.parametrize(("views", "js_weight"), [(1, 0.0), (1, 12.0), (2, 12.0), (4, 0.5)])
def test_fields_that_go_together_are_taken(views: int, js_weight: float) -> None:
    require_views(views, js_weight)
    batch = clean_batch()
    loss = consistent_loss(Counting(), batch, batch.images.repeat(views, 1, 1, 1), cross_entropy, js_weight)
    torch.testing.assert_close(loss, cross_entropy(Counting()(batch.images), batch.targets))
