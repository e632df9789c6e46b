from __future__ import annotations

import numpy as np
import torch

from robustbench_msda import expressions
from robustbench_msda.augmentations.dmixup import DMixup, dmixup
from robustbench_msda.augmentations.mixup import mixup
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


def noise(n: int, channels: int = 3, height: int = 9, width: int = 12) -> torch.Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n))


def one_hot_batch(n: int) -> Batch:
    """Return ``n`` images of ``n`` channels, each of the flat colour of its target."""
    return Batch(torch.eye(n)[:, :, None, None].expand(n, n, 4, 4).contiguous(), torch.eye(n), torch.arange(n))


def test_agrees_with_a_loop_over_images() -> None:
    images, rng = noise(5), np.random.default_rng(0)
    partners = torch.from_numpy(np.stack([rng.permutation(5) for _ in range(4)]))
    shares = torch.from_numpy(rng.dirichlet(np.ones(4), 5).T)
    averaged = dmixup(images, partners, shares)
    for i in range(5):
        expected = sum(shares[k, i] * images[partners[k, i]].double() for k in range(4))
        torch.testing.assert_close(averaged[i].double(), expected, atol=1e-6, rtol=0)


def test_two_images_are_mixup_with_a_share_per_image() -> None:
    images, partner = noise(6), torch.tensor([3, 1, 0, 5, 2, 4])
    lam = torch.linspace(0, 1, 6)
    averaged = dmixup(images, torch.stack([torch.arange(6), partner]), torch.stack([lam, 1 - lam]))
    for i in range(6):
        torch.testing.assert_close(averaged[i], mixup(images, partner, float(lam[i]))[i], atol=1e-6, rtol=0)


def test_white_stays_white_whatever_rounding_does() -> None:
    batch = Batch(torch.ones(64, 1, 2, 2), torch.ones(64, 1), torch.arange(64))
    for k in range(2, 10):
        images = DMixup(k, 1.0).mix(batch, stream("test", "white", k)).images
        assert float(images.max()) <= 1
        assert float(images.min()) > 1 - 1e-6


def test_every_image_has_its_own_shares_and_every_partner_its_own_permutation() -> None:
    targets = DMixup(4, 5.0).mix(one_hot_batch(40), stream("test", "own shares")).targets
    assert len(set(targets.diagonal().tolist())) == 40
    assert int((targets > 0).sum(1).max()) == 4
    assert float((targets > 0).sum(1).float().mean()) > 3.5


def test_large_alpha_shares_out_evenly_and_small_alpha_picks_one() -> None:
    even = DMixup(4, 1e9).mix(one_hot_batch(30), stream("test", "even")).targets
    torch.testing.assert_close(even * 4, (even * 4).round(), atol=1e-3, rtol=0)
    single = DMixup(4, 1e-3).mix(one_hot_batch(30), stream("test", "one")).targets
    assert float(single.amax(1).median()) > 0.999


def test_the_batch_is_left_untouched_and_its_layout_kept() -> None:
    images = noise(7).to(memory_format=torch.channels_last)
    batch = Batch(images.clone(memory_format=torch.preserve_format), torch.eye(7), torch.arange(7))
    mixed = DMixup().mix(batch, stream("test", "untouched"))
    assert torch.equal(batch.images, images)
    assert torch.equal(batch.targets, torch.eye(7))
    assert mixed.images.is_contiguous(memory_format=torch.channels_last)


def test_the_default_survives_its_text() -> None:
    table = {"dmixup": DMixup}
    assert expressions.canonical(DMixup(), table) == "dmixup(k=3, alpha=0.3333333333333333)"
    assert expressions.parse(expressions.canonical(DMixup(), table), table, "augmentation") == DMixup()
