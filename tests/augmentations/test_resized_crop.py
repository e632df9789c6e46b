"""Random resized crops of images in memory."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as transforms

from robustbench_msda.augmentations.resized_crop import ResizedDraws, draw_resized_crops, resized_crop
from robustbench_msda.data.resized import crop_box

FULL = (0.08, 1.0)


def images(n: int, height: int, width: int, channels: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(0, 256, (n, height, width, channels), dtype=np.uint8))


def draws(n: int, flip: float = 0.5, seed: int = 0) -> ResizedDraws:
    return draw_resized_crops(n, flip, np.random.default_rng(seed))


def test_draws_are_uniform_and_mirrored_as_often_as_asked() -> None:
    found = draws(2000, 0.3)
    assert (found.attempts.shape, found.attempts.dtype) == ((2000, 10, 4), torch.float64)
    assert 0 <= found.attempts.min() < 0.001
    assert 0.999 < found.attempts.max() < 1
    torch.testing.assert_close(found.attempts.mean(0), torch.full((10, 4), 0.5).double(), atol=0.03, rtol=0)
    assert abs(found.mirrored.double().mean() - 0.3) < 0.04
    assert not draws(50, 0.0).mirrored.any()
    assert draws(50, 1.0).mirrored.all()
    assert all(torch.equal(one, other) for one, other in zip(draws(9), draws(9), strict=True))


@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (28, 28, 1), (24, 32, 3)])
@pytest.mark.parametrize("scale", [FULL, (0.25, 0.4), (1.0, 1.0)])
def test_levels_are_those_of_torchvision(height: int, width: int, channels: int, scale: tuple[float, float]) -> None:
    data, index, drawn = images(5, height, width, channels), torch.tensor([4, 0, 0, 2] * 8), draws(32)
    found = resized_crop(data, index, drawn, scale, (32, 32))
    assert (found.shape, found.dtype) == ((32, channels, 32, 32), torch.float32)
    for image, k, attempts, mirrored in zip(found, index, drawn.attempts.tolist(), drawn.mirrored, strict=True):
        box = crop_box((height, width), attempts, scale)
        expected = transforms.resized_crop(data[k].permute(2, 0, 1), *box, [32, 32], antialias=True)
        expected = transforms.hflip(expected) if mirrored else expected
        assert (image * 255 - expected).abs().max() < 0.55  # torchvision rounds


def test_nothing_is_seen_beyond_the_box() -> None:
    data = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    data[:, 2:6, 2:6] = 200
    # Area a quarter, a square, at row 2 and column 2 of the 5 places there are.
    drawn = ResizedDraws(torch.tensor([[[0.0, 0.5, 0.5, 0.5]] * 10]).double(), torch.tensor([False]))
    assert crop_box((8, 8), drawn.attempts[0].tolist(), (0.25, 1.0)) == (2, 2, 4, 4)
    found = resized_crop(data, torch.tensor([0]), drawn, (0.25, 1.0), (8, 8))
    torch.testing.assert_close(found, torch.full((1, 3, 8, 8), 200 / 255), atol=1e-6, rtol=0)


def test_the_whole_image_comes_back_exactly_and_mirrored_exactly() -> None:
    data, index = images(3, 16, 16), torch.tensor([2, 1, 0])
    drawn = ResizedDraws(torch.full((3, 10, 4), 0.5).double(), torch.tensor([False, True, False]))
    found = resized_crop(data, index, drawn, (1.0, 1.0), (16, 16))
    expected = data[index].permute(0, 3, 1, 2).float() / 255
    expected[1] = expected[1].flip(2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_images_are_left_alone_and_results_are_channels_last() -> None:
    data = images(4, 16, 16)
    before = data.clone()
    found = resized_crop(data, torch.tensor([1, 3]), draws(2), FULL, (20, 16))
    assert torch.equal(data, before)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= found.min() <= found.max() <= 1


def test_shrinking_is_refused() -> None:
    message = "expected images no larger than the crops of (15, 16), got (16, 16)"
    with pytest.raises(ValueError, match=re.escape(message)):
        resized_crop(images(1, 16, 16), torch.tensor([0]), draws(1), FULL, (15, 16))
