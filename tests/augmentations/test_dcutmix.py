from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustbench_msda.augmentations.dcutmix import DCutMix, broken_sticks, draw_boxes, nested_boxes
from robustbench_msda.augmentations.rectangles import areas, inside, visible_shares
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "dcutmix_boxes.json").read_text())["cases"]
SIDES = st.integers(2, 40)


def drawn(k: int, alpha: float, n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(k, alpha), n), rng.random((k - 1, 2, n))


def empty_batch(n: int, height: int, width: int) -> Batch:
    return Batch(torch.zeros(n, 1, height, width), torch.ones(n, 1), torch.arange(n))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['height']}x{case['width']} K={len(case['boxes'])}")
def test_boxes_and_labels_are_the_authors(case: dict[str, list[list[float]]]) -> None:
    phi, places = np.array(case["phi"]), np.array(case["places"])
    boxes = nested_boxes(phi, places, int(case["height"]), int(case["width"]))  # type: ignore[call-overload]
    np.testing.assert_array_equal(boxes, case["boxes"])
    np.testing.assert_allclose(visible_shares(torch.from_numpy(boxes)).numpy(), case["shares"], atol=1e-6)


def one_stick_at_a_time(phi: list[float]) -> list[float]:
    sticks, left = [phi[0]], 1 - phi[0]
    for share in phi[1:-1]:
        sticks.append(min(max(share / (left + 1e-10), 0.0), 1.0))
        left *= 1 - sticks[-1]
    return sticks


@given(k=st.integers(2, 9), alpha=st.floats(0.02, 20), seed=st.integers(0, 99))
def test_sticks_are_the_papers(k: int, alpha: float, seed: int) -> None:
    shares, _ = drawn(k, alpha, 4, seed)
    sticks = broken_sticks(shares)
    assert ((sticks >= 0) & (sticks <= 1)).all()
    # Where next to nothing is left, the guard against 0 / 0 decides; it shifts no box by a pixel.
    left = 1 - np.cumsum(shares, 1)[:, :-1] + shares[:, :-1]
    expected = np.array([one_stick_at_a_time(list(row)) for row in shares])
    np.testing.assert_allclose(sticks[left > 1e-6], expected[left > 1e-6], atol=1e-4)


@given(k=st.integers(2, 9), alpha=st.floats(0.02, 20), height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_boxes_are_nested_and_the_seen_parts_share_out_the_image(
    k: int, alpha: float, height: int, width: int, seed: int
) -> None:
    boxes = torch.from_numpy(nested_boxes(*drawn(k, alpha, 5, seed), height, width))
    masks = inside(boxes, height, width)
    assert masks[0].all()
    assert not (masks[1:] & ~masks[:-1]).any()
    assert (boxes[..., 0] <= boxes[..., 1]).all()
    assert (boxes[..., 2] <= boxes[..., 3]).all()
    seen = torch.cat([masks[:-1] & ~masks[1:], masks[-1:]])
    assert (seen.sum(0) == 1).all()
    torch.testing.assert_close(visible_shares(boxes), seen.float().mean((2, 3)))


@pytest.mark.parametrize(("k", "low", "high"), [(2, 0.005, 0.015), (9, 0.018, 0.032)])
def test_areas_come_near_the_shares_they_were_drawn_for(k: int, low: float, high: float) -> None:
    """Largest error of an image 0.010 (two images) to 0.025 (nine) on average at 32x32: rounding to whole pixels."""
    shares, places = drawn(k, 1.0, 4000, 0)
    seen = visible_shares(torch.from_numpy(nested_boxes(shares, places, 32, 32))).numpy().T
    assert low < float(np.abs(seen - shares).max(1).mean()) < high


def test_large_alpha_gives_equal_areas() -> None:
    boxes = draw_boxes(empty_batch(50, 96, 96), 4, 1e9, stream("test", "equal areas"))
    torch.testing.assert_close(visible_shares(boxes), torch.full((4, 50), 0.25), atol=0.02, rtol=0)


def test_two_images_are_one_box_inside_each_image() -> None:
    """One box an image, of sides sqrt(1 - lam), uniform over all the places where it is not clipped."""
    side, lam = 8, 0.75
    places = np.stack(np.meshgrid(*[(np.arange(50) + 0.5) / 50] * 2)).reshape(1, 2, -1)
    boxes = nested_boxes(np.tile([lam, 1 - lam], (2500, 1)), places, side, side)[1]
    corners, counts = np.unique(boxes[:, [0, 2]], axis=0, return_counts=True)
    half = round(side * math.sqrt(1 - lam))
    assert (areas(torch.from_numpy(boxes)) == half**2).all()
    assert corners.tolist() == [[row, column] for row in range(side - half + 1) for column in range(side - half + 1)]
    assert (counts == 100).all()


def test_sides_are_rounded_half_to_even() -> None:
    boxes = nested_boxes(np.array([[0.75, 0.25]]), np.zeros((1, 2, 1)), 13, 15)
    assert boxes[1, 0].tolist() == [0, 6, 0, 8]


def test_a_box_with_a_side_as_long_as_before_stays_in_the_corner() -> None:
    boxes = nested_boxes(np.array([[0.75, 0.02, 0.23]]), np.full((2, 2, 1), 0.999), 32, 16)
    assert boxes[1, 0].tolist() == [16, 32, 8, 16]
    assert boxes[2, 0].tolist() == [16, 31, 8, 16]


def test_an_image_that_takes_everything_leaves_boxes_without_pixels() -> None:
    boxes = nested_boxes(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), np.zeros((2, 2, 3)), 8, 8)
    torch.testing.assert_close(visible_shares(torch.from_numpy(boxes)), torch.eye(3))


@given(n=st.integers(1, 6), k=st.integers(2, 5), seed=st.integers(0, 50))
def test_labels_are_the_colours_seen(n: int, k: int, seed: int) -> None:
    images = torch.eye(n)[:, :, None, None].expand(n, n, 9, 14).contiguous()
    batch = Batch(images, torch.eye(n), torch.arange(n))
    mixed = DCutMix(k, 0.5).mix(batch, stream("test", "colours", seed))
    torch.testing.assert_close(mixed.images.mean((2, 3)), mixed.targets, atol=1e-6, rtol=0)
    assert set(mixed.images.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(batch.images, images)


def test_every_image_has_its_own_boxes() -> None:
    boxes = draw_boxes(empty_batch(50, 32, 32), 3, 5.0, stream("test", "own boxes"))
    assert len({tuple(box.tolist()) for box in boxes[1]}) > 40
    assert len({int(box[0]) - int(box[2]) for box in boxes[1]}) > 10  # Rows and columns are drawn apart.
