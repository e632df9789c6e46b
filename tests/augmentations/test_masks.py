from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.augmentations.base import InputMixing
from robustbench_msda.augmentations.fmix import FMix
from robustbench_msda.augmentations.gmix import GMix
from robustbench_msda.augmentations.hmix import HMix
from robustbench_msda.augmentations.masks import mix_by_mask
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

MEMORY = [torch.contiguous_format, torch.channels_last]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[0]).random(shape, np.float32)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("shape", [(1, 1, 8, 9), (3, 3, 9, 8), (4, 1, 5, 5), (5, 3, 1, 7)])
def test_every_pixel_is_weighed_by_its_own_weight(shape: tuple[int, ...], memory: torch.memory_format) -> None:
    images, mask = noise(*shape), noise(*shape[2:])
    partner = np.roll(np.arange(shape[0]), 1)
    given_images = torch.from_numpy(images).contiguous(memory_format=memory)
    ours, share = mix_by_mask(given_images, torch.from_numpy(partner), mask)
    expected = np.empty_like(images)
    for index in np.ndindex(*shape):
        weight = mask[index[2:]]
        expected[index] = weight * images[index] + (1 - weight) * images[(partner[index[0]], *index[1:])]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)
    assert share == pytest.approx(mask.mean(dtype=np.float64), abs=1e-12)
    assert ours.dtype == torch.float32
    assert ours.is_contiguous(memory_format=memory)
    assert torch.equal(given_images, torch.from_numpy(images))


@given(bits=st.lists(st.sampled_from([0.0, 1.0]), min_size=12, max_size=12))
def test_a_mask_of_zeros_and_ones_copies_pixels_bit_for_bit(bits: list[float]) -> None:
    mask = np.array(bits, np.float32).reshape(3, 4)
    images = torch.from_numpy(noise(3, 2, 3, 4))
    partner = torch.tensor([2, 0, 1])
    ours, share = mix_by_mask(images, partner, mask)
    np.testing.assert_array_equal(ours.numpy(), np.where(mask == 1, images.numpy(), images.numpy()[partner]))
    assert share == pytest.approx(sum(bits) / 12, abs=1e-12)


@given(pixels=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2), weight=st.floats(0, 1, width=32))
def test_colours_stay_between_the_two_mixed(pixels: list[float], weight: float) -> None:
    images = torch.tensor(pixels).reshape(2, 1, 1, 1)
    ours, _ = mix_by_mask(images, torch.tensor([1, 0]), np.full((1, 1), weight, np.float32))
    assert 0 <= float(ours.min()) <= float(ours.max()) <= 1
    assert min(pixels) - 1e-7 <= float(ours.min()) <= float(ours.max()) <= max(pixels) + 1e-7


@pytest.mark.parametrize("method", [FMix(), FMix(spectrum="code"), HMix(), HMix(variant="code"), GMix()])
def test_no_method_leaves_the_device_of_the_images(method: InputMixing) -> None:
    """The meta device refuses tensors of the processor, as a graphics card does."""
    images = torch.empty(3, 3, 8, 9, device="meta")
    batch = Batch(images, torch.empty(3, 4, device="meta"), torch.arange(3))
    ours = method.mix(batch, stream("test", "device"))
    assert ours.images.device == ours.targets.device == images.device
    assert (ours.images.shape, ours.targets.shape) == (images.shape, batch.targets.shape)
    with pytest.raises(RuntimeError, match="device"):
        images.lerp_(images, torch.zeros(8, 9))
