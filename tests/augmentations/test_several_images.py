from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from robustbench_msda.augmentations.several_images import SeveralImages, blend_targets, draw_partners, draw_shares
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


@pytest.mark.parametrize("n", [1, 2, 7])
def test_partners_are_itself_and_permutations(n: int) -> None:
    batch = Batch(torch.zeros(n, 1, 2, 2), torch.ones(n, 1), torch.arange(n))
    partners = draw_partners(batch, 4, stream("test", "partners", n))
    assert partners.shape == (4, n)
    assert torch.equal(partners[0], torch.arange(n))
    assert torch.equal(partners.sort(1).values, torch.arange(n).expand(4, n))
    assert n < 7 or len({tuple(row.tolist()) for row in partners}) == 4


@pytest.mark.parametrize(("k", "alpha"), [(2, 1.0), (3, 1 / 3), (5, 0.2), (3, 1e-3), (4, 1e6)])
def test_shares_have_the_moments_of_the_dirichlet_distribution(k: int, alpha: float) -> None:
    shares = draw_shares(20_000, k, alpha, stream("test", "shares", k))
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-12)
    assert (shares >= 0).all()
    variance = (k - 1) / (k**2 * (k * alpha + 1))
    np.testing.assert_allclose(shares.mean(0), 1 / k, atol=4 * math.sqrt(variance / 20_000))
    np.testing.assert_allclose(shares.var(0), variance, rtol=0.05)


def test_shares_of_an_image_that_occurs_twice_add_up() -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]])
    partners, shares = torch.tensor([[0, 1], [1, 0], [0, 1]]), torch.tensor([[0.5, 0.1], [0.2, 0.2], [0.3, 0.7]])
    expected = torch.tensor([[0.8, 0.05, 0.15], [0.2, 0.2, 0.6]])
    torch.testing.assert_close(blend_targets(targets, partners, shares), expected)


@pytest.mark.parametrize(("k", "alpha"), [(1, 1.0), (2.0, 1.0), ("3", 1.0), (3, 0.0), (3, math.nan), (3, math.inf)])
def test_fields_are_checked(k: object, alpha: float) -> None:
    with pytest.raises(ValueError, match="expected a whole k >= 2|expected a finite alpha > 0"):
        SeveralImages(k, alpha)  # type: ignore[arg-type]
