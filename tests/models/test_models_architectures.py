from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from robustbench_msda.errors import UserError
from robustbench_msda.models import preact_resnet, sources, wide_resnet
from robustbench_msda.models.cifar_resnet import BasicBlock
from robustbench_msda.models.names import MODELS

# Trainable parameters with 10 and 100 classes. resnet20 to 56: 0.27, 0.46, 0.66 and 0.85 million in He et al., CVPR
# 2016, table 6; wide: 2.2, 1.5, 36.5 and 11.0 million in Zagoruyko and Komodakis, table 4. Exact counts: a count of the
# released definitions.
COUNTS = {
    "small_cnn": (24_346, 30_196),
    "resnet20": (269_722, 275_572),
    "resnet32": (464_154, 470_004),
    "resnet44": (658_586, 664_436),
    "resnet56": (853_018, 858_868),
    "wrn_16_2": (691_674, 703_284),
    "wrn_16_8": (10_961_370, 11_007_540),
    "wrn_28_2": (1_467_610, 1_479_220),
    "wrn_28_10": (36_479_194, 36_536_884),
    "wrn_40_2": (2_243_546, 2_255_156),
    "preact_resnet18": (11_171_146, 11_217_316),
    "preact_resnet34": (21_279_306, 21_325_476),
    "preact_resnet50": (23_509_066, 23_693_476),
}
# One network a family, and both kinds of pre-activation block: the others differ in numbers only.
LIGHT = ["small_cnn", "resnet20", "wrn_28_2", "preact_resnet18"]


def fresh(name: str, classes: int = 10, seed: int = 0, **options: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return sources.build(name, classes, options)


def images(n: int, channels: int = 3, side: int = 32) -> torch.Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(n))


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def test_table_names_what_is_registered() -> None:
    modules = [family.__name__.rpartition(".")[2] for family in sources.FAMILIES]
    registered = {name for module in modules for name in timm.list_models(module=module)}
    assert set(COUNTS) <= registered == set(MODELS)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        assert parameters(sources.build(name, 10, {})) == MODELS[name].parameters == COUNTS[name][0]
        assert parameters(sources.build(name, 100, {})) == COUNTS[name][1]


def test_one_channel_networks() -> None:
    with torch.device("meta"):
        assert parameters(sources.build("wrn_28_10", 10, {"in_chans": 1})) == 36_478_906
        assert parameters(sources.build("preact_resnet18", 10, {"in_chans": 1})) == 11_171_146 - 2 * 64 * 9
    assert fresh("resnet20", 4, in_chans=1).eval()(images(2, 1, 28)).shape == (2, 4)


@pytest.mark.parametrize("name", [*LIGHT, "preact_resnet50"])
def test_answers_depend_on_the_image_alone(name: str) -> None:
    network = fresh(name, 7).eval()
    batch = images(7)
    with torch.no_grad():
        logits, alone = network(batch), network(batch[:1])
        assert (logits.shape, alone.shape) == ((7, 7), (1, 7))
        assert torch.equal(logits, network(batch))
        torch.testing.assert_close(alone[0], logits[0], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits[0], logits[1], rtol=1e-3)
        channels_last = network.to(memory_format=torch.channels_last)
        answer = channels_last(batch.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(answer, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [*LIGHT, "preact_resnet50"])
def test_training_step_reaches_every_weight(name: str) -> None:
    network = fresh(name).train()
    labels = torch.tensor([3, 1])
    functional.cross_entropy(network(images(2)), labels).backward()
    silent = [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum()]
    assert silent == []


@pytest.mark.parametrize("name", LIGHT)
def test_bfloat16_autocast_is_near_float32(name: str) -> None:
    network = fresh(name).train()
    batch = images(4)
    exact = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(batch)
    assert rough.dtype is torch.bfloat16
    # bfloat16 keeps 8 bits: a per cent or two of the spread of the logits.
    assert (rough.float() - exact).abs().max() < 0.05 * exact.std() + 0.05
    rough.float().square().sum().backward()
    assert next(network.parameters()).grad is not None


State = dict[str, torch.Tensor]


def normed(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.relu(functional.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"]))


def conv(state: State, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    weight = state[f"{name}.weight"]
    return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def blocks(state: State, stages: str, strides: tuple[int, ...]) -> list[tuple[str, int]]:
    """The blocks that a state dict names, in order, each with its stride: only the first of a stage has one."""
    found = []
    for stage, stride in enumerate(strides, 1):
        names = sorted({int(key.split(".")[1]) for key in state if key.startswith(f"{stages}{stage}.")})
        found += [(f"{stages}{stage}.{number}", 1 if number else stride) for number in names]
    return found


def post_activation(state: State, x: torch.Tensor) -> torch.Tensor:
    x = normed(state, "bn1", conv(state, "conv1", x))
    for name, stride in blocks(state, "layer", (1, 2, 2)):
        hidden = conv(state, f"{name}.conv2", normed(state, f"{name}.bn1", conv(state, f"{name}.conv1", x, stride)))
        bare = functional.batch_norm(
            hidden,
            *(state[f"{name}.bn2.{key}"] for key in ("running_mean", "running_var", "weight", "bias")),
        )
        zeros = torch.zeros_like(bare[:, x.shape[1] :])[:, ::2]
        x = functional.relu(bare + torch.cat([zeros, x[:, :, ::stride, ::stride], zeros], 1))
    return functional.linear(x.mean((2, 3)), state["linear.weight"], state["linear.bias"])


def pre_activation(state: State, x: torch.Tensor, stages: str, strides: tuple[int, ...], convs: int) -> torch.Tensor:
    x = conv(state, "conv1", x)
    for name, stride in blocks(state, stages, strides):
        hidden = active = normed(state, f"{name}.bn1", x)
        for number in range(1, convs + 1):
            hidden = hidden if number == 1 else normed(state, f"{name}.bn{number}", hidden)
            strided = number == (1 if convs == 2 else 2)
            hidden = conv(state, f"{name}.conv{number}", hidden, stride if strided else 1)
        shortcut = [key.removesuffix(".weight") for key in state if key.startswith(f"{name}.shortcut")]
        x = hidden + (conv(state, shortcut[0], active, stride) if shortcut else x)
    x = normed(state, "bn1", x) if "bn1.weight" in state else x
    head = "fc" if "fc.weight" in state else "linear"
    return functional.linear(x.mean((2, 3)), state[f"{head}.weight"], state[f"{head}.bias"])


def settled(name: str) -> nn.Module:
    """The network with batch norms that are not the identity."""
    network = fresh(name).eval()
    generator = torch.Generator().manual_seed(1)
    for key, tensor in network.state_dict().items():
        if ".bn" in f".{key}" and tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network.double()


@pytest.mark.parametrize(
    ("name", "stages", "strides", "convs"),
    [
        ("wrn_40_2", "block", (1, 2, 2), 2),
        ("preact_resnet18", "layer", (1, 2, 2, 2), 2),
        ("preact_resnet50", "layer", (1, 2, 2, 2), 3),
    ],
)
def test_pre_activation_networks_are_their_description(
    name: str, stages: str, strides: tuple[int, ...], convs: int
) -> None:
    network, batch = settled(name), images(2).double()
    with torch.no_grad():
        torch.testing.assert_close(network(batch), pre_activation(network.state_dict(), batch, stages, strides, convs))


def test_resnet_is_its_description() -> None:
    network, batch = settled("resnet32"), images(2).double()
    with torch.no_grad():
        torch.testing.assert_close(network(batch), post_activation(network.state_dict(), batch))


@pytest.mark.parametrize("name", LIGHT)
def test_state_dict_round_trip(name: str) -> None:
    first, second = fresh(name, seed=0).eval(), fresh(name, seed=1).eval()
    batch = images(2)
    assert not torch.equal(first(batch), second(batch))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(batch), second(batch))


@pytest.mark.parametrize("name", LIGHT)
def test_initial_weights_are_the_seeds(name: str) -> None:
    one, same, other = (fresh(name, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["small_cnn", "resnet20", "wrn_28_2"])
def test_convolutions_start_with_the_variance_of_he(name: str) -> None:
    network = fresh(name)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            n = module.weight.numel()
            # The standard error of a standard deviation is σ / sqrt(2n); six of them.
            assert abs(float(module.weight.detach().std()) / expected - 1) < 6 / (2 * n) ** 0.5
        if isinstance(module, nn.Linear):
            assert not module.bias.detach().any()


def test_preact_resnet_keeps_the_default_initialisation_of_torch() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        stem = nn.Conv2d(3, 64, 3, padding=1, bias=False).weight
    assert torch.equal(fresh("preact_resnet18", seed=5).get_parameter("conv1.weight"), stem)


def test_shortcut_subsamples_and_pads_with_zeros() -> None:
    block = BasicBlock(2, 4, 2)
    batch = images(1, 2, 6)
    answer = block.shortcut(batch)
    expected = torch.zeros(1, 4, 3, 3)
    for y in range(3):
        for x in range(3):
            expected[:, 1:3, y, x] = batch[:, :, 2 * y, 2 * x]
    assert torch.equal(answer, expected)
    assert BasicBlock(2, 2, 1).shortcut(batch) is batch


def test_wide_projection_sees_the_pre_activation_and_identity_the_raw_input() -> None:
    batch = images(2, 16, 8)
    projecting, plain = wide_resnet.WideBlock(16, 32, 2).eval(), wide_resnet.WideBlock(16, 16, 1).eval()
    for block in (projecting, plain):
        nn.init.zeros_(block.conv2.weight)
    assert projecting.shortcut is not None
    torch.testing.assert_close(projecting(batch), projecting.shortcut(functional.relu(projecting.bn1(batch))))
    assert torch.equal(plain(batch), batch)


@pytest.mark.parametrize("block", [preact_resnet.BasicBlock(64, 64, 2), preact_resnet.Bottleneck(64, 64, 1)])
def test_preact_projection_sees_the_pre_activation(block: nn.Module) -> None:
    batch = images(2, 64, 8)
    last = list(block.eval().children())[-2]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    active = functional.relu(block.get_submodule("bn1")(batch))
    torch.testing.assert_close(block(batch), block.get_submodule("shortcut")(active))


@pytest.mark.parametrize("name", MODELS)
def test_pretrained_weights_are_refused_not_replaced_by_random_ones(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has no pretrained weights"):
        timm.create_model(name, pretrained=True)


def test_timm_builds_ours() -> None:
    network = timm.create_model("resnet20", num_classes=5, in_chans=1)
    assert network(images(1, 1)).shape == (1, 5)


def test_names_need_no_torch() -> None:
    code = "import sys, robustbench_msda.models.names; print(sorted({'torch', 'timm', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
