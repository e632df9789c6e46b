"""Images of one channel: every method does to them what it does to the same picture in three."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robustbench_msda import augmentations, preview
from robustbench_msda.augmentations import AUGMENTATIONS
from robustbench_msda.records import Batch

POLICY = Path(__file__).parents[1] / "golden" / "fast_autoaugment_policy.json"
# What differs, and why.
OWN_WAY = {
    "fast_autoaugment": "its hole has a colour: a grey image gets the luma of it",
    "adversarial_training": "each channel is attacked by itself, from a start of its own",
}


def batch(channels: int) -> Batch:
    coarse = torch.rand(5, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, 28, mode="bilinear").mul(255).round().div(255)
    return Batch(images.repeat(1, channels, 1, 1), torch.eye(5), torch.arange(5))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_grey_images_are_changed_as_the_same_in_rgb(name: str) -> None:
    method = augmentations.parse(f"fast_autoaugment(policy='{POLICY}')" if name == "fast_autoaugment" else name)
    assert method.refusal(preview.Contrast(5, 1), (28, 28)) is None
    same = []
    for key in range(8):
        grey, targets = preview.fed(method, batch(1), 0, key)
        coloured, expected = preview.fed(method, batch(3), 0, key)
        assert grey.shape[1:] == (1, 28, 28)
        torch.testing.assert_close(targets, expected)
        same.append(torch.allclose(grey.expand_as(coloured), coloured, atol=1e-6))
    assert all(same) is (name not in OWN_WAY)


def test_the_exceptions_are_in_the_table() -> None:
    assert set(OWN_WAY) < set(AUGMENTATIONS)
