"""Zoom blur against SciPy's zoom, one factor after another in float32."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from reference_draws import batch, pixels
from scipy import ndimage

from robustbench_msda.corruptions import CORRUPTIONS, corrupt, zoom

SIDES = (32, 64, 224, 299)


def noise_images(side: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def scipys(image: np.ndarray, factor: float) -> np.ndarray:
    side = len(image)
    small = math.ceil(side / factor)
    first = (side - small) // 2
    middle = image[first : first + small, first : first + small]
    large = ndimage.zoom(middle, (factor, factor) + (1,) * (image.ndim - 2), order=1)
    first = (len(large) - side) // 2
    return large[first : first + side, first : first + side]


def blurred(image: np.ndarray, parameter: tuple[float, ...]) -> np.ndarray:
    unit = (image / 255).astype(np.float32)
    total = np.zeros_like(unit)
    factors = np.arange(*parameter)
    for factor in factors:
        total += scipys(unit, factor)
    return (np.clip((unit + total) / (len(factors) + 1), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize(("side", "severities"), [(32, range(1, 6)), (64, range(1, 6)), (224, (1, 5)), (299, (3,))])
def test_zoom_blur_is_the_mean_of_scipys_zooms(side, severities):
    (image,) = noise_images(side)
    for severity in severities:
        expected = blurred(image, CORRUPTIONS["zoom_blur"].severities[side][severity - 1])
        difference = np.abs(pixels(corrupt(batch(image[None]), "zoom_blur", severity))[0].astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("severity", range(1, 6))
def test_one_colour_loses_a_grey_level_where_the_references_sum_does(severity):
    greys = np.broadcast_to(np.arange(256, dtype=np.uint8), (32, 32, 256))
    expected = blurred(greys, CORRUPTIONS["zoom_blur"].severities[32][severity - 1])
    images = batch(greys[None]).view(256, 1, 32, 32).expand(-1, 3, -1, -1)
    ours = corrupt(images, "zoom_blur", severity)
    for channel in ours.unbind(1):
        np.testing.assert_array_equal(channel.permute(1, 2, 0).numpy(), expected)
    assert (expected < greys).any()


def test_the_end_of_the_factors_is_kept_where_rounding_keeps_it():
    counts = (12, 16, 11, 13, 11)
    for parameter, count in zip(CORRUPTIONS["zoom_blur"].severities[224], counts, strict=True):
        impulse = torch.zeros((1, 3, 224, 224), dtype=torch.uint8)
        impulse[..., 0, 0] = 255
        # The corner is in the image itself and in the zoom by 1, in no other.
        assert zoom.zoom_blur(impulse, parameter)[0, 0, 0, 0].item() == int(255 * 2 / (count + 1))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("factor", [1.0, 1.07, 1.25, 1.75, 2.25, 3.0, 4.5])
def test_clipped_zoom_equals_scipys(side, factor):
    fields = np.random.default_rng(side).standard_normal((2, side, side))
    ours = zoom.clipped_zoom(torch.from_numpy(fields), factor).numpy()
    np.testing.assert_allclose(ours, np.stack([scipys(field, factor) for field in fields]), atol=1e-13)
