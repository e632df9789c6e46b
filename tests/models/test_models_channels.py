"""Networks for images of one channel: what is built, and what is refused in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from robustbench_msda.errors import UserError
from robustbench_msda.models.channels import check_takes, takes_grey, with_channels
from robustbench_msda.models.checkpoints import fresh
from robustbench_msda.models.names import MODELS
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build

OWN = """
from torch import nn

def grey(num_classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(num_classes))

def any_channels(num_classes, in_chans=3):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.Flatten(), nn.Linear(4 * 36, num_classes))
"""


def test_nothing_changes_for_rgb() -> None:
    for source in ("resnet20", "timm/resnet18", "torchvision/resnet18", "hf-hub:timm/resnet18", "net.py:f"):
        options = {"drop_path": 0.1}
        assert with_channels(source, options, 3) is options
    assert with_channels("resnet20", {"in_chans": 3}, 3) == {"in_chans": 3}


@pytest.mark.parametrize("source", ["resnet20", "timm/resnet18", "hf-hub:timm/resnet18"])
def test_ours_and_timms_get_the_option(source: str) -> None:
    given = {"drop_path": 0.1}
    assert with_channels(source, given, 1) == {"drop_path": 0.1, "in_chans": 1}
    assert given == {"drop_path": 0.1}
    assert with_channels(source, {"in_chans": 1}, 1) == {"in_chans": 1}


@pytest.mark.parametrize("channels", [1, 3])
def test_an_option_that_says_otherwise_is_refused(channels: int) -> None:
    with pytest.raises(
        UserError, match=rf"^resnet20: model option in_chans={4 - channels}, the images have {channels}"
    ):
        with_channels("resnet20", {"in_chans": 4 - channels}, channels)


def test_torchvision_takes_rgb_alone() -> None:
    with pytest.raises(UserError, match=r"^torchvision/resnet18 takes images of three channels, these have 1: give"):
        with_channels("torchvision/resnet18", {}, 1)


def test_a_file_is_left_to_its_author() -> None:
    assert with_channels("net.py:f", {}, 1) == {}
    assert with_channels("net.py:f", {"in_chans": 1}, 1) == {"in_chans": 1}


def state(name: str, channels: int) -> dict[str, Tensor]:
    with torch.device("meta"):
        return dict(fresh(name, 10, with_channels(name, {}, channels)).state_dict())


@pytest.mark.parametrize("name", [name for name in MODELS if "pyramidnet2" not in name and "190" not in name])
def test_the_first_layer_tells(name: str) -> None:
    network, grey = state(name, 3), state(name, 1)
    assert takes_grey(grey, network)
    assert not takes_grey(network, network)
    assert not takes_grey(grey, grey)
    assert not takes_grey({}, network)
    assert not takes_grey({name: tensor[0] for name, tensor in grey.items() if tensor.ndim}, network)


def own(folder: Path, name: str, **options: int) -> tuple[Normalised, str]:
    (folder / "net.py").write_text(OWN)
    source = f"{folder / 'net.py'}:{name}"
    with torch.random.fork_rng(devices=[]):
        network = build(source, 10, options)
    return Normalised(network, (0.5,), (0.5,)), source


def test_a_network_of_ones_own_is_asked(tmp_path: Path) -> None:
    model, source = own(tmp_path, "grey")
    before = model.network[1].running_mean.clone()
    for mode in (True, False):
        check_takes(model.train(mode), source, (1, 8, 8))
        assert model.training is mode
    assert torch.equal(model.network[1].running_mean, before)
    model, source = own(tmp_path, "any_channels", in_chans=1)
    check_takes(model, source, (1, 8, 8))


@pytest.mark.parametrize(("options", "side"), [({}, 8), ({"in_chans": 1}, 9)])
def test_a_network_of_ones_own_that_refuses(tmp_path: Path, options: dict[str, int], side: int) -> None:
    model, source = own(tmp_path, "any_channels", **options)
    with pytest.raises(UserError, match=rf"refuses images of 1 channels and {side}×{side} px") as caught:
        check_takes(model, source, (1, side, side))
    assert "\n" not in str(caught.value)
    assert "model_options" in str(caught.value)
    assert model.training
