"""The forward passes, against networks built from torchvision's blocks or written out from the weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import DenseNet as TorchvisionDenseNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from robustbench_msda.errors import UserError
from robustbench_msda.models import sources

State = dict[str, torch.Tensor]


def images(n: int, side: int) -> torch.Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(n)).double()


def settled(name: str) -> nn.Module:
    """The network, evaluating, with batch norms that are not the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = sources.build(name, 10, {}).eval()
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network.double()


def with_weights_of(ours: nn.Module, theirs: nn.Module) -> nn.Module:
    """``theirs`` with the weights of ``ours``, whose layers come in the same order."""
    mine = ours.state_dict()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), mine.values(), strict=True)))
    return theirs.double().eval()


def test_densenet_bc_is_torchvisions_behind_a_small_stem() -> None:
    theirs = TorchvisionDenseNet(12, (16, 16, 16), 24, 4, 0.0, 10)
    theirs.features.conv0 = nn.Conv2d(3, 24, 3, 1, 1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        delattr(theirs.features, name)
    ours = settled("densenet_bc_100_12")
    batch = images(2, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(batch), with_weights_of(ours, theirs)(batch))


def grouped(planes: int, blocks: int, stride: int, channels_in: int) -> Iterator[nn.Module]:
    norm_of = nn.Sequential(nn.Conv2d(channels_in, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes))
    yield Bottleneck(channels_in, planes, stride, norm_of, 4, 32)
    for _ in range(blocks - 1):
        yield Bottleneck(4 * planes, planes, groups=4, base_width=32)


def test_resnext_is_made_of_torchvisions_bottlenecks() -> None:
    theirs = nn.Sequential(
        *(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(*grouped(64, 3, 1, 64), *grouped(128, 3, 2, 256), *grouped(256, 3, 2, 512)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 10)),
    )
    ours = settled("resnext29_4x32d")
    batch = images(2, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(batch), with_weights_of(ours, theirs)(batch))


def basic(channels_in: int, planes: int, blocks: int) -> Iterator[nn.Module]:
    if channels_in == planes:
        yield BasicBlock(planes, planes)
    else:
        shortcut = nn.Sequential(nn.Conv2d(channels_in, planes, 1, 2, bias=False), nn.BatchNorm2d(planes))
        yield BasicBlock(channels_in, planes, 2, shortcut)
    for _ in range(blocks - 1):
        yield BasicBlock(planes, planes)


@pytest.mark.parametrize(
    ("name", "widths", "blocks"),
    [("resnet18_cifar", (64, 64, 128, 256, 512), 2), ("resnet56_projection", (16, 16, 32, 64), 9)],
)
def test_resnets_are_made_of_torchvisions_blocks(name: str, widths: tuple[int, ...], blocks: int) -> None:
    theirs = nn.Sequential(
        *(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()),
        *(block for pair in zip(widths, widths[1:], strict=False) for block in basic(*pair, blocks)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10)),
    )
    ours = settled(name)
    batch = images(2, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(batch), with_weights_of(ours, theirs)(batch))


def normed(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"])


def test_densenet_without_bottlenecks_is_its_description() -> None:
    network, batch = settled("densenet_40_12"), images(2, 16)
    state = network.state_dict()
    x = functional.conv2d(batch, state["conv1.weight"], padding=1)
    for block in (1, 2, 3):
        for layer in range(12):
            name = f"block{block}.{layer}"
            active = normed(state, f"{name}.bn1", x).relu()
            x = torch.cat([x, functional.conv2d(active, state[f"{name}.conv1.weight"], padding=1)], 1)
        if block < 3:
            active = normed(state, f"trans{block}.bn1", x).relu()
            x = functional.avg_pool2d(functional.conv2d(active, state[f"trans{block}.conv1.weight"]), 2)
    pooled = normed(state, "bn1", x).relu().mean((2, 3))
    with torch.no_grad():
        torch.testing.assert_close(network(batch), functional.linear(pooled, state["fc.weight"], state["fc.bias"]))


def test_wide_resnet_of_puzzlemix_is_its_description() -> None:
    network, batch = settled("wrn_28_2_snu"), images(2, 16)
    state = network.state_dict()

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    x = conv("conv1", batch)
    for stage in (1, 2, 3):
        for block in range(4):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            hidden = conv(f"{name}.conv1", normed(state, f"{name}.bn1", x).relu())
            hidden = conv(f"{name}.conv2", normed(state, f"{name}.bn2", hidden).relu(), stride)
            x = hidden + (conv(f"{name}.shortcut.0", x, stride) if block == 0 else x)
    pooled = normed(state, "bn1", x).relu().mean((2, 3))
    with torch.no_grad():
        expected = functional.linear(pooled, state["linear.weight"], state["linear.bias"])
        torch.testing.assert_close(network(batch), expected)
    assert network.get_submodule("bn1").momentum == 0.9


def test_preact_resnet_of_fmix_is_its_description() -> None:
    network, batch = settled("preact_resnet18_fmix"), images(2, 16)
    state = network.state_dict()
    x = normed(state, "bn1", functional.conv2d(batch, state["conv1.weight"], padding=1)).relu()
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            active = normed(state, f"{name}.bn1", x).relu()
            hidden = functional.conv2d(active, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            hidden = normed(state, f"{name}.bn2", hidden).relu()
            hidden = functional.conv2d(hidden, state[f"{name}.conv2.weight"], padding=1)
            projection = state.get(f"{name}.shortcut.0.weight")
            x = hidden + (active if projection is None else functional.conv2d(active, projection, stride=stride))
    with torch.no_grad():
        expected = functional.linear(x.mean((2, 3)), state["linear.weight"], state["linear.bias"])
        torch.testing.assert_close(network(batch), expected)


def all_convolutional(state: State, x: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """The logits by the released network's description, and the side after each block's end and last layers."""
    sides = []
    for block, paddings in ((1, (1, 1, 1)), (2, (1, 1, 1)), (3, (0, 1, 1))):
        for layer, padding in enumerate(paddings):
            name = f"block{block}.{3 * layer}"
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)
            x = normed(state, f"block{block}.{3 * layer + 1}", x)
            x = x / (1 + torch.exp(-1.702 * x))
            sides += [x.shape[-1]] if block == 3 else []
        x = functional.max_pool2d(x, 2) if block < 3 else functional.avg_pool2d(x, 8)
        sides.append(x.shape[-1])
    return functional.linear(x.flatten(1), state["linear.weight"], state["linear.bias"]), sides


def test_allconvnet_is_the_released_one() -> None:
    """The sides of an image of 32 pixels: 16, 8, 6, 8, 10, and a mean of 8 that drops the last two rows and columns."""
    network, batch = settled("allconvnet"), images(2, 32)
    with torch.no_grad():
        logits, sides = all_convolutional(network.state_dict(), batch)
        torch.testing.assert_close(network(batch), logits)
    assert sides == [16, 8, 6, 8, 10, 1]


def test_allconvnet_takes_other_sizes_and_refuses_too_small_ones() -> None:
    network = settled("allconvnet")
    with torch.no_grad():
        assert network(images(1, 12)).shape == (1, 10)
        assert network(images(1, 64)).shape == (1, 10)
    with pytest.raises(
        UserError, match="allconvnet needs images of 12 pixels a side, found 11 x 11: take another model"
    ):
        network(images(1, 11))


def test_allconvnet_drops_while_training_only() -> None:
    network, batch = settled("allconvnet").train(), images(2, 32)
    answers = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            answers.append(network(batch))
        assert torch.equal(answers[0], answers[1])
        assert not torch.allclose(answers[0], answers[2])
        torch.testing.assert_close(network.eval()(batch), network(batch))
