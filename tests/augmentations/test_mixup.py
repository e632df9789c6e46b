from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustbench_msda.augmentations.mixup import Mixup, mixup
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

IMAGES = torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(0))
PARTNER = torch.tensor([2, 0, 3, 1])


def one_hot_batch(n: int) -> Batch:
    return Batch(torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1)), torch.eye(n), torch.arange(n))


@given(lam=st.floats(0, 1))
def test_is_the_average_of_the_pair(lam: float) -> None:
    mixed = mixup(IMAGES, PARTNER, lam)
    for i, j in enumerate(PARTNER.tolist()):
        expected = lam * IMAGES[i].double() + (1 - lam) * IMAGES[j].double()
        torch.testing.assert_close(mixed[i].double(), expected, atol=1e-6, rtol=0)


def test_share_one_is_the_identity_and_share_zero_the_partner() -> None:
    assert torch.equal(mixup(IMAGES, PARTNER, 1.0), IMAGES)
    assert torch.equal(mixup(IMAGES, PARTNER, 0.0), IMAGES[PARTNER])


@given(lam=st.floats(0, 1))
def test_the_two_roles_are_symmetric(lam: float) -> None:
    swapped = mixup(IMAGES[PARTNER], PARTNER.argsort(), 1 - lam)
    torch.testing.assert_close(mixup(IMAGES, PARTNER, lam), swapped, atol=1e-6, rtol=0)


def drawn_shares(alpha: float, n: int) -> list[float]:
    """Return the share of the first image in ``n`` batches, read from the targets of a pair that was swapped."""
    batch, rng = one_hot_batch(2), stream("test", "mixup", str(alpha))
    targets = [Mixup(alpha).mix(batch, rng).targets for _ in range(n)]
    # Where the permutation is the identity the share cannot be seen: half of the batches.
    return [float(rows[0, 0]) for rows in targets if rows[0, 1] > 0]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    shares = drawn_shares(alpha, 1000)
    assert 420 < len(shares) < 580
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_partners_are_uniform_over_permutations() -> None:
    rng = stream("test", "partners")
    seen: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        targets = Mixup(1.0).mix(one_hot_batch(3), rng).targets - 1e-9 * torch.eye(3)
        # The share is almost surely neither 0 nor 1: a row names its partner beside itself.
        others = targets.masked_fill(torch.eye(3) > 0, 0)
        partner = tuple(int(row.argmax()) if row.max() > 0 else i for i, row in enumerate(others))
        seen[partner] = seen.get(partner, 0) + 1
    assert len(seen) == 6
    assert stats.chisquare(list(seen.values())).pvalue > 0.01


def test_alpha_zero_mixes_nothing() -> None:
    batch = one_hot_batch(5)
    mixed = Mixup(alpha=0.0).mix(batch, np.random.Generator(np.random.Philox(3)))
    assert torch.equal(mixed.images, batch.images)
    assert torch.equal(mixed.targets, batch.targets)


def test_the_rest_of_the_batch_comes_through() -> None:
    batch = replace(one_hot_batch(4), step=7, progress=0.25)
    mixed = Mixup().mix(batch, stream("test"))
    assert (mixed.step, mixed.progress, mixed.index.tolist()) == (7, 0.25, [0, 1, 2, 3])


@pytest.mark.parametrize("alpha", [-0.1, float("nan")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected alpha >= 0"):
        Mixup(alpha)
