"""Blurs, colours and codecs against independent implementations: SciPy, colorsys, Pillow."""

from __future__ import annotations

import colorsys
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference_draws import batch, pixels
from scipy import ndimage

from robustbench_msda.corruptions import CORRUPTIONS, blur, color, corrupt, fourier

SIDES = (32, 64, 224, 299)


def noise_images(side: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def to_uint8(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_gaussian_blur_equals_scipys(side, severity):
    (sigma,) = CORRUPTIONS["gaussian_blur"].severities[side][severity - 1]
    (image,) = noise_images(side)
    expected = to_uint8(ndimage.gaussian_filter(image / 255.0, (sigma, sigma, 0), mode="nearest", truncate=4.0))
    ours = pixels(corrupt(batch(image[None]), "gaussian_blur", severity))[0]
    if side < blur.LARGE:
        np.testing.assert_array_equal(ours, expected)
    assert (ours != expected).mean() < 1e-3
    assert np.abs(ours.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur"])
@pytest.mark.parametrize("severity", range(1, 6))
def test_flat_areas_of_large_images_lose_the_levels_that_float64_loses(name, severity):
    parameter = CORRUPTIONS[name].severities[224][severity - 1]
    exact = {"gaussian_blur": blur.gaussian_by_taps, "defocus_blur": blur._defocus_by_taps}[name]
    greys = torch.arange(0, 256, 17, dtype=torch.uint8)
    # Flat blocks with seams between them: a few seams are within a hair of a whole level.
    image = greys.view(4, 4).repeat_interleave(56, 0).repeat_interleave(56, 1).expand(1, 3, -1, -1)
    difference = (corrupt(image, name, severity).int() - exact(image, parameter).int()).abs()
    assert (difference > 0).double().mean() < 2e-3
    assert difference.max() <= 1


@given(st.integers(1, 5000))
def test_the_size_of_a_transform_is_as_large_as_asked_and_little_more(size):
    fast = fourier.fast_size(size)
    assert size <= fast <= max(8, 1.25 * size)
    while fast % 2 == 0:
        fast //= 2
    assert fast in {1, 3, 5, 9, 15}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", [1, 4, 5])
def test_defocus_blur_is_a_correlation_with_the_disk(side, severity):
    parameter = CORRUPTIONS["defocus_blur"].severities[side][severity - 1]
    (image,) = noise_images(side)
    kernel = blur.disk(*parameter)
    expected = to_uint8(ndimage.correlate(image / 255.0, kernel[:, :, None], mode="mirror"))
    ours = pixels(corrupt(batch(image[None]), "defocus_blur", severity))[0]
    assert (ours != expected).mean() < 1e-3
    assert np.abs(ours.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("radius", "alias", "total"),
    [(0.3, 0.4, 1.0), (1.5, 0.1, 1.0), (6, 0.5, 1.0), (8, 0.5, 1.01298), (10, 0.5, 1.01079), (12, 0.5, 1.00775)],
)
def test_the_disk_is_symmetric_and_sums_to_what_the_reference_kernel_does(radius, alias, total):
    kernel = blur.disk(radius, alias)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-6)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], rtol=1e-6)
    assert kernel.sum() == pytest.approx(total, abs=1e-5)


def test_hsv_equals_colorsys():
    images = torch.from_numpy(noise_images(32)).permute(0, 3, 1, 2).double() / 255
    images[0, :, 0, :4] = torch.tensor([[0.0, 1.0, 0.5, 1.0], [0.0, 1.0, 0.5, 1.0], [0.0, 1.0, 0.2, 0.0]]).double()
    triples = images[0].flatten(1).T.tolist()
    hsv = torch.stack(color.rgb_to_hsv(images), 1)[0].flatten(1).T
    np.testing.assert_allclose(hsv.numpy(), [colorsys.rgb_to_hsv(*triple) for triple in triples], atol=1e-12)


@given(st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3), min_size=1, max_size=8))
@settings(max_examples=100)
def test_rgb_equals_colorsys(triples):
    hue, saturation, value = torch.tensor(triples, dtype=torch.float64).T[:, None, None]
    ours = color.hsv_to_rgb(hue, saturation, value)[0, :, 0].T
    np.testing.assert_allclose(ours.numpy(), [colorsys.hsv_to_rgb(*triple) for triple in triples], atol=1e-12)


def test_saturate_turns_greys_red_where_it_adds_saturation():
    grey = torch.full((1, 3, 32, 32), 100, dtype=torch.uint8)
    red, green, blue = corrupt(grey, "saturate", 5)[0, :, 0, 0].tolist()
    assert (red, green, blue) == (100, 80, 80)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", range(1, 6))
def test_pixelate_equals_pillows_box_filter_both_ways(side, severity):
    (share,) = CORRUPTIONS["pixelate"].severities[side][severity - 1]
    (image,) = noise_images(side)
    small = int(side * share)
    box = Image.Resampling.BOX
    expected = np.asarray(Image.fromarray(image).resize((small, small), box).resize((side, side), box))
    np.testing.assert_array_equal(pixels(corrupt(batch(image[None]), "pixelate", severity))[0], expected)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", [1, 5])
def test_jpeg_compression_equals_saving_and_opening_a_file(side, severity):
    (quality,) = CORRUPTIONS["jpeg_compression"].severities[side][severity - 1]
    images = noise_images(side, 2)
    for ours, image in zip(pixels(corrupt(batch(images), "jpeg_compression", severity)), images, strict=True):
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        np.testing.assert_array_equal(ours, np.asarray(Image.open(file)))
