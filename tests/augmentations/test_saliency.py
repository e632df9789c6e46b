from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.augmentations.saliency import HALF_SIDES, grey, peaks, saliency, smooth

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "saliency_maps.json").read_text())["maps"]


def as_images(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def smoothly_random(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8: a few random colours in blocks, and a little noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 230, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:height, :width]
    return (blocks + rng.integers(0, 26, blocks.shape)).astype(np.uint8)


def by_loops(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the saliency of smoothed grey levels, window by window."""
    height, width = levels.shape
    sums = np.zeros((2, height, width))
    for half in HALF_SIDES:
        for y, x in np.ndindex(height, width):
            window = levels[max(y - half + 1, 0) : y + half + 1, max(x - half + 1, 0) : x + half + 1]
            mean = (window.sum() - levels[y, x]) / (window.size - 1)
            sums[0, y, x] += int(max(levels[y, x] - mean, 0))
            sums[1, y, x] += int(max(mean - levels[y, x], 0))
    both = np.floor(255 * sums / np.maximum(sums.max((1, 2), keepdims=True), 1) + 1e-4).sum(0)
    return np.minimum(both, 255) / 255


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"image {case['image']}, {len(case['map'])} rows")
def test_maps_are_opencvs(case: dict[str, list[list[int]]]) -> None:
    expected = np.array(case["map"])
    height, width = expected.shape
    pixels = np.load(FOLDER / "corruptions_32.npz")["clean"][case["image"], :height, :width]
    ours = saliency(as_images(pixels))[0].numpy() * 255
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    assert ours.argmax() == expected.argmax()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (21, 34), (64, 9), (120, 60)])
def test_maps_are_those_of_the_opencv_that_is_installed(height: int, width: int) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "saliency"):
        pytest.skip("this OpenCV has no contrib modules")
    pixels = smoothly_random(height, height, width)
    _, expected = cv2.saliency.StaticSaliencyFineGrained_create().computeSaliency(
        np.ascontiguousarray(pixels[..., ::-1])
    )
    np.testing.assert_allclose(saliency(as_images(pixels))[0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 31), (33, 12)])
def test_agrees_with_loops_over_pixels_and_windows(height: int, width: int) -> None:
    images = as_images(smoothly_random(width, height, width))
    levels = smooth(smooth(grey(images)))[0].double().numpy()
    np.testing.assert_allclose(saliency(images)[0].numpy(), by_loops(levels), atol=1e-6)


def test_grey_is_the_8_bit_luma() -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])[:, :, None, None]
    assert grey(colours).flatten().tolist() == [76, 150, 29, 255, 0]
    assert grey(colours[:, :1]).flatten().tolist() == [255, 0, 0, 255, 0]
    assert grey(colours[:, :2]).flatten().tolist() == [128, 128, 0, 255, 0]


def test_smoothing_rounds_half_up_and_mirrors_the_border() -> None:
    levels = torch.zeros(1, 4, 5)
    levels[0, 0, 2] = 10
    # The mirrored row counts twice nothing: row -1 is row 1.
    assert smooth(levels)[0].tolist() == [[0, 1, 3, 1, 0], [0, 1, 1, 1, 0], [0] * 5, [0] * 5]


def test_a_bright_and_a_dark_spot_stand_out() -> None:
    images = torch.full((2, 3, 20, 30), 0.5)
    # Faint: the surround of a glaring spot is a little darker than its mean, and every direction is scaled to full.
    images[0, :, 4:7, 20:23] += 0.04
    images[1, :, 11:14, 2:5] -= 0.04
    rows, columns = peaks(images)
    assert rows.tolist() == [5, 12]
    assert columns.tolist() == [21, 3]
    assert saliency(images).amax((1, 2)).tolist() == [1, 1]


def test_a_flat_image_has_no_saliency_and_its_peak_in_the_corner() -> None:
    images = torch.full((2, 1, 9, 12), 0.3)
    assert float(saliency(images).abs().max()) == 0
    assert [side.tolist() for side in peaks(images)] == [[0, 0], [0, 0]]


def test_maps_do_not_depend_on_the_batch_or_the_layout() -> None:
    images = torch.cat([as_images(smoothly_random(seed, 16, 20)) for seed in range(4)])
    alone = torch.cat([saliency(image[None]) for image in images])
    assert torch.equal(saliency(images), alone)
    assert torch.equal(saliency(images.to(memory_format=torch.channels_last)), alone)
    assert alone.dtype == torch.float32


def test_a_sum_over_8_bits_stays_largest() -> None:
    """A square in a square in a field, found by search: one pixel in both directions far from its surrounds."""
    field, middle, core, far, near = 232, 226, 35, 21, 5
    pixels = np.full((90, 90, 3), field, np.uint8)
    pixels[45 - far : 45 + far, 45 - far : 45 + far] = middle
    pixels[45 - near : 45 + near, 45 - near : 45 + near] = core
    ours = saliency(as_images(pixels))[0]
    assert float(ours[37, 38]) == 1  # 0 by OpenCV, whose sum is 256 here.
    assert float(ours.max()) == 1
