from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.augmentations import dynmix
from robustbench_msda.augmentations.chains import Chains
from robustbench_msda.augmentations.chains import run_chains as run
from robustbench_msda.augmentations.dynmix import (
    FLIPS_AND_OPERATIONS,
    DynMix,
    blend,
    dynamic_share,
    linear_share,
)
from robustbench_msda.augmentations.mixup import mixup
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

METHODS = [
    DynMix(),
    DynMix(mixing="linear"),
    DynMix(js_weight=0.0, views=1),
    DynMix(views=1),
    DynMix(1.0, 0.3, views=3),
]


def grey_pair(n: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 256, (2, n, 3, 4, 5), dtype=np.uint8)
    return torch.from_numpy(first), torch.from_numpy(second)


def blended(first: Tensor, second: Tensor, share: NDArray[np.float64]) -> Tensor:
    return blend(first, second, torch.from_numpy(share))


@given(m=st.lists(st.floats(0, 1), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_mix_is_line_11_of_the_algorithm(m: list[float], seed: int) -> None:
    first, second = grey_pair(len(m), seed)
    m1 = np.array(m)
    m2 = 1 - m1
    x1, x2, w1, w2 = (
        *(images.double().numpy() / 255 for images in (first, second)),
        *(weight[:, None, None, None] for weight in (m1, m2)),
    )
    printed = w1 * x1 + w2 * x2 + w1 * w2 * (x1 - x2)
    np.testing.assert_allclose(blended(first, second, dynamic_share(m1)).numpy(), printed, atol=1e-12)
    np.testing.assert_allclose(printed, (1 - w2**2) * x1 + w2**2 * x2, atol=1e-12)
    linear = w1 * x1 + w2 * x2
    np.testing.assert_allclose(blended(first, second, linear_share(m1)).numpy(), linear, atol=1e-12)


@given(m=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_linear_part_is_mixup_of_the_views(m: float, seed: int) -> None:
    first, second = grey_pair(1, seed)
    both = torch.cat([first, second]).double() / 255
    ours = blended(first, second, linear_share(np.array([m])))
    torch.testing.assert_close(ours[0], mixup(both, torch.tensor([1, 0]), m)[0])


@given(share=st.floats(0, 1, width=32), seed=st.integers(0, 99))
def test_equal_views_are_left_as_they_are(share: float, seed: int) -> None:
    first, _ = grey_pair(2, seed)
    assert torch.equal(blend(first, first, torch.tensor([share, share])), first / 255)


@given(share=st.floats(0, 1, width=32), seed=st.integers(0, 99))
def test_the_mix_lies_between_the_views(share: float, seed: int) -> None:
    first, second = grey_pair(2, seed)
    result = blend(first, second, torch.tensor([share, share])) * 255
    assert bool((result >= torch.minimum(first, second) - 1e-4).all())
    assert bool((result <= torch.maximum(first, second) + 1e-4).all())


def test_the_ends_of_the_share() -> None:
    first, second = grey_pair(2, 0)
    assert torch.equal(blend(first, second, torch.tensor([1.0, 0.0])), torch.stack([first[0], second[1]]) / 255)
    assert dynamic_share(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_the_dynamic_share_favours_the_first_view() -> None:
    """Mean 2/3 and median 3/4 under Beta(1, 1); the linear share's are 1/2."""
    m = (np.arange(100_000) + 0.5) / 100_000
    assert dynamic_share(m).mean() == pytest.approx(2 / 3, abs=1e-6)
    assert np.median(dynamic_share(m)) == pytest.approx(3 / 4, abs=1e-5)
    assert linear_share(m).mean() == pytest.approx(1 / 2)


def test_the_eleven_operations() -> None:
    """Appendix B of the paper."""
    expected = "hflip vflip rotate translate_x translate_y shear_x shear_y autocontrast equalize solarize posterize"
    assert sorted(FLIPS_AND_OPERATIONS) == sorted(expected.split())


class Spy:
    """``run_chains`` that keeps the chains."""

    def __init__(self) -> None:
        self.chains: Chains | None = None

    def __call__(self, images: Tensor, chains: Chains) -> Tensor:
        self.chains = chains
        return run(images, chains)


def spied(monkeypatch: pytest.MonkeyPatch, method: DynMix, n: int) -> Chains:
    spy = Spy()
    monkeypatch.setattr(dynmix, "run_chains", spy)
    method.draw_views(torch.zeros(n, 1, 8, 8), stream("test", "spy"))
    assert spy.chains is not None
    return spy.chains


def test_chains_have_one_or_two_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = spied(monkeypatch, DynMix(), 1000)
    assert chains.names.shape == (2 * 2 * 1000, 2)
    depths = (chains.names != "identity").sum(1)
    assert set(depths.tolist()) == {1, 2}
    assert (depths == 2).mean() == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    first = chains.names[:, 0]
    shares = [float((first == name).mean()) for name in FLIPS_AND_OPERATIONS]
    assert shares == pytest.approx([1 / 11] * 11, abs=4 * 0.2875 / 4000**0.5)


def test_both_chains_of_a_view_start_from_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def untouched(images: Tensor, chains: Chains) -> Tensor:
        return run(images, Chains(np.full_like(chains.names, "identity"), chains.magnitudes))

    monkeypatch.setattr(dynmix, "run_chains", untouched)
    images = torch.arange(5 * 64).reshape(5, 1, 8, 8).remainder(256) / 255
    views = DynMix(views=3).draw_views(images, stream("test", "rows"))
    assert torch.equal(views, images.repeat(3, 1, 1, 1))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("mixing", ["dynamic", "linear"])
def test_the_share_is_drawn_from_the_beta_distribution(
    monkeypatch: pytest.MonkeyPatch, mixing: str, alpha: float
) -> None:
    """First chains white and second chains black show the share: its mean is E[1 − (1 − m)²], or one half."""

    def black_and_white(images: Tensor, chains: Chains) -> Tensor:
        rows = torch.zeros(len(chains.names), 1, 1, 1, dtype=torch.uint8)
        rows[: len(rows) // 2] = 255
        return rows

    monkeypatch.setattr(dynmix, "run_chains", black_and_white)
    shares = DynMix(alpha=alpha, mixing=mixing).draw_views(torch.zeros(4000, 1, 8, 8), stream("test", "beta")).flatten()
    square = 1 / 4 + 1 / (4 * (2 * alpha + 1))
    assert float(shares.mean()) == pytest.approx({"dynamic": 1 - square, "linear": 0.5}[mixing], abs=0.02)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 3, 9, 13), (2, 3, 32, 32)])
def test_views_are_new_images_in_range(method: DynMix, shape: tuple[int, int, int, int]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone()
    views = method.draw_views(images, stream("test", "views"))
    assert views.shape == (method.views * shape[0], *shape[1:])
    assert views.dtype == torch.float32
    assert 0 <= float(views.min()) <= float(views.max()) <= 1
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_the_two_views_differ() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = DynMix().draw_views(images, stream("test", "differ")).split(4)
    assert bool((first != second).flatten(1).any(1).all())


class Counting(nn.Module):
    """A network of mean colours that keeps what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.fed.append(images)
        return 5 * images.mean((2, 3))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_network_is_asked_once(method: DynMix) -> None:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch, model = Batch(images, torch.eye(3), torch.arange(3)), Counting()

    def criterion(logits: Tensor, targets: Tensor) -> Tensor:
        assert torch.equal(targets, batch.targets)
        return (logits - targets).square().mean()

    method.loss(model, batch, criterion, stream("test", "once"))
    (fed,) = model.fed
    views = method.draw_views(images, stream("test", "once"))
    assert torch.equal(fed, views if method.js_weight == 0 else torch.cat([images, views]))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"severity": 11.0}, "severity in"),
        ({"alpha": 0.0}, "alpha > 0"),
        ({"views": 0}, "whole views >= 1"),
        ({"js_weight": 0.0}, "views=1 where js_weight=0"),
        ({"mixing": "convex"}, "mixing one of dynamic, linear"),
    ],
)
def test_fields_are_checked(fields: dict[str, float], expected: str) -> None:
    with pytest.raises(ValueError, match=f"expected {expected}"):
        DynMix(**fields)  # type: ignore[arg-type]  # what a caller may get wrong
