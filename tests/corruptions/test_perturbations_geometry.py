"""Perturbations that move pixels: against Pillow's transforms, OpenCV's homography, and loops."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reference_draws import batch, pixels

from robustbench_msda.corruptions.perturbations import PERTURBATIONS, perturb
from robustbench_msda.corruptions.perturbations.geometry import rotation_sampling
from robustbench_msda.corruptions.perturbations.parameters import values
from robustbench_msda.corruptions.perturbations.sampling import UNIT

GOLDEN = Path(__file__).parent.parent / "golden"
SIDES = (32, 64, 224)


def noise(side: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def video(name: str, image: np.ndarray) -> np.ndarray:
    """Return the (F, S, S, 3) frames of one image that no chance is in."""
    return pixels(perturb(batch(image[None]), name)[0])


def torchvision_2018(image: np.ndarray, angle: float, scale: float, shear: float, resample: Image.Resampling):
    """Pillow given the matrix of torchvision 0.2: the inverse, by NumPy, of turn, shear and scale."""
    a, s, middle = math.radians(angle), math.radians(shear), image.shape[0] * 0.5 + 0.5
    linear = [[math.cos(a), -math.sin(a + s), 0], [math.sin(a), math.cos(a + s), 0], [0, 0, 1 / scale]]
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = middle, -middle
    forward = there @ (scale * np.array(linear)) @ back
    matrix = np.linalg.inv(forward)[:2].ravel()
    return np.asarray(Image.fromarray(image).transform(image.shape[:2], Image.Transform.AFFINE, matrix, resample))


def assert_close(ours: np.ndarray, expected: np.ndarray, share: float) -> None:
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < share


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["rotate", "shear", "scale"])
def test_affine_frames_equal_pillows(name, side):
    """Pillow truncates: where the exact value is a whole grey level, its last bit decides."""
    (image,) = noise(side)
    ours = video(name, image)
    steps = values(PERTURBATIONS[name].parameters[side])
    assert len(ours) == len(steps) == 31
    for frame in (0, 3, 15, 16, 30):
        given = {"rotate": (steps[frame], 1, 0), "shear": (0, 1, steps[frame]), "scale": (0, steps[frame], 0)}[name]
        assert_close(ours[frame], torchvision_2018(image, *given, Image.Resampling.BILINEAR), 0.07)


def test_rotation_is_clockwise_about_a_point_half_a_pixel_off_the_middle():
    """A bright pixel right of the middle sinks; the pixel at (S/2, S/2), whose middle is the centre, stays."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[16, 28] = image[16, 16] = 255
    turned = video("rotate", image)[30].astype(float).mean(-1)
    row, column = np.unravel_index((turned * (np.arange(32) > 20)).argmax(), turned.shape)
    assert row > 17
    assert column == 28
    assert turned[16, 16] == 255


@pytest.mark.parametrize("side", SIDES)
def test_translate_equals_pillows_nearest_shift(side):
    (image,) = noise(side)
    shifts = values(PERTURBATIONS["translate"].parameters[side])
    for ours, shift in zip(video("translate", image), shifts, strict=True):
        matrix = (1, 0, -shift, 0, 1, 0)
        expected = Image.fromarray(image).transform((side, side), Image.Transform.AFFINE, matrix)
        np.testing.assert_array_equal(ours, np.asarray(expected))


def test_tilt_equals_opencvs_golden_vectors():
    facts = json.loads((GOLDEN / "tilt_32.json").read_text())
    with np.load(GOLDEN / "tilt_32.npz") as golden:
        np.testing.assert_array_equal(video("tilt", golden["image"])[facts["frames"]], golden["tilted"])


@pytest.mark.parametrize("side", [64, 224])
def test_tilt_equals_opencv_5_up_to_its_rounding_of_coordinates(side):
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    # Smooth, so that 1/64 pixel is less than two grey levels.
    ramp = np.add.outer(np.arange(side), np.arange(side))[..., None] * np.array([0.4, 0.3, 0.2])
    image = (ramp * 224 / side).astype(np.uint8)
    focal = math.hypot(side, side)
    onto_plane = np.array([[1, 0, -side / 2], [0, 1, -side / 2], [0, 0, 1], [0, 0, 1]])
    pinhole = np.array([[focal, 0, side / 2, 0], [0, focal, side / 2, 0], [0, 0, 1, 0]])
    ours = video("tilt", image)
    for frame in (0, 10, 30):
        sine, cosine = math.sin(math.radians(frame - 15)), math.cos(math.radians(frame - 15))
        about_x, about_y, away = np.eye(4), np.eye(4), np.eye(4)
        about_x[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
        about_y[:3:2, :3:2] = [[cosine, -sine], [sine, cosine]]
        away[2, 3] = focal
        homography = pinhole @ away @ about_x @ about_y @ onto_plane
        inside = cv2.warpPerspective(np.full_like(image, 255), homography, (side, side)) == 255
        expected = cv2.warpPerspective(image, homography, (side, side))
        assert inside.mean() > 0.5
        assert np.abs(ours[frame].astype(int) - expected)[inside].max() <= 1


@pytest.mark.parametrize("name", ["rotate", "shear", "scale"])
def test_the_frame_that_moves_nothing_is_clean(name):
    (image,) = noise(32)
    ours = video(name, image)
    clean = [frame for frame in range(31) if np.array_equal(ours[frame], image)]
    assert clean == [15]


def test_the_clean_frames_of_the_others():
    (image,) = noise(32)
    assert [i for i, frame in enumerate(video("translate", image)) if np.array_equal(frame, image)] == [7]
    assert [i for i, frame in enumerate(video("zoom_blur", image)) if np.array_equal(frame, image)] == [0]
    (image,) = noise(224)
    assert [i for i, frame in enumerate(video("scale", image)) if np.array_equal(frame, image)] == [24]
    assert [i for i, frame in enumerate(video("translate", image)) if np.array_equal(frame, image)] == [20]


@pytest.mark.parametrize("grey", [1, 77, 254, 255])
def test_flat_areas_stay_flat_where_no_black_comes_in(grey):
    image = np.full((32, 32, 3), grey, np.uint8)
    for name in ("rotate", "shear", "scale", "tilt"):
        assert (video(name, image)[:, 12:20, 12:20] == grey).all()


def test_zoom_blur_is_the_reference_loop():
    (image,) = noise(32)
    total = np.zeros((32, 32, 3), np.float32)
    for frame, ours in enumerate(video("zoom_blur", image)):
        scaled = torchvision_2018(image, 0, 1 + 0.004 * frame, 0, Image.Resampling.BILINEAR)
        total += np.float32(scaled) / np.float32(255)
        expected = (total / np.float32(frame + 1) * np.float32(255)).astype(np.uint8)
        assert_close(ours, expected, 0.01)


def test_weights_are_whole_units_that_sum_to_one_or_are_beyond_the_edge():
    weights = rotation_sampling(32, (3, -7, 7)).weights.double()
    assert torch.equal(weights / UNIT, (weights / UNIT).round())
    sums = weights.sum(1)
    assert torch.equal(sums, (sums > 0.5).double())
    assert 0.9 < sums.mean() < 1
