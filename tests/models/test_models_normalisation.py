from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from robustbench_msda.models.normalisation import Normalised


def test_first_layer_subtracts_and_divides() -> None:
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    answer = Normalised(nn.Identity(), mean, std)(images)
    for channel in range(3):
        expected = (images[:, channel] - mean[channel]) / std[channel]
        torch.testing.assert_close(answer[:, channel], expected)


@pytest.mark.parametrize(("taken", "given"), [(3, 1), (1, 3)])
def test_other_channels_are_refused_and_not_spread(taken: int, given: int) -> None:
    with pytest.raises(ValueError, match=f"of {taken} channels, got {given}"):
        Normalised(nn.Identity(), (0.5,) * taken, (0.5,) * taken)(torch.zeros(2, given, 4, 4))


def test_state_dict_of_the_network_is_its_own() -> None:
    network = nn.Linear(2, 2)
    wrapped = Normalised(network, (0.5,), (0.5,))
    assert list(wrapped.network.state_dict()) == ["weight", "bias"]
    assert list(wrapped.state_dict()) == ["network.weight", "network.bias"]


def test_mean_and_std_move_and_copy_with_the_model() -> None:
    wrapped = Normalised(nn.Identity(), (0.5,), (0.25,))
    moved = copy.deepcopy(wrapped).to("meta")
    assert moved.mean.device.type == moved.std.device.type == "meta"
    assert wrapped.mean.device.type == "cpu"


def test_gradient_is_that_of_images_in_unit_range() -> None:
    images = torch.zeros(1, 3, 2, 2, requires_grad=True)
    Normalised(nn.Identity(), (0.0,) * 3, (0.25, 0.5, 1.0))(images).sum().backward()
    assert images.grad is not None
    assert images.grad[0, :, 0, 0].tolist() == [4.0, 2.0, 1.0]


def test_channels_last_is_kept() -> None:
    images = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    answer = Normalised(nn.Identity(), (0.5,) * 3, (0.25,) * 3).to(memory_format=torch.channels_last)(images)
    assert answer.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((), ()),
        ((0.5,), (0.5, 0.5)),
        ((0.5,), (0.0,)),
        ((0.5,), (-1.0,)),
        ((float("nan"),), (1.0,)),
        ((0.5,), (1e999,)),
    ],
)
def test_refuses_what_cannot_normalise(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Normalised(nn.Identity(), mean, std)
