from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.augmentations.cutmix import Box, CutMix, box_around, cutmix
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "cutmix_boxes.json").read_text())
SIDES = st.integers(2, 40)


def all_boxes(side: int, lam: float) -> list[Box]:
    return [box_around(side, side, lam, row, column) for row in range(side) for column in range(side)]


def statistics(side: int, lam: float) -> tuple[float, float, float]:
    """Return the mean and deviation of the area over all centres, and how many boxes the border clips."""
    boxes = all_boxes(side, lam)
    areas = np.array([box.area for box in boxes]) / side**2
    return float(areas.mean()), float(areas.std()), float((areas < areas.max()).mean())


@pytest.mark.parametrize("case", GOLDEN["boxes"], ids=str)
def test_boxes_are_the_authors(case: list[float]) -> None:
    size, lam, row, column, *box = case
    assert list(box_around(int(size), int(size), lam, int(row), int(column))) == box


def test_boxes_are_the_authors_in_the_whole_reference(reference: Path) -> None:
    cases = json.loads((reference / "data" / "gold" / "augment" / "cutmix_boxes.json").read_text())["boxes"]
    count = 0
    for key, boxes in cases.items():
        size, lam = int(key.split("/")[0]), float(key.split("/")[1])
        for row, column, top, left, bottom, right in boxes:
            assert box_around(size, size, lam, row, column) == (top, bottom, left, right)
            count += 1
    assert count == 42 * 40


@pytest.mark.parametrize("row", GOLDEN["statistics"], ids=lambda row: f"lam={row[0]}")
def test_areas_are_distributed_as_the_authors_draw_them(row: list[float]) -> None:
    lam, mean, deviation, clipped = row
    ours = statistics(32, lam)
    # Four standard errors of a mean of 20,000 draws, a proportion's at most.
    assert ours[0] == pytest.approx(mean, abs=4 * deviation / 20_000**0.5 + 1e-6)
    assert ours[1] == pytest.approx(deviation, abs=4 * deviation / 40_000**0.5 + 1e-6)
    if mean > 0:
        assert ours[2] == pytest.approx(clipped, abs=4 * 0.5 / 20_000**0.5)


def test_areas_over_all_centres_are_exact(reference: Path) -> None:
    with (reference / "data" / "gold" / "augment" / "cutmix_stats.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["size"] == "32"]
    assert len(rows) == 14
    for row in rows:
        mean, deviation, _ = statistics(32, float(row["lam"]))
        assert mean == pytest.approx(float(row["exact_area_ratio_mean_all_centres"]), abs=1e-6)
        assert deviation == pytest.approx(float(row["exact_area_ratio_std_all_centres"]), abs=1e-6)


@given(height=SIDES, width=SIDES, lam=st.floats(0, 1), data=st.data())
def test_a_box_lies_in_the_image_and_is_no_larger_than_its_share(
    height: int, width: int, lam: float, data: st.DataObject
) -> None:
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = box_around(height, width, lam, row, column)
    assert 0 <= box.top <= row <= box.bottom <= height
    assert 0 <= box.left <= column <= box.right <= width
    assert box.area <= (1 - lam) * height * width + 1e-9


@given(height=SIDES, width=SIDES, row=st.integers(0, 1), column=st.integers(0, 1))
def test_share_one_is_the_identity(height: int, width: int, row: int, column: int) -> None:
    images = torch.arange(2.0 * height * width).reshape(2, 1, height, width)
    pasted, share = cutmix(images, torch.tensor([1, 0]), box_around(height, width, 1.0, row, column))
    assert share == 1.0
    assert torch.equal(pasted, images)


@given(height=SIDES, width=SIDES, lam=st.floats(0, 1), data=st.data())
def test_every_pixel_is_the_images_or_its_partners(height: int, width: int, lam: float, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = box_around(height, width, lam, row, column)
    partner = torch.tensor(data.draw(st.permutations(range(3))))
    images = torch.arange(3.0 * 2 * height * width).reshape(3, 2, height, width)
    pasted, share = cutmix(images, partner, box)
    mask = np.zeros((height, width), bool)
    mask[box.top : box.bottom, box.left : box.right] = True
    expected = np.where(mask, images.numpy()[partner], images.numpy())
    np.testing.assert_array_equal(pasted.numpy(), expected)
    assert share == 1 - mask.mean()


def test_the_share_is_counted_after_clipping() -> None:
    corner = box_around(32, 32, 0.75, 0, 0)  # a 16x16 box, three quarters of it outside
    assert corner == (0, 8, 0, 8)
    _, share = cutmix(torch.zeros(2, 1, 32, 32), torch.tensor([1, 0]), corner)
    assert share == 1 - 64 / 1024


def test_an_odd_side_loses_a_pixel() -> None:
    lam = 1 - (17 / 32) ** 2
    assert int(32 * np.sqrt(1 - lam)) == 17
    assert box_around(32, 32, lam, 16, 16) == (8, 24, 8, 24)


def test_rows_and_columns_are_not_confused() -> None:
    assert box_around(8, 100, 0.75, 4, 50) == (2, 6, 25, 75)


def test_shares_are_distributed_as_by_the_authors() -> None:
    """Mean share 0.70, over one half 0.85 of the time, box vanished 0.4 %: 32x32, alpha 1, by enumeration."""
    batch, rng = Batch(torch.zeros(2, 1, 32, 32), torch.eye(2), torch.arange(2)), stream("test", "cutmix")
    shares = []
    for _ in range(6000):
        targets = CutMix(1.0).mix(batch, rng).targets
        shares.append(float(targets[0, 0]))
    # A permutation of two is the identity half of the time, and then the share cannot be seen.
    seen = np.array([share for share in shares if share < 1])
    hidden = (len(shares) - len(seen)) / len(shares)
    assert hidden == pytest.approx(0.5 + 0.5 * 0.004, abs=0.025)
    assert seen.mean() == pytest.approx(0.70, abs=0.015)
    assert (seen > 0.5).mean() == pytest.approx(0.85, abs=0.03)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected alpha > 0"):
        CutMix(alpha)
