"""What holds for every network of these families: counts, depth, gradients, initial weights, stages."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from robustbench_msda.errors import UserError
from robustbench_msda.models import cifar_densenet, cifar_resnext, sources
from robustbench_msda.models.cifar_densenet import BottleneckLayer, DenseNet
from robustbench_msda.models.cifar_resnext import CifarResNeXt
from robustbench_msda.models.names import MODELS
from robustbench_msda.models.stages import stages

# Trainable parameters with 10 and 100 classes: a count of the released definitions. In millions in the papers:
# DenseNet 1.0, 0.8 and 25.6 (Huang et al., table 2), ResNet-110 1.7 (He et al., table 6).
COUNTS = {
    "allconvnet": (1_409_674, 1_427_044),
    "densenet_40_12": (1_059_298, 1_100_428),
    "densenet_bc_100_12": (769_162, 800_032),
    "densenet_bc_190_40": (25_624_430, 25_821_620),
    "resnext29_4x24d": (4_845_002, 4_937_252),
    "resnext29_4x32d": (6_807_882, 6_900_132),
    "resnet18_cifar": (11_173_962, 11_220_132),
    "resnet56_projection": (855_770, 861_620),
    "resnet110": (1_727_962, 1_733_812),
    "wrn_16_8_snu": (10_965_866, 11_012_036),
    "wrn_28_2_snu": (1_469_642, 1_481_252),
    "wrn_28_10_snu": (36_489_290, 36_546_980),
    "preact_resnet18_fmix": (11_171_274, 11_217_444),
}
# Convolutions on the way of the image and the linear layer: the number in the name of the paper.
DEPTHS = {
    "allconvnet": 10,
    "densenet_40_12": 40,
    "densenet_bc_100_12": 100,
    "densenet_bc_190_40": 190,
    "resnext29_4x24d": 29,
    "resnext29_4x32d": 29,
    "resnet18_cifar": 18,
    "resnet56_projection": 56,
    "resnet110": 110,
    "preact_resnet18_fmix": 18,
}
# Height and width after each stage, of an image of 32 pixels.
SIDES = {
    "allconvnet": [16, 8, 10],
    "densenet_40_12": [32, 16, 8],
    "densenet_bc_100_12": [32, 16, 8],
    "densenet_bc_190_40": [32, 16, 8],
    "resnext29_4x24d": [32, 16, 8],
    "resnext29_4x32d": [32, 16, 8],
    "resnet18_cifar": [32, 16, 8, 4],
    "resnet56_projection": [32, 16, 8],
    "resnet110": [32, 16, 8],
    "wrn_16_8_snu": [32, 16, 8],
    "wrn_28_2_snu": [32, 16, 8],
    "wrn_28_10_snu": [32, 16, 8],
    "preact_resnet18_fmix": [32, 16, 8, 4],
}
LIGHT = ["allconvnet", "densenet_40_12", "densenet_bc_100_12", "resnext29_4x24d", "resnet56_projection", "wrn_28_2_snu"]


def fresh(name: str, classes: int = 10, seed: int = 0, **options: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return sources.build(name, classes, options)


def images(n: int, channels: int = 3, side: int = 32) -> torch.Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(n))


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        assert parameters(sources.build(name, 10, {})) == MODELS[name].parameters == COUNTS[name][0]
        assert parameters(sources.build(name, 100, {})) == COUNTS[name][1]


def test_counts_of_other_sizes_are_those_of_the_papers() -> None:
    """Xie et al., table 7: 34.4 and 68.1 million; Huang et al., table 2: 15.3 million for L = 250, k = 24."""
    with torch.device("meta"):
        assert parameters(CifarResNeXt(8, 64, 10, 3)) == pytest.approx(34.4e6, abs=5e4)
        assert parameters(CifarResNeXt(16, 64, 10, 3)) == pytest.approx(68.1e6, abs=6e4)
        assert parameters(DenseNet(BottleneckLayer, 250, 24, 10, 3)) == pytest.approx(15.3e6, abs=5e4)


def test_one_channel_networks() -> None:
    with torch.device("meta"):
        assert parameters(sources.build("densenet_bc_190_40", 10, {"in_chans": 1})) == 25_622_990
        assert parameters(sources.build("preact_resnet18_fmix", 10, {"in_chans": 1})) == 11_170_122
        assert parameters(sources.build("preact_resnet18_fmix", 200, {})) == 11_268_744
        for name in COUNTS:
            stem = sources.build(name, 10, {}).get_parameter(
                "block1.0.weight" if name == "allconvnet" else "conv1.weight"
            )
            assert parameters(sources.build(name, 10, {"in_chans": 1})) == COUNTS[name][0] - stem.numel() * 2 // 3


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_is_the_number_in_the_name(name: str) -> None:
    with torch.device("meta"):
        modules = sources.build(name, 10, {}).named_modules()
    layers = [key for key, module in modules if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sum("shortcut" not in key for key in layers) == DEPTHS[name]


@pytest.mark.parametrize("name", SIDES)
def test_stages_are_found_and_halve_the_image(name: str) -> None:
    seen: list[int] = []
    with torch.device("meta"):
        network = sources.build(name, 10, {}).eval()
        for stage in stages(network):
            stage.register_forward_hook(lambda _, __, answer: seen.append(answer.shape[-1]))
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert seen == SIDES[name]


@pytest.mark.parametrize("name", LIGHT)
def test_answers_depend_on_the_image_alone(name: str) -> None:
    network = fresh(name, 7).eval()
    batch = images(7, side=16)
    with torch.no_grad():
        logits, alone = network(batch), network(batch[:1])
        assert (logits.shape, alone.shape) == ((7, 7), (1, 7))
        assert torch.equal(logits, network(batch))
        torch.testing.assert_close(alone[0], logits[0], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits[0], logits[1], rtol=1e-3)
        channels_last = network.to(memory_format=torch.channels_last)
        answer = channels_last(batch.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(answer, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LIGHT)
def test_training_step_reaches_every_weight(name: str) -> None:
    network = fresh(name).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        functional.cross_entropy(network(images(2)), torch.tensor([3, 1])).backward()
    # A bias before a batch norm has no effect, and so no gradient but rounding.
    reached = {key: weight.grad for key, weight in network.named_parameters() if weight.dim() > 1}
    assert [key for key, gradient in reached.items() if gradient is None or not gradient.abs().sum()] == []
    assert {weight.grad is None for weight in network.parameters()} == {False}


@pytest.mark.parametrize("name", LIGHT)
def test_bfloat16_autocast_is_near_float32(name: str) -> None:
    # AllConvNet drops at random while training.
    network = fresh(name).train(name != "allconvnet")
    batch = images(4, side=16)
    exact = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(batch)
    assert rough.dtype is torch.bfloat16
    # bfloat16 keeps 8 bits: a per cent or two of the spread of the logits, more in a deep network.
    assert (rough.float() - exact).square().mean().sqrt() < 0.06 * exact.std()
    rough.float().square().sum().backward()
    assert next(network.parameters()).grad is not None


@pytest.mark.parametrize("name", LIGHT)
def test_state_dict_round_trip(name: str) -> None:
    first, second = fresh(name, seed=0).eval(), fresh(name, seed=1).eval()
    batch = images(2, side=16)
    with torch.no_grad():
        assert not torch.equal(first(batch), second(batch))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(batch), second(batch))


@pytest.mark.parametrize("name", LIGHT[:-1])
def test_initial_weights_are_those_of_the_released_code(name: str) -> None:
    network = fresh(name)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            near(module.weight, (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5)
        if isinstance(module, nn.Linear):
            assert not module.bias.detach().any()
            # Torch's own draw is uniform up to 1 / sqrt(C), which has a third of that variance.
            he = name.startswith("resnext")
            near(module.weight, ((2 if he else 1 / 3) / module.in_features) ** 0.5)


@pytest.mark.parametrize("name", ["wrn_28_2_snu", "preact_resnet18_fmix"])
def test_the_forms_of_puzzlemix_and_fmix_keep_the_default_initialisation_of_torch(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        stem = nn.Conv2d(3, 16 if name.startswith("wrn") else 64, 3, padding=1, bias=name.startswith("wrn")).weight
    assert torch.equal(fresh(name, seed=5).get_parameter("conv1.weight"), stem)


def near(weight: torch.Tensor, deviation: float) -> None:
    # The standard error of a normal standard deviation is σ / sqrt(2n); six of them.
    assert abs(float(weight.detach().std()) / deviation - 1) < 6 / (2 * weight.numel()) ** 0.5


@pytest.mark.parametrize("name", COUNTS)
def test_pretrained_weights_are_refused_not_replaced_by_random_ones(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has no pretrained weights"):
        timm.create_model(name, pretrained=True)


@pytest.mark.parametrize("family", [cifar_densenet, cifar_resnext])
def test_families_do_not_share_a_name_with_a_file_of_timm(family: object) -> None:
    """timm lists models by the last part of the module's name."""
    assert set(timm.list_models(module=str(getattr(family, "__name__", "")).rpartition(".")[2])) <= set(COUNTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["densenet_bc_190_40", "resnext29_4x32d", "resnet18_cifar", "resnet110", "preact_resnet18_fmix"]
)
def test_heavy_networks_learn_two_images(name: str) -> None:
    network, batch, labels = fresh(name).train(), images(2, side=16), torch.tensor([3, 1])
    optimiser = torch.optim.SGD(network.parameters(), 0.01)
    losses = []
    for _ in range(3):
        loss = functional.cross_entropy(network(batch), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[0]
