"""Motion blur and snow against tap-by-tap sums in float64 and SciPy's zoom."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_draws import batch, pixels
from scipy import ndimage, stats

from robustbench_msda.corruptions import CORRUPTIONS, motion, snow
from robustbench_msda.streams import stream

SIDES = (32, 64, 224, 299)


def noise_images(side: int, count: int = 1, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def smeared(image: np.ndarray, radius: float, sigma: float, angle: float) -> np.ndarray:
    """ImageMagick's motion blur of one (S, S, C) image: a tap at a time, then 16 bits, then 8."""
    side = len(image)
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    total = np.zeros(image.shape)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        down, across = (math.ceil(step * part(math.radians(angle)) - 0.5) for part in (math.sin, math.cos))
        rows, columns = (np.clip(np.arange(side) + shift, 0, side - 1) for shift in (down, across))
        total += weight * image[np.ix_(rows, columns)]
    return (np.floor(257 * total + 0.5) // 257).astype(np.uint8)


def assert_equal_but_for_rounding(ours: np.ndarray, expected: np.ndarray) -> None:
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-4


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_motion_blur_is_the_sum_over_a_line(side, severity):
    parameter = CORRUPTIONS["motion_blur"].severities[side][severity - 1]
    angles = [-45.0, -13.7, 0.0, 31.2, 44.99][: 5 if side < 224 else 2]
    images = noise_images(side, len(angles))
    ours = pixels(motion.motion_blur(batch(images), parameter, torch.tensor(angles, dtype=torch.float64)))
    expected = np.stack([smeared(image, *parameter, angle) for image, angle in zip(images, angles, strict=True)])
    assert_equal_but_for_rounding(ours, expected)


@given(angle=st.floats(-180, 180), radius=st.integers(1, 14), sigma=st.floats(0.5, 12))
@settings(max_examples=40)
def test_every_direction_and_width(angle, radius, sigma):
    images = noise_images(32)
    ours = pixels(motion.smear(batch(images), radius, sigma, [angle]))
    assert_equal_but_for_rounding(ours[0], smeared(images[0], radius, sigma, angle))


def test_the_smear_is_one_sided_and_fades():
    image = torch.zeros((1, 3, 32, 32), dtype=torch.uint8)
    image[..., 16, 20] = 255
    row = motion.motion_blur(image, (6, 2.0), torch.zeros(1))[0, 0, 16].int()
    assert row[21:].max() == 0
    trail = row[12:21].tolist()
    assert trail == sorted(trail)
    assert trail[-1] == int(255 / sum(math.exp(-(i**2) / 8) for i in range(13)))


@pytest.mark.parametrize("side", SIDES)
def test_one_colour_stays_itself(side):
    colours = torch.arange(256, dtype=torch.uint8)[:: 1 if side == 32 else 63].view(-1, 1, 1, 1)
    flat = colours.expand(-1, 3, side, side)
    angles = torch.linspace(-45, 45, len(flat), dtype=torch.float64)
    for parameter in CORRUPTIONS["motion_blur"].severities[side]:
        assert torch.equal(motion.motion_blur(flat, parameter, angles), flat)


def test_angles_are_uniform():
    drawn = np.array([motion.draw_angle(stream("angle", index), 32, ())[0] for index in range(400)])
    assert stats.kstest(drawn, stats.uniform(-45, 90).cdf).pvalue > 1e-3
    drawn = np.array([snow.draw_snow(stream("angle", index), 8, ())[1] for index in range(400)])
    assert stats.kstest(drawn, stats.uniform(-135, 90).cdf).pvalue > 1e-3


def snowed(image: np.ndarray, field: np.ndarray, angle: float, parameter: tuple[float, ...]) -> np.ndarray:
    mean, std, zoom, threshold, radius, sigma, share = parameter
    side = len(image)
    small = math.ceil(side / zoom)
    first = (side - small) // 2
    layer = ndimage.zoom((field * std + mean)[first : first + small, first : first + small], zoom, order=1)
    first = (len(layer) - side) // 2
    layer = layer[first : first + side, first : first + side]
    layer = (np.clip(np.where(layer < threshold, 0, layer), 0, 1) * 255).astype(np.uint8)
    layer = smeared(layer[..., None], radius, sigma, angle) / 255
    unit = image / 255
    grey = unit @ [0.299, 0.587, 0.114]
    unit = share * unit + (1 - share) * np.maximum(unit, 1.5 * grey[..., None] + 0.5)
    return (np.clip(unit + layer + np.rot90(layer, 2), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", [1, 3, 4, 5])
def test_snow_is_a_zoomed_cut_and_smeared_field_on_a_whitened_image(side, severity):
    parameter = CORRUPTIONS["snow"].severities[side][severity - 1]
    images = noise_images(side, 2)
    fields = np.random.default_rng(severity).standard_normal((2, side, side))
    angles = [-60.0, -130.0]
    layers = snow.flakes(torch.from_numpy(fields), parameter, torch.tensor(angles))
    ours = pixels(snow.add_flakes(snow.whitened(batch(images), parameter[-1]), layers))
    draws = zip(images, fields, angles, strict=True)
    expected = np.stack([snowed(*each, parameter) for each in draws])
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 2e-3


def test_flakes_fall_where_the_field_is_high():
    field = torch.full((1, 32, 32), -9.0)
    field[0, 10, 12] = 9.0
    layer = snow.flakes(field, (0.1, 0.2, 1, 0.6, 8, 3, 0.95), torch.tensor([-90.0]))[0, 0]
    # Upwards is ahead, so the flake is smeared downwards.
    assert layer[:10].max() == 0
    assert layer[10, 12] > layer[11, 12] > layer[14, 12] > 0
    assert layer[:, :12].max() == 0
