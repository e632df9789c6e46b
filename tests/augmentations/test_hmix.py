from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.augmentations.cutmix import box_around, cutmix
from robustbench_msda.augmentations.hmix import HMix, clipped_box, code_weight, hmix_mask, inner_box, paper_weight
from robustbench_msda.augmentations.masks import mix_by_mask
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "hmix_gmix_masks.json").read_text())
SIDES = st.integers(1, 40)
SHARES = st.floats(0, 1)


def code_mask(side: int, r: float, lam: float, row: int, column: int) -> np.ndarray:
    """Return the mask of the authors' code for a given centre."""
    box = box_around(side, side, 1 - (1 - lam) * r, row, column)
    return hmix_mask(side, side, code_weight(side, side, lam, box), box)


@pytest.mark.parametrize("case", GOLDEN["hmix"], ids=str)
def test_masks_are_the_authors(case: list[float]) -> None:
    side, r, lam, row, column, top, bottom, left, right, outside = case
    expected = np.full((side, side), outside)
    expected[top:bottom, left:right] = 0
    np.testing.assert_allclose(code_mask(side, r, lam, row, column), expected, rtol=1e-6)


def test_masks_and_images_are_the_authors_in_the_whole_reference(reference: Path) -> None:
    folder = reference / "data" / "gold" / "augment"
    golden = np.load(folder / "hmix_gmix_masks.npz")
    cases = [
        case for case in json.loads((folder / "hmix_gmix_cases.json").read_text())["cases"] if case["mode"] == "hmix"
    ]
    assert len(cases) == 120
    images, reverse, mixed = torch.from_numpy(golden["images"]), torch.arange(3, -1, -1), 0
    for case in cases:
        mask = code_mask(case["size"], case["r"], case["lam_in"], case["cy"], case["cx"])
        np.testing.assert_allclose(mask, golden[case["key"]], atol=1e-7)
        assert mask.mean(dtype=np.float64) == pytest.approx(case["lam_out"], abs=1e-6)
        if f"mixed_{case['key']}" in golden:
            ours, share = mix_by_mask(images, reverse, mask)
            np.testing.assert_allclose(ours.numpy(), golden[f"mixed_{case['key']}"], atol=1e-6)
            assert share == pytest.approx(case["lam_out"], abs=1e-6)
            mixed += 1
    assert mixed == 8


@given(height=SIDES, width=SIDES, lam=SHARES, r=SHARES, seed=st.integers(0, 99))
def test_with_the_codes_weight_the_mean_is_lam(height: int, width: int, lam: float, r: float, seed: int) -> None:
    box = clipped_box(height, width, (1 - lam) * r, stream("test", seed))
    mask = hmix_mask(height, width, code_weight(height, width, lam, box), box)
    assert mask.dtype == np.float32
    assert mask.mean(dtype=np.float64) == pytest.approx(lam, abs=1e-6)
    assert 0 <= mask.min() <= mask.max() <= 1 + 1e-6
    assert not mask[box.top : box.bottom, box.left : box.right].any()
    assert (mask > 0).sum() in {0, height * width - box.area}


@given(side=st.integers(4, 40), lam=SHARES, r=SHARES, seed=st.integers(0, 99))
def test_with_the_papers_weight_the_mean_is_lam_but_for_whole_pixels(
    side: int, lam: float, r: float, seed: int
) -> None:
    box = inner_box(side, side, (1 - lam) * r, stream("test", seed))
    mask = hmix_mask(side, side, paper_weight(lam, r), box)
    # Half a pixel a side.
    assert mask.mean(dtype=np.float64) == pytest.approx(lam, abs=1 / side + 1 / (4 * side**2))
    assert 0 <= mask.min() <= mask.max() <= 1


@given(height=SIDES, width=SIDES, share=SHARES, seed=st.integers(0, 99))
def test_an_inner_box_is_inside_and_half_a_pixel_off_at_most(height: int, width: int, share: float, seed: int) -> None:
    box = inner_box(height, width, share, stream("test", seed))
    assert 0 <= box.top <= box.bottom <= height
    assert 0 <= box.left <= box.right <= width
    for side, low, high in ((height, box.top, box.bottom), (width, box.left, box.right)):
        assert abs(side * share**0.5 - (high - low)) <= 0.5


def test_an_inner_box_is_anywhere() -> None:
    rng = stream("test", "hmix", "places")
    boxes = [inner_box(8, 12, 0.25, rng) for _ in range(600)]
    assert {box.top for box in boxes} == set(range(5))
    assert {box.left for box in boxes} == set(range(7))
    assert {(box.bottom - box.top, box.right - box.left) for box in boxes} == {(4, 6)}


def test_a_clipped_box_reaches_every_border() -> None:
    rng = stream("test", "hmix", "clipped")
    boxes = [clipped_box(8, 12, 0.25, rng) for _ in range(900)]
    assert {box.top + box.bottom for box in boxes if box.top > 0 and box.bottom < 8} == {6, 8, 10}
    assert {box.bottom for box in boxes} == set(range(2, 9))
    assert {box.left for box in boxes} == set(range(9))


@given(height=st.integers(2, 40), width=st.integers(2, 40), lam=st.floats(0.001, 1), seed=st.integers(0, 99))
def test_with_r_one_the_papers_is_cutmix_with_the_box_inside(height: int, width: int, lam: float, seed: int) -> None:
    box = inner_box(height, width, 1 - lam, stream("test", seed))
    mask = hmix_mask(height, width, paper_weight(lam, 1.0), box)
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    partner = torch.tensor([1, 0])
    expected, share = cutmix(images, partner, box)
    ours, ours_share = mix_by_mask(images, partner, mask)
    assert torch.equal(ours, expected)
    assert ours_share == pytest.approx(share, abs=1e-6)


def test_with_r_one_the_codes_is_no_cutmix() -> None:
    """The clipped box leaves more than λ outside, which weighs less for it: 0.67 on average at 32x32."""
    rng = stream("test", "hmix", "weights")
    weights = [code_weight(32, 32, lam, clipped_box(32, 32, 1 - lam, rng)) for lam in rng.random(4000)]
    assert np.mean(weights) == pytest.approx(0.67, abs=4 * np.std(weights) / 4000**0.5 + 0.005)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_with_r_zero_it_is_mixup(lam: float) -> None:
    box = inner_box(7, 9, 0.0, stream("test", "hmix"))
    assert box.area == 0
    assert paper_weight(lam, 0.0) == code_weight(7, 9, lam, box) == lam


@pytest.mark.parametrize(("lam", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_at_the_ends_one_image_is_left(lam: float, expected: float) -> None:
    for r in (0.0, 0.5, 1.0):
        box = inner_box(8, 6, (1 - lam) * r, stream("test", "hmix"))
        for weight in (paper_weight(lam, r), code_weight(8, 6, lam, box)):
            np.testing.assert_array_equal(hmix_mask(8, 6, weight, box), np.full((8, 6), expected))


def flat(n: int) -> Batch:
    targets = torch.eye(n)
    return Batch(targets[:, :, None, None].expand(n, n, 12, 10).contiguous(), targets, torch.arange(n))


@pytest.mark.parametrize("n", [1, 4, 5])
def test_the_code_pairs_the_batch_with_its_reverse(n: int) -> None:
    for seed in range(10):
        ours = HMix(variant="code").mix(flat(n), stream("test", "hmix", seed))
        share = float(ours.targets[0, 0])
        expected = share * torch.eye(n) + (1 - share) * torch.eye(n).flip(0)
        torch.testing.assert_close(ours.targets, expected if n > 1 else torch.eye(1))
        torch.testing.assert_close(ours.images.mean((2, 3)), ours.targets, atol=1e-6, rtol=0)


def test_the_paper_pairs_at_random_and_shares_are_as_drawn() -> None:
    shares, partners = [], set()
    for seed in range(400):
        targets = HMix().mix(flat(3), stream("test", "hmix", seed)).targets
        partners.add(tuple((targets - targets.diagonal().diag()).argmax(1).tolist()))
        shares.extend(targets.diagonal()[targets.diagonal() < 1][:1].tolist())
    assert len(partners) > 4
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * (1 / 12) ** 0.5 / len(shares) ** 0.5)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_r_is_the_boxs_share_of_the_partner(variant: str) -> None:
    """The mean area of boxes over (1 - λ), from images of one and zero: zeros are the box of the partner."""
    images = torch.stack([torch.ones(1, 64, 64), torch.zeros(1, 64, 64)])
    batch, ratios = Batch(images, torch.eye(2), torch.arange(2)), []
    for seed in range(300):
        ours = HMix(r=0.5, variant=variant).mix(batch, stream("test", "hmix", seed))
        share = float(ours.targets[0, 0])
        if share < 0.9:
            ratios.append(float((ours.images[0] == 0).float().mean()) / (1 - share))
    assert max(ratios) <= 0.5 + (0.05 if variant == "paper" else 1e-6)
    assert np.max(ratios) > 0.45
    if variant == "paper":
        assert min(ratios) > 0.3
    else:
        assert min(ratios) < 0.2


def test_fields_are_checked() -> None:
    with pytest.raises(ValueError, match="expected alpha > 0"):
        HMix(alpha=0.0)
    with pytest.raises(ValueError, match=r"expected r in \[0, 1\], got 1.5"):
        HMix(r=1.5)
    with pytest.raises(ValueError, match="expected a variant of paper, code, got 'timm'"):
        HMix(variant="timm")
