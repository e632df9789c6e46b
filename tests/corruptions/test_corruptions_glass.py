"""Glass blur against the loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_draws import batch, pixels
from scipy import ndimage, stats

from robustbench_msda.corruptions import CORRUPTIONS, glass
from robustbench_msda.streams import stream

SIGMA = 0.4


def blur(image: np.ndarray) -> np.ndarray:
    blurred = ndimage.gaussian_filter(image / 255.0, (SIGMA, SIGMA, 0), mode="nearest", truncate=4.0)
    return (np.clip(blurred, 0, 1) * 255).astype(np.uint8)


def looped(image: np.ndarray, reach: int, offsets: np.ndarray) -> np.ndarray:
    """Copy a neighbour into each pixel, from the last pixel to the first, as the reference does."""
    image = blur(image)
    for rows, columns in offsets:
        for row in range(len(image) - reach, reach, -1):
            for column in range(len(image) - reach, reach, -1):
                at = row - reach - 1, column - reach - 1
                image[row, column] = image[row + rows[at], column + columns[at]]
    return blur(image)


def assert_equals_the_loop(offsets: np.ndarray, reach: int) -> None:
    side = offsets.shape[-1] + 2 * reach
    images = np.random.default_rng(0).integers(0, 256, (len(offsets), side, side, 3), dtype=np.uint8)
    parameter = (SIGMA, reach, offsets.shape[1])
    ours = pixels(glass.glass_blur(batch(images), parameter, torch.from_numpy(offsets)))
    expected = np.stack([looped(image, reach, own) for image, own in zip(images, offsets, strict=True)])
    np.testing.assert_array_equal(ours, expected)


@given(reach=st.integers(1, 5), rounds=st.integers(1, 3), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_random_offsets_equal_the_loop(reach, rounds, seed):
    parameter = (SIGMA, reach, rounds)
    rngs = [np.random.default_rng((seed, image)) for image in range(2)]
    assert_equals_the_loop(np.stack([glass.draw_offsets(rng, 24, parameter)[0] for rng in rngs]), reach)


@pytest.mark.parametrize("reach", [1, 2, 5])
@pytest.mark.parametrize("step", ["nearest", "farthest"])
def test_the_longest_chains_equal_the_loop(reach, step):
    size = 24 - 2 * reach
    offsets = np.zeros((1, 2, 2, size, size), dtype=np.int8)
    offsets[:, :, 1] = reach - 1 if step == "farthest" else min(reach - 1, 1)
    offsets[:, 1, 0] = reach - 1
    assert_equals_the_loop(offsets, reach)


def test_the_last_row_and_column_are_replaced_for_a_reach_of_one_only():
    for reach, replaced in ((1, True), (2, False)):
        images = torch.zeros((1, 3, 16, 16), dtype=torch.uint8)
        images[..., 15, :] = 200
        size = 16 - 2 * reach
        offsets = torch.full((1, 1, 2, size, size), -1, dtype=torch.int8)
        out = glass.glass_blur(images, (0.05, reach, 1), offsets)
        assert (out[0, 0, 15, 8].item() == 0) == replaced
        assert torch.equal(out[..., : reach + 1], images[..., : reach + 1])


@pytest.mark.parametrize("side", [32, 224, 299])
def test_offsets_are_uniform_and_leave_out_the_upper_end(side):
    for index, parameter in enumerate(CORRUPTIONS["glass_blur"].severities[side]):
        _, reach, rounds = parameter
        (offsets,) = glass.draw_offsets(stream("glass", side, index), side, parameter)
        assert offsets.shape == (rounds, 2, side - 2 * reach, side - 2 * reach)
        values, counts = np.unique(offsets, return_counts=True)
        assert values.tolist() == list(range(-reach, reach))
        assert stats.chisquare(counts).pvalue > 1e-3
