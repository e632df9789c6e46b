"""What holds for every corruption: type and shape, independence of the batch, strength, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_sample_image
from torch import Tensor

from robustbench_msda.conditions import EXTRA, FIFTEEN
from robustbench_msda.corruptions import CORRUPTIONS, corrupt, table
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.streams import stream

NOISES = [name for name in CORRUPTIONS if name.endswith("_noise")]


def photographs(side: int, count: int) -> Tensor:
    photograph = torch.from_numpy(np.array(load_sample_image("china.jpg"))).permute(2, 0, 1)
    tiles = photograph.unfold(1, side, side // 2).unfold(2, side, side // 2).flatten(1, 2).transpose(0, 1)
    return tiles[:: max(1, len(tiles) // count)][:count].contiguous()


def streams(indices) -> list[np.random.Generator]:
    return [stream("test", int(index)) for index in indices]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_stay_uint8_of_their_shape_and_the_input_is_left_alone(name):
    images = photographs(32, 5)
    before = images.clone()
    for severity in range(1, 6):
        corrupted = corrupt(images, name, severity, streams(range(5)))
        assert corrupted.dtype == torch.uint8
        assert corrupted.shape == images.shape
        assert not torch.equal(corrupted, images)
        assert corrupted.data_ptr() != images.data_ptr()
    assert torch.equal(images, before)


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_does_not_depend_on_its_batch(name, side):
    count = 7 if side < 224 else 2
    images = photographs(side, count)
    together = corrupt(images, name, 3, streams(range(count)))
    for index in range(count):
        alone = corrupt(images[index : index + 1], name, 3, streams([index]))
        assert torch.equal(alone[0], together[index])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_depends_on_neither_pieces_threads_nor_memory_layout(name, monkeypatch):
    images = photographs(32, 9)
    whole = corrupt(images, name, 4, streams(range(9)))
    monkeypatch.setattr(table, "CPU_PIXELS", 4 * 32 * 32)
    torch.set_num_threads(2)
    try:
        pieces = corrupt(images.contiguous(memory_format=torch.channels_last), name, 4, streams(range(9)))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(pieces, whole)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_a_function_of_its_stream(name):
    images = photographs(32, 1).expand(3, -1, -1, -1)
    first = corrupt(images, name, 3, streams([0, 1, 0]))
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, corrupt(images, name, 3, streams([0, 1, 0])))


@pytest.mark.parametrize("side", [32, 64, 224, 299])
@pytest.mark.parametrize("name", [*NOISES, "gaussian_blur", "contrast", "brightness"])
def test_a_higher_severity_is_farther_from_the_clean_image(name, side):
    images = photographs(side, 16 if side == 32 else 1)
    distances = [
        (corrupt(images, name, severity, streams(range(len(images)))).float() - images.float()).square().mean().item()
        for severity in range(1, 6)
    ]
    assert distances == sorted(distances)
    assert distances[0] > 0


@given(grey=st.integers(0, 255), severity=st.integers(1, 5))
@settings(max_examples=25)
def test_a_grey_image_survives_what_only_moves_pixels_and_contrast(grey, severity):
    flat = torch.full((1, 3, 32, 32), grey, dtype=torch.uint8)
    assert torch.equal(corrupt(flat, "pixelate", severity), flat)
    for name in ("gaussian_blur", "defocus_blur", "contrast"):
        # Truncation may take one level where the sum of the weights is a rounding error short of 1.
        difference = flat.int() - corrupt(flat, name, severity).int()
        assert difference.min() >= 0
        assert difference.max() <= 1


def test_an_empty_batch_stays_empty():
    empty = torch.empty((0, 3, 32, 32), dtype=torch.uint8)
    assert corrupt(empty, "gaussian_noise", 1).shape == empty.shape


def test_the_table_keeps_the_canonical_order_and_holds_known_names_only():
    canonical = [*FIFTEEN, *EXTRA]
    assert len(set(canonical)) == 19
    made = [name.removesuffix("_procedural") for name in CORRUPTIONS]
    assert made == [name for name in canonical if name in made]
    for corruption in CORRUPTIONS.values():
        assert all(len(levels) == 5 for levels in corruption.severities.values())


@pytest.mark.parametrize("shape", [(1, 3, 48, 48), (1, 3, 32, 64)])
def test_a_side_without_severities_is_a_users_error_that_names_the_known_ones(shape):
    with pytest.raises(UserError, match=r"contrast .*32, 64, 224, 299"):
        corrupt(torch.zeros(shape, dtype=torch.uint8), "contrast", 1)


def test_misuse_is_refused():
    images = photographs(32, 2)
    with pytest.raises(UnknownName, match="gaussian_noise"):
        corrupt(images, "gausian_noise", 1, streams([0, 1]))
    with pytest.raises(ValueError, match="one generator an image, got 1 for 2"):
        corrupt(images, "gaussian_noise", 1, streams([0]))
    for severity in (0, 6):
        with pytest.raises(ValueError, match=f"got {severity}"):
            corrupt(images, "contrast", severity)
    for wrong in (images.float(), images[:, :1], images[0]):
        with pytest.raises(ValueError, match="uint8 images"):
            corrupt(wrong, "contrast", 1)
