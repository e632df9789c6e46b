from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.augmentations.gmix import GMix, gmix_mask
from robustbench_msda.augmentations.masks import mix_by_mask
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "hmix_gmix_masks.json").read_text())
SIDES = st.integers(1, 30)


@pytest.mark.parametrize("case", GOLDEN["gmix"], ids=lambda case: f"{case['lam']}-{case['row']}-{case['column']}")
def test_masks_are_the_authors(case: dict) -> None:
    side, row, column = GOLDEN["gmix_side"], case["row"], case["column"]
    mask = gmix_mask(side, side, case["lam"], row, column)
    np.testing.assert_allclose(mask[row], case["across"], atol=2e-7)
    np.testing.assert_allclose(mask[:, column], case["down"], atol=2e-7)
    assert mask.mean(dtype=np.float64) == pytest.approx(case["share"], abs=1e-6)


def test_masks_and_images_are_the_authors_in_the_whole_reference(reference: Path) -> None:
    folder = reference / "data" / "gold" / "augment"
    golden = np.load(folder / "hmix_gmix_masks.npz")
    cases = [
        case for case in json.loads((folder / "hmix_gmix_cases.json").read_text())["cases"] if case["mode"] == "gmix"
    ]
    assert len(cases) == 30
    images, reverse, mixed = torch.from_numpy(golden["images"]), torch.arange(3, -1, -1), 0
    for case in cases:
        mask = gmix_mask(case["size"], case["size"], case["lam_in"], case["cy"], case["cx"])
        np.testing.assert_allclose(mask, golden[case["key"]], atol=2e-7)
        ours, share = mix_by_mask(images[..., : case["size"], : case["size"]], reverse, mask[:32, :32])
        if f"mixed_{case['key']}" in golden:
            np.testing.assert_allclose(ours.numpy(), golden[f"mixed_{case['key']}"], atol=1e-6)
            assert share == pytest.approx(case["lam_out"], abs=1e-6)
            mixed += 1
    assert mixed == 2


@given(height=SIDES, width=SIDES, lam=st.floats(0, 1), data=st.data())
def test_weights_are_the_formulas(height: int, width: int, lam: float, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = gmix_mask(height, width, lam, row, column)
    assert mask.dtype == np.float32
    assert 0 <= mask.min() <= mask.max() <= 1
    share = min(lam, 1 - lam)
    share = 0 if share < 1e-307 else share
    for y, x in np.ndindex(height, width):
        distance = ((y - row) / height) ** 2 + ((x - column) / width) ** 2
        bump = math.exp(-math.pi * distance / share) if share > 0 else 0.0
        assert mask[y, x] == pytest.approx(bump if lam < 0.5 else 1 - bump, abs=1e-6)


@given(height=SIDES, width=SIDES, lam=st.floats(1e-6, 1 - 1e-6))
def test_the_two_images_change_places_with_their_shares(height: int, width: int, lam: float) -> None:
    if lam == 0.5:
        return
    first, second = (gmix_mask(height, width, share, height // 2, width // 3) for share in (lam, 1 - lam))
    np.testing.assert_allclose(first, 1 - second, atol=1e-6)


def test_a_bump_far_from_the_border_has_the_share_asked_for() -> None:
    for height, width in ((65, 65), (129, 33)):
        mask = gmix_mask(height, width, 0.05, height // 2, width // 2)
        assert mask.mean() == pytest.approx(0.05, rel=1e-3)
        np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-7)


@pytest.mark.parametrize(("share", "expected"), [(0.05, 0.043), (0.1, 0.081), (0.25, 0.178), (0.5, 0.301)])
def test_the_border_cuts_shares_as_much_as_by_the_authors(share: float, expected: float) -> None:
    """Mean over all centres; the largest share is 0.427."""
    found = [gmix_mask(32, 32, share - 1e-9, row, column).mean() for row in range(32) for column in range(32)]
    assert np.mean(found) == pytest.approx(expected, abs=0.0015)
    assert max(found) < 0.4285


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_at_the_ends_one_image_is_left(lam: float) -> None:
    np.testing.assert_array_equal(gmix_mask(8, 9, lam, 3, 4), np.full((8, 9), lam))


@given(lam=st.floats(0, 1e-300))
def test_a_tiny_share_is_a_pixel_at_most(lam: float) -> None:
    assert gmix_mask(8, 8, lam, 3, 4).sum() in {0, 1}


def test_targets_follow_pixels_and_centres_are_anywhere() -> None:
    ramp = torch.stack([torch.ones(1, 9, 14), torch.zeros(1, 9, 14)])
    batch, places = Batch(ramp, torch.eye(2), torch.arange(2)), set()
    for seed in range(1500):
        ours = GMix().mix(batch, stream("test", "gmix", seed))
        share = float(ours.targets[0, 0])
        assert float(ours.images[0].mean()) == pytest.approx(share, abs=1e-6)
        assert not 0.45 < share < 0.55
        # A spot of the first image in the second, or of the second in the first, whose brightest pixel is its centre.
        if 0.02 < share < 0.5:
            places.add(divmod(int(ours.images[0].argmax()), 14))
        elif 0.5 < share < 0.98:
            places.add(divmod(int(ours.images[0].argmin()), 14))
    assert {row for row, _ in places} == set(range(9))
    assert {column for _, column in places} == set(range(14))


def test_alpha_decides_how_even_shares_are() -> None:
    batch = Batch(torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)]), torch.eye(2), torch.arange(2))

    def smaller(alpha: float) -> float:
        rng = stream("test", "gmix", "alpha")
        drawn = (float(GMix(alpha).mix(batch, rng).targets.min()) for _ in range(400))
        return float(np.mean([share for share in drawn if share > 0]))

    assert smaller(0.1) < smaller(0.5) - 0.01 < smaller(8.0) - 0.05


def test_alpha_is_checked() -> None:
    with pytest.raises(ValueError, match="expected alpha > 0"):
        GMix(alpha=0.0)
