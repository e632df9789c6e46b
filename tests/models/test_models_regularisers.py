from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers.drop import DropPath
from torch import nn

from robustbench_msda.errors import UserError
from robustbench_msda.models import preact_resnet, pyramidnet, sources, wide_resnet
from robustbench_msda.models.regularisers import DropBlock, ShakeDrop, regularised

# SHA-256 of the names and shapes in the state dicts before these networks had blocks that drop anything.
LAYOUTS = {
    "wrn_16_8": "224f123380727299",
    "wrn_28_2": "115428b8ffbc6a05",
    "wrn_28_10": "5422f24754197392",
    "wrn_40_2": "f81e751648d50087",
    "preact_resnet18": "0398a9d7e8c61c4b",
    "preact_resnet34": "472c6c3c82818d9d",
    "preact_resnet50": "847bf3abc4d5b47f",
}
PYRAMIDNETS = ["pyramidnet110_a64", "pyramidnet200_a240", "pyramidnet272_a200"]
EVERY = {"drop_path": 0.25, "drop_block": 0.1}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def fresh(name: str, **options: float) -> nn.Module:
    torch.manual_seed(3)
    return sources.build(name, 10, options)


def layout(network: nn.Module) -> str:
    lines = [f"{key} {tuple(tensor.shape)}" for key, tensor in network.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def layers(network: nn.Module, kind: type[nn.Module]) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if isinstance(module, kind)}


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    side=st.integers(1, 5),
    rate=st.floats(0.01, 0.6),
    seed=st.integers(0, 2**32),
)
def test_what_drop_block_drops_is_a_union_of_blocks(height: int, width: int, side: int, rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    dropped = DropBlock(rate, side)(torch.ones(2, 3, height, width)) == 0
    side = min(side, height, width)
    covered = torch.zeros_like(dropped)
    for y in range(height - side + 1):
        for x in range(width - side + 1):
            whole = dropped[:, :, y : y + side, x : x + side].all(-1).all(-1)
            covered[:, :, y : y + side, x : x + side] |= whole[:, :, None, None]
    assert torch.equal(covered, dropped)


@pytest.mark.parametrize(("side", "length"), [(1, 6), (3, 8), (4, 8), (4, 16)])
def test_drop_block_draws_its_seeds_at_the_rate_of_the_paper(side: int, length: int) -> None:
    rate, n = 0.1, 4000
    gamma = rate / side**2 * length**2 / (length - side + 1) ** 2
    dropped = (DropBlock(rate, side)(torch.ones(n, 1, length, length)) == 0).float().mean((0, 1))
    for y, x in ((0, 0), (0, length // 2), (length // 2, length // 2)):
        # The corners of blocks that cover a position: none reaches over the edge.
        ways = [min(at, length - side) - max(at - side + 1, 0) + 1 for at in (y, x)]
        expected = 1 - (1 - gamma) ** (ways[0] * ways[1])
        assert abs(float(dropped[y, x]) - expected) < 5 * (expected * (1 - expected) / n) ** 0.5


def test_drop_block_preserves_the_mean_and_scales_what_is_left_evenly() -> None:
    images = torch.rand(64, 8, 16, 16) + 1
    answer = DropBlock(0.1)(images)
    kept = answer != 0
    assert 0.5 < kept.float().mean() < 0.97
    torch.testing.assert_close(answer[kept], images[kept] * (kept.numel() / kept.sum()))
    ones = DropBlock(0.1)(torch.ones(64, 8, 16, 16))
    assert abs(float(ones.mean()) - 1) < 1e-4
    assert (kept[0, 0] != kept[0]).any()
    assert (kept[0, 0] != kept[:, 0]).any()


def test_drop_block_counts_positions_in_bfloat16_too() -> None:
    answer = DropBlock(0.1)(torch.ones(32, 8, 16, 16, dtype=torch.bfloat16))
    assert answer.dtype is torch.bfloat16
    assert abs(float(answer.float().mean()) - 1) < 2**-8


def test_drop_block_on_a_map_smaller_than_its_block_drops_channels() -> None:
    answer = DropBlock(0.25)(torch.ones(2000, 2, 2, 3))
    assert (answer[:, :, :, 1] == 0).float().mean() > 0.25
    channels = DropBlock(0.25)(torch.ones(2000, 2, 2, 2))
    assert torch.equal((channels == 0).all(-1).all(-1), (channels == 0).any(-1).any(-1))
    assert abs(float((channels == 0).float().mean()) - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5
    nothing = DropBlock(1 - 1e-12)(torch.ones(1, 2, 2, 2))
    assert torch.equal(nothing, torch.zeros(1, 2, 2, 2))


def shaken(rate: float = 1 - 1e-9, n: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    branch = torch.randn(n, 2, 3, 3, requires_grad=True)
    gradient = torch.randn(n, 2, 3, 3)
    answer = ShakeDrop(rate)(branch)
    answer.backward(gradient)
    assert branch.grad is not None
    return branch.detach(), answer.detach(), gradient, branch.grad


def test_shaken_branch_is_scaled_by_alpha_and_its_gradient_by_an_independent_beta() -> None:
    branch, answer, gradient, arrived = shaken()
    alpha = (answer * branch).sum((1, 2, 3)) / branch.square().sum((1, 2, 3))
    beta = (arrived * gradient).sum((1, 2, 3)) / gradient.square().sum((1, 2, 3))
    torch.testing.assert_close(answer, alpha[:, None, None, None] * branch)
    torch.testing.assert_close(arrived, beta[:, None, None, None] * gradient)
    n = len(alpha)
    for factor, low, high in ((alpha, -1.0, 1.0), (beta, 0.0, 1.0)):
        # Kolmogorov-Smirnov: samples of the uniform distribution are farther from it once in 1500.
        share = (factor.sort().values - low) / (high - low)
        assert (share - torch.arange(1, n + 1) / n).abs().max() < 2 / n**0.5
    assert torch.corrcoef(torch.stack([alpha, beta]))[0, 1].abs() < 4 / n**0.5


def test_open_gate_leaves_branch_and_gradient_alone() -> None:
    branch, answer, gradient, arrived = shaken(rate=1e-9, n=4)
    assert torch.equal(answer, branch)
    assert torch.equal(arrived, gradient)


def test_gate_is_drawn_once_a_batch_at_its_rate_and_the_mean_is_what_evaluation_scales_by() -> None:
    layer, ones, n = ShakeDrop(0.3), torch.ones(8, 1, 1, 1), 4000
    answers = torch.stack([layer(ones).flatten() for _ in range(n)])
    scaled = answers != 1
    assert torch.equal(scaled.any(1), scaled.all(1))
    assert abs(float(scaled.any(1).float().mean()) - 0.3) < 4 * (0.3 * 0.7 / n) ** 0.5
    evaluated = layer.eval()(ones)
    torch.testing.assert_close(evaluated, torch.full_like(ones, 0.7))
    # var(b + α − bα) = (1 − p) + p / 3 − (1 − p)² per batch.
    assert (answers.mean(0) - 0.7).abs().max() < 4 * ((0.7 + 0.1 - 0.49) / n) ** 0.5


def test_shake_drop_keeps_the_type_under_autocast() -> None:
    branch = torch.ones(4, 1, 2, 2, dtype=torch.bfloat16, requires_grad=True)
    answer = ShakeDrop(1 - 1e-9)(branch)
    answer.sum().backward()
    assert branch.grad is not None
    assert answer.dtype is branch.grad.dtype is torch.bfloat16


def test_rates_rise_linearly_to_the_last_block() -> None:
    with torch.device("meta"):
        network = sources.build("pyramidnet110_a64", 10, {"drop_path": 0.36, "shake_drop": 0.5})
    paths = [layer.drop_prob for layer in layers(network, DropPath).values()]
    shakes = [layer.rate for layer in layers(network, ShakeDrop).values()]
    assert paths == pytest.approx([0.01 * number for number in range(1, 37)])
    assert shakes == pytest.approx([0.5 * number / 36 for number in range(1, 37)])


def test_drop_block_is_in_the_last_two_stages_only() -> None:
    with torch.device("meta"):
        found = {
            name: {key.split(".")[0] for key in layers(sources.build(name, 10, {"drop_block": 0.1}), DropBlock)}
            for name in ("pyramidnet110_a64", "wrn_28_2", "preact_resnet18")
        }
    assert found == {
        "pyramidnet110_a64": {"layer2", "layer3"},
        "wrn_28_2": {"block2", "block3"},
        "preact_resnet18": {"layer3", "layer4"},
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_networks_keep_their_state_dict(name: str) -> None:
    with torch.device("meta"):
        assert layout(sources.build(name, 10, {})) == LAYOUTS[name]
        assert layout(sources.build(name, 10, EVERY)) == LAYOUTS[name]


@pytest.mark.parametrize("name", PYRAMIDNETS)
def test_pyramidnets_have_one_state_dict(name: str) -> None:
    with torch.device("meta"):
        assert layout(sources.build(name, 10, {})) == layout(sources.build(name, 10, {**EVERY, "shake_drop": 0.5}))


@pytest.mark.parametrize("name", ["wrn_28_2", "preact_resnet18", "pyramidnet110_a64"])
def test_networks_drop_while_training_only(name: str) -> None:
    plain, dropping = fresh(name), fresh(name, **EVERY)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        before = torch.get_rng_state()
        trained = plain(images)
        assert torch.equal(torch.get_rng_state(), before)
        answers = []
        for seed in (1, 1, 2):
            dropping.load_state_dict(plain.state_dict())
            torch.manual_seed(seed)
            answers.append(dropping(images))
        assert torch.equal(answers[0], answers[1])
        assert not torch.equal(answers[0], answers[2])
        assert not torch.equal(answers[0], trained)
        dropping.load_state_dict(plain.state_dict())
        assert torch.equal(dropping.eval()(images), plain.eval()(images))


@pytest.mark.parametrize(
    "block",
    [
        wide_resnet.WideBlock(8, 8, 1),
        preact_resnet.BasicBlock(8, 8, 1),
        preact_resnet.Bottleneck(8, 2, 1),
        pyramidnet.Bottleneck(8, 2, 1),
    ],
)
def test_block_without_its_branch_is_its_shortcut(block: nn.Module) -> None:
    images = torch.randn(4, 8, 4, 4)
    assert not torch.equal(block(images), images)
    block.drop = DropBlock(1 - 1e-12)
    assert torch.equal(block(images), images)


class Add(nn.Module):
    """A block whose residual branch is its input."""

    def __init__(self) -> None:
        super().__init__()
        self.drop: nn.Module = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = images + self.drop(images)
        return answer


def adder() -> nn.Sequential:
    names = {f"layer{number}": nn.Sequential(Add(), Add()) for number in (1, 2)}
    network = nn.Sequential()
    for name, stage in names.items():
        network.add_module(name, stage)
    return network


@pytest.mark.parametrize(
    ("rates", "evaluated"),
    [
        ((0.4, 0.0, 0.0), 2.0**4),
        # Every block l of 4 adds 1 − 0.4 l / 4 of what comes in.
        ((0.0, 0.0, 0.4), 1.9 * 1.8 * 1.7 * 1.6),
    ],
)
def test_mean_of_many_draws_is_the_answer_of_evaluation(rates: tuple[float, float, float], evaluated: float) -> None:
    network = regularised(adder(), *rates)
    n = 2000
    draws = torch.stack([network(torch.ones(1, 1, 1, 1)) for _ in range(n)])
    assert abs(float(draws.mean()) - evaluated) < 4 * float(draws.std()) / n**0.5
    assert float(network.eval()(torch.ones(1, 1, 1, 1))) == pytest.approx(evaluated)


def test_stochastic_depth_draws_for_every_image() -> None:
    answers = regularised(adder(), 0.5, 0.0)(torch.ones(64, 2, 1, 1))
    assert torch.equal(answers[:, 0], answers[:, 1])
    assert len(answers[:, 0].unique()) > 2


@pytest.mark.parametrize("option", ["drop_path", "drop_block", "shake_drop"])
@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan"), "much"])
def test_rates_outside_their_range_are_refused(option: str, rate: float | str) -> None:
    with torch.device("meta"), pytest.raises(UserError, match="pyramidnet110_a64") as caught:
        sources.build("pyramidnet110_a64", 10, {option: rate})
    assert rate == "much" or f"expected {option} in [0, 1), got {rate}" in str(caught.value)


def test_networks_without_a_batch_norm_behind_the_branch_have_no_shake_drop() -> None:
    with pytest.raises(UserError, match="no option 'shake_drop'; it takes in_chans, drop_path, drop_block$"):
        sources.build("wrn_28_2", 10, {"shake_drop": 0.5})
