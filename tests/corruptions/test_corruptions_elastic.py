"""Elastic transform against SciPy's interpolation, the affine part at OpenCV's 32nds of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_draws import batch, pixels
from scipy import ndimage, stats

from robustbench_msda.corruptions import CORRUPTIONS, elastic
from robustbench_msda.streams import stream

SIDES = (32, 64, 224, 299)


def bent(image: np.ndarray, parameter: tuple[float, ...], shifts: np.ndarray, fields: np.ndarray) -> np.ndarray:
    alpha, sigma, _ = parameter
    side = len(image)
    grid = np.indices((side, side)).astype(float)
    warped = sampled(image.astype(float), np.stack(affine_positions(side, shifts)), "mirror")
    if sigma:
        smooth = [ndimage.gaussian_filter(2.0 * field - 1, sigma, mode="reflect", truncate=3) for field in fields]
        warped = sampled(warped, grid + alpha * np.stack(smooth[::-1]), "reflect")
    return warped


def sampled(image: np.ndarray, positions: np.ndarray, mode: str) -> np.ndarray:
    channels = [
        ndimage.map_coordinates(channel, positions, order=1, mode=mode) for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, -1)


def affine_positions(side: int, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns in OpenCV's fixed point: 10 bits, of which 5 are kept."""
    centre, third = side // 2, side // 3
    corners = np.array([[1, 1], [1, -1], [-1, -1]]) * third + centre
    moved = np.column_stack(((corners + shifts.astype(np.float32)).astype(np.float32), np.ones(3)))
    inverse = np.linalg.solve(moved.astype(float), corners).T
    steps = np.arange(side)
    x, y = (
        (np.rint((1024 * (row[1] * steps + row[2])))[:, None] + np.rint(1024 * row[0] * steps) + 16) // 32 / 32
        for row in inverse
    )
    return y, x


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", range(1, 6))
def test_elastic_transform_is_an_affine_map_then_a_smooth_field(side, severity):
    parameter = CORRUPTIONS["elastic_transform"].severities[side][severity - 1]
    count = 4 if side < 224 else 1
    images = np.random.default_rng(side).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    draws = [elastic.draw_shifts_and_fields(stream("elastic", image), side, parameter) for image in range(count)]
    stacked = (torch.from_numpy(np.stack(each)) for each in zip(*draws, strict=True))
    ours = elastic.elastic_transform(batch(images), parameter, *stacked)
    expected = np.stack([bent(image, parameter, *drawn) for image, drawn in zip(images, draws, strict=True)])
    # Within what float32 makes of a position times the steepest slope, whatever the truncation then does of it.
    error = pixels(ours) + 0.5 - expected
    assert np.abs(error).max() < 0.51
    assert (np.abs(error) > 0.5 + 2e-4).mean() < 0.01


@pytest.mark.parametrize("side", SIDES)
def test_no_shift_and_no_field_changes_nothing(side):
    # Slopes of two grey levels: a position off by float32's rounding stays on the right side of a whole level.
    rows, columns = np.abs(np.indices((side, side)) * 2 % 510 - 255)
    images = batch(np.stack([rows, columns, 255 - rows], -1).astype(np.uint8)[None]).expand(2, -1, -1, -1)
    still = torch.full((2, 2, side, side), 0.5)
    for parameter in CORRUPTIONS["elastic_transform"].severities[side]:
        assert torch.equal(elastic.elastic_transform(images, parameter, torch.zeros((2, 3, 2)), still), images)


def test_equal_shifts_move_the_image_and_reflect_it_about_its_edge_pixels():
    image = torch.arange(32, dtype=torch.uint8).mul(8).expand(1, 3, 32, 32)
    moved = elastic.elastic_transform(image, (0, 0, 5), torch.tensor([[[3.0, -2.0]] * 3]), torch.zeros((1, 2, 32, 32)))
    assert torch.equal(moved[..., 3:], image[..., :-3])
    assert torch.equal(moved[..., :3], image[..., 1:4].flip(-1))
    turned = elastic.elastic_transform(
        image.mT, (0, 0, 5), torch.tensor([[[3.0, -2.0]] * 3]), torch.zeros((1, 2, 32, 32))
    )
    assert torch.equal(turned[:, :, :-2], image.mT[:, :, 2:])


def test_a_constant_field_fetches_from_one_side_and_repeats_the_edge():
    image = torch.arange(32, dtype=torch.uint8).mul(8).expand(1, 3, 32, 32)
    fields = torch.full((1, 2, 32, 32), 0.5)
    fields[:, 0] = 1.0
    moved = elastic.elastic_transform(image, (2, 4, 0), torch.zeros((1, 3, 2)), fields)
    assert torch.equal(moved[..., :-2], image[..., 2:])
    assert torch.equal(moved[..., -2:], image[..., -2:].flip(-1))


def test_the_draws_are_uniform_within_their_reach():
    drawn = [elastic.draw_shifts_and_fields(stream("uniform", index), 16, (1, 1, 2.5)) for index in range(60)]
    shifts, fields = (np.stack(each) for each in zip(*drawn, strict=True))
    assert stats.kstest(shifts.ravel(), stats.uniform(-2.5, 5).cdf).pvalue > 1e-3
    assert stats.kstest(fields.ravel(), "uniform").pvalue > 1e-3
