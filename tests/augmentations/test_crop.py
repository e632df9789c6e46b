from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from robustbench_msda.augmentations.crop import CropDraws, crop, draw_crops, pad
from robustbench_msda.streams import stream


def pictures(n: int, height: int, width: int) -> NDArray[np.uint8]:
    return stream("test", "pictures", n, height, width).integers(0, 256, size=(n, height, width, 3), dtype=np.uint8)


def one_by_one(
    images: NDArray[np.uint8], index: list[int], padding: int, draws: CropDraws, side: tuple[int, int]
) -> NDArray[np.float32]:
    """Pad, cut, mirror and scale one image after the other."""
    made = []
    for i, row, column, mirrored in zip(index, *(draw.tolist() for draw in draws), strict=True):
        padded = np.pad(images[i], ((padding, padding), (padding, padding), (0, 0)))
        cut = padded[row : row + side[0], column : column + side[1]]
        made.append(cut[:, ::-1] if mirrored else cut)
    return np.stack(made).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    padding=st.integers(0, 4),
    flip=st.floats(0, 1),
    seed=st.integers(0),
)
def test_agrees_with_a_loop_over_images(height: int, width: int, padding: int, flip: float, seed: int) -> None:
    images, index = pictures(5, height, width), [3, 0, 3, 4]
    draws = draw_crops(len(index), padding, flip, stream("test", seed))
    padded = pad(torch.from_numpy(images), padding)
    cropped = crop(padded, torch.tensor(index), draws, (height, width))
    np.testing.assert_array_equal(cropped.numpy(), one_by_one(images, index, padding, draws, (height, width)))


def test_no_padding_and_no_flip_is_the_identity() -> None:
    images = pictures(3, 6, 4)
    draws = draw_crops(3, 0, 0.0, stream("test"))
    cropped = crop(pad(torch.from_numpy(images), 0), torch.arange(3), draws, (6, 4))
    np.testing.assert_array_equal(cropped.permute(0, 2, 3, 1).numpy(), images.astype(np.float32) / np.float32(255))


def test_mirroring_twice_is_the_identity() -> None:
    images = torch.from_numpy(pictures(3, 5, 4))
    draws = draw_crops(3, 0, 1.0, stream("test"))
    once = (crop(images, torch.arange(3), draws, (5, 4)) * 255).round().byte().permute(0, 2, 3, 1)
    assert not torch.equal(once, images)
    twice = (crop(once, torch.arange(3), draws, (5, 4)) * 255).round().byte().permute(0, 2, 3, 1)
    assert torch.equal(twice, images)


def test_the_border_is_black() -> None:
    padded = pad(torch.full((1, 4, 4, 3), 255, dtype=torch.uint8), 2)
    corner = CropDraws(torch.tensor([0]), torch.tensor([4]), torch.tensor([False]))
    cropped = crop(padded, torch.tensor([0]), corner, (4, 4))
    expected = torch.zeros(4, 4)
    expected[2:, :2] = 1
    assert torch.equal(cropped[0], expected.expand(3, 4, 4))


def test_draws_are_uniform() -> None:
    draws = draw_crops(9000, 4, 0.3, stream("test", "uniform"))
    for offsets in (draws.rows, draws.columns):
        counts = torch.bincount(offsets, minlength=9)
        assert len(counts) == 9
        assert stats.chisquare(counts).pvalue > 0.01
    assert float(draws.mirrored.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert abs(np.corrcoef(draws.rows, draws.columns)[0, 1]) < 0.05


def test_batches_are_channels_last_in_memory() -> None:
    images = torch.from_numpy(pictures(4, 8, 8))
    cropped = crop(pad(images, 1), torch.arange(4), draw_crops(4, 1, 0.5, stream("test")), (8, 8))
    assert cropped.is_contiguous(memory_format=torch.channels_last)
    assert cropped.dtype == torch.float32
