from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from robustbench_msda.models import sources
from robustbench_msda.models.pyramidnet import Bottleneck
from robustbench_msda.models.stages import stages

# Trainable parameters with 10 and 100 classes: 1.7, 26.8 and 26.2 million in the papers; exact: a count of the released
# definitions.
COUNTS = {
    "pyramidnet110_a64": (1_696_410, 1_725_300),
    "pyramidnet200_a240": (26_752_702, 26_844_952),
    "pyramidnet272_a200": (26_210_842, 26_288_692),
}
LIGHT = "pyramidnet110_a64"


def fresh(classes: int = 10, **options: int) -> nn.Module:
    torch.manual_seed(0)
    return sources.build(LIGHT, classes, options)


def images(n: int, channels: int = 3, side: int = 32) -> torch.Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str) -> None:
    for classes, count in zip((10, 100), COUNTS[name], strict=True):
        with torch.device("meta"):
            network = sources.build(name, classes, {})
        assert sum(weight.numel() for weight in network.parameters() if weight.requires_grad) == count


@pytest.mark.parametrize(
    ("name", "blocks", "alpha"),
    [("pyramidnet110_a64", 12, 64), ("pyramidnet200_a240", 22, 240), ("pyramidnet272_a200", 30, 200)],
)
def test_widths_grow_as_in_the_released_code(name: str, blocks: int, alpha: int) -> None:
    with torch.device("meta"):
        network = sources.build(name, 10, {})
    expected, width = [], 16.0
    for _ in range(3 * blocks):
        # The released code adds up in floating point, and rounds what it has after each block.
        width += alpha / (3 * blocks)
        expected.append(round(width))
    found = [module for module in network.modules() if isinstance(module, Bottleneck)]
    assert [block.conv2.out_channels for block in found] == expected
    assert [len(list(stage.children())) for stage in stages(network)] == [blocks] * 3
    assert expected[-1] == 16 + alpha


def normed(state: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(
        x, *(state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    )


def described(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = normed(state, "bn1", functional.conv2d(x, state["conv1.weight"], padding=1))
    for stage in (1, 2, 3):
        for number in range(12):
            name, stride = f"layer{stage}.{number}", 2 if stage > 1 and not number else 1
            hidden = functional.conv2d(normed(state, f"{name}.bn1", x), state[f"{name}.conv1.weight"])
            hidden = normed(state, f"{name}.bn2", hidden).relu()
            hidden = functional.conv2d(hidden, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            hidden = normed(state, f"{name}.bn3", hidden).relu()
            branch = normed(state, f"{name}.bn4", functional.conv2d(hidden, state[f"{name}.conv3.weight"]))
            if stride == 2:
                x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
            zeros = torch.zeros_like(branch[:, x.shape[1] :])
            x = branch + torch.cat([x, zeros], 1)
    pooled = normed(state, "bn_final", x).relu().mean((2, 3))
    return functional.linear(pooled, state["fc.weight"], state["fc.bias"])


def test_network_is_its_description() -> None:
    network, batch = fresh().eval(), images(2).double()
    generator = torch.Generator().manual_seed(1)
    for key, tensor in network.state_dict().items():
        if "bn" in key and tensor.is_floating_point():
            # Norms that are not the identity, and branches that do not drown what came before.
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    network.double()
    with torch.no_grad():
        torch.testing.assert_close(network(batch), described(network.state_dict(), batch))


def test_answers_depend_on_the_image_alone() -> None:
    network, batch = fresh(7, in_chans=1).eval(), images(3, 1, 28)
    with torch.no_grad():
        logits = network(batch)
        assert logits.shape == (3, 7)
        torch.testing.assert_close(network(batch[:1])[0], logits[0], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits[0], logits[1], rtol=1e-3)


def test_training_step_reaches_every_weight() -> None:
    network = fresh().train()
    functional.cross_entropy(network(images(2)), torch.tensor([3, 1])).backward()
    silent = [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum()]
    assert silent == []


def test_shortcut_averages_and_pads_behind() -> None:
    block, batch = Bottleneck(2, 3, 2), images(1, 2, 5)
    answer = block.shortcut(batch)
    expected = torch.zeros(1, 12, 3, 3)
    for y in range(3):
        for x in range(3):
            expected[:, :2, y, x] = batch[:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((2, 3))
    torch.testing.assert_close(answer, expected)
    assert block(batch).shape == answer.shape
    assert torch.equal(Bottleneck(8, 3, 1).shortcut(images(1, 8))[:, :8], images(1, 8))


def test_initial_weights_are_those_of_the_released_code() -> None:
    network = fresh()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            # The standard error of a standard deviation is σ / sqrt(2n); six of them.
            assert abs(float(module.weight.detach().std()) / expected - 1) < 6 / (2 * module.weight.numel()) ** 0.5
    head = network.get_submodule("fc")
    assert isinstance(head, nn.Linear)
    # torch's own: uniform within 1 / sqrt(fan-in), the bias too.
    assert 0 < float(head.bias.detach().abs().max()) <= head.in_features**-0.5
    assert float(head.weight.detach().abs().max()) <= head.in_features**-0.5


def test_bfloat16_autocast_is_near_float32() -> None:
    network, batch = fresh().train(), images(4)
    exact = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(batch)
    assert rough.dtype is torch.bfloat16
    # bfloat16 keeps 8 bits, and 110 layers add their roundings up.
    assert (rough.float() - exact).abs().max() < 0.1 * exact.std() + 0.1
