from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.augmentations.comixup import (
    CoMixup,
    block_saliency,
    carrying,
    clean_pass,
    comixup,
    compatibility,
    salient_places,
)
from robustbench_msda.augmentations.gradients import gradient_saliency, input_gradient
from robustbench_msda.errors import UserError
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


def batch_of(n: int, height: int = 16, width: int = 16, channels: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(n)
    images = torch.rand(n, channels, height, width, generator=generator).to(memory_format=torch.channels_last)
    return Batch(images, torch.eye(n), torch.arange(n))


def saliency_of(n: int, height: int = 16, width: int = 16) -> Tensor:
    """Return a smooth, heavy-tailed saliency."""
    coarse = torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(n)).mul(1.2).exp()
    return functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def network(classes: int, channels: int = 3) -> nn.Module:
    """Return a small network with batch norm, a frozen parameter and one that nothing depends on."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.Tanh(),
            nn.Flatten(),
            nn.LazyLinear(classes),
        )
        model(torch.zeros(2, channels, 16, 16))
        model.register_parameter("idle", nn.Parameter(torch.ones(2)))
    model[0].bias.requires_grad_(False)
    return model


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_block_saliency_is_the_share_of_each_block() -> None:
    saliency = saliency_of(3, 8, 12)
    shares = block_saliency(saliency)
    for image in range(3):
        for block in range(16):
            row, column = divmod(block, 4)
            mass = saliency[image, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3].sum()
            assert float(shares[image, block]) == pytest.approx(float(mass / saliency[image].sum()), rel=1e-4)


def test_no_saliency_is_no_share() -> None:
    assert torch.equal(block_saliency(torch.zeros(2, 8, 8)), torch.zeros(2, 16))


def test_the_most_salient_window_is_found() -> None:
    saliency = torch.zeros(2, 16, 20)
    saliency[0, 3:11, 12:20] = 1
    saliency[1, 8:16, 5:13] = 1
    assert salient_places(saliency).tolist() == [[3, 12], [8, 5]]
    assert salient_places(torch.rand(3, 4, 8)).tolist() == [[0, 0]] * 3


def test_compatibility_is_a_mean_of_the_identity_and_of_distances() -> None:
    places = torch.tensor([[[0.0, 0.0], [3.0, 1.0], [0.0, 2.0]]])
    distance = torch.tensor([[0.0, 4, 2], [4, 0, 4], [2, 4, 0]])
    expected = 0.9 * torch.eye(3) + 0.1 * distance * 3 / 20
    torch.testing.assert_close(compatibility(places, 0.1)[0], expected)
    assert torch.equal(compatibility(torch.ones(1, 4, 2), 0.5)[0], torch.eye(4) / 2)


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 8, 8), (1, 12, 8), (3, 16, 20)])
def test_blocks_show_their_two_images_and_labels_follow(channels: int, height: int, width: int) -> None:
    batch = batch_of(5, height, width, channels)
    pairs = torch.from_numpy(stream("test", "pairs").integers(5, size=(5, 16, 2)))
    images, targets = comixup(batch.images, batch.targets, pairs)
    high, wide = height // 4, width // 4
    for output in range(5):
        label = torch.zeros(5)
        for block in range(16):
            row, column = divmod(block, 4)
            part = (slice(None), slice(row * high, (row + 1) * high), slice(column * wide, (column + 1) * wide))
            one, two = pairs[output, block].tolist()
            expected = (batch.images[one][part] + batch.images[two][part]) / 2
            assert torch.equal(images[output][part], expected)
            label[one] += 1 / 32
            label[two] += 1 / 32
        torch.testing.assert_close(targets[output], label)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_carrying_has_the_value_and_the_gradients_given() -> None:
    first, second, idle = (torch.full((3,), 1e6, requires_grad=True) for _ in range(3))
    given = torch.tensor([1.0, -2.0, 3.0])
    loss = carrying(torch.tensor(0.1), [first, second, idle], [given, -given, None])
    assert torch.equal(loss.detach(), torch.tensor(0.1))
    (5 * loss).backward()
    assert torch.equal(first.grad, 5 * given)  # type: ignore[arg-type]
    assert torch.equal(second.grad, -5 * given)  # type: ignore[arg-type]
    assert idle.grad is None


@pytest.mark.parametrize("clean_weight", [1.0, 0.3])
def test_gradients_are_those_of_the_mixed_plus_the_weighted_clean_loss(clean_weight: float) -> None:
    """Computed plainly: the two losses by two forwards, the clean one first, as batch norm sees them."""
    batch, method = batch_of(6), CoMixup(partition=4, clean_weight=clean_weight)
    ours, plain = network(6), network(6)
    loss = method.loss(ours, batch, functional.cross_entropy, stream("test", "gradients"))
    found = gradients(ours, loss)

    images = batch.images.clone().requires_grad_()
    clean = functional.cross_entropy(plain(images), batch.targets)
    (slope,) = torch.autograd.grad(clean, images, retain_graph=True)
    mixed = method.mixed(batch, gradient_saliency(slope), stream("test", "gradients"))
    total = functional.cross_entropy(plain(mixed.images), mixed.targets) + clean_weight * clean
    expected = gradients(plain, total)

    torch.testing.assert_close(loss, total)
    assert found["idle"] is None
    assert found["0.bias"] is None
    for name in ("0.weight", "1.weight", "1.bias", "4.weight", "4.bias"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], buffer)


def test_the_clean_pass_is_one_forward_in_the_mode_of_the_network() -> None:
    batch, model = batch_of(4), network(4)
    seen: list[bool] = []
    model.register_forward_hook(lambda module, given, answer: seen.append(module.training))
    loss, gradient = clean_pass(model, batch, functional.cross_entropy)
    assert seen == [True]
    assert gradient.shape == batch.images.shape
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not batch.images.requires_grad
    assert loss.requires_grad


def test_without_a_clean_loss_the_saliency_is_of_evaluation_mode() -> None:
    batch, method, model, other = batch_of(5), CoMixup(clean_weight=0.0), network(5), network(5)
    loss = method.loss(model, batch, functional.cross_entropy, stream("test", "zero"))
    saliency = gradient_saliency(input_gradient(other, batch, functional.cross_entropy))
    mixed = method.mixed(batch, saliency, stream("test", "zero"))
    torch.testing.assert_close(loss, functional.cross_entropy(other(mixed.images), mixed.targets))
    assert model[1].num_batches_tracked == other[1].num_batches_tracked


@pytest.mark.parametrize(("n", "partition"), [(1, 20), (5, 20), (7, 3), (6, 3), (5, 4), (4, 1)])
def test_parts_are_mixed_within_themselves(n: int, partition: int) -> None:
    batch = batch_of(n)
    mixed = CoMixup(partition=partition).mixed(batch, saliency_of(n), stream("test", "parts", n))
    part = torch.arange(n) // partition
    assert not mixed.targets[part[:, None] != part].any()
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(n))
    assert torch.equal(mixed.targets * 32, (mixed.targets * 32).round())


def test_parts_of_one_are_left_as_they_are() -> None:
    batch = batch_of(5)
    alone = CoMixup(partition=1).mixed(batch, saliency_of(5), stream("test", "one"))
    assert torch.equal(alone.images, batch.images)
    assert torch.equal(alone.targets, batch.targets)
    last = CoMixup(partition=2).mixed(batch, saliency_of(5), stream("test", "one"))
    assert torch.equal(last.images[4], batch.images[4])
    assert not torch.equal(last.images[:4], batch.images[:4])


def test_outputs_are_as_measured_with_the_authors_solver() -> None:
    """2.4 to 2.5 inputs an output, whose largest share is 0.53 to 0.55; every input covers most of an output.

    So it is on such smooth saliency; on that of a trained network some inputs are hardly shown, by either solver.
    """
    mixed = CoMixup().mixed(batch_of(60), saliency_of(60), stream("test", "many"))
    assert float((mixed.targets > 0).sum(1).float().mean()) == pytest.approx(2.5, abs=0.5)
    assert float(mixed.targets.max(1).values.mean()) == pytest.approx(0.55, abs=0.08)
    assert float(mixed.targets.sum(0).min()) > 0.6
    assert float(mixed.targets.sum(0).max()) < 1.9


def test_outputs_are_more_salient_than_chance() -> None:
    """The saliency that is kept: over one half of an image's in the blocks it covers would be chance at 0.5."""
    batch, saliency = batch_of(40), saliency_of(40)
    mixed = CoMixup().mixed(Batch(saliency[:, None], batch.targets, batch.index), saliency, stream("test", "kept"))
    assert float(mixed.images.sum()) > 1.15 * float(saliency.sum())


def test_without_diversity_outputs_of_a_part_are_the_same() -> None:
    mixed = CoMixup(partition=5, gamma=0.0).mixed(batch_of(10), saliency_of(10), stream("test", "gamma"))
    for part in (0, 5):
        assert all(torch.equal(one, two) for one, two in pairwise(mixed.targets[part : part + 5]))
    assert not torch.equal(mixed.targets[0], mixed.targets[5])


def test_the_prior_favours_some_inputs() -> None:
    """A great weight of the prior shows in every output the input that was drawn the largest."""
    mixed = CoMixup(partition=4, gamma=0.0, eta=1e4).mixed(batch_of(4), saliency_of(4), stream("test", "prior"))
    drawn = stream("test", "prior").dirichlet([2.0] * 4, size=1)[0]
    assert torch.equal(mixed.targets, torch.eye(4)[int(np.argmax(drawn))].expand(4, 4))


@pytest.mark.parametrize("side", [(9, 16), (16, 10), (7, 7)])
def test_sides_that_do_not_divide_are_refused(side: tuple[int, int]) -> None:
    model, batch = network(3), batch_of(3, *side)
    reason = CoMixup().refusal(model, side)
    assert reason is not None
    assert f"found {side[0]}x{side[1]}" in reason
    assert "\n" not in reason
    with pytest.raises(UserError, match="divide by 4"):
        CoMixup().loss(model, batch, functional.cross_entropy, stream("test"))


def test_sides_that_divide_are_welcome() -> None:
    assert CoMixup().refusal(nn.Identity(), (8, 12)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("partition", 0),
        ("partition", 2.0),
        ("beta", -0.1),
        ("gamma", -1.0),
        ("tau", -1.0),
        ("eta", -1.0),
        ("clean_weight", -1.0),
        ("clean_weight", float("nan")),
        ("alpha", 0.0),
        ("omega", 1.5),
    ],
)
def test_fields_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected .*{field}"):
        CoMixup(**{field: value})  # type: ignore[arg-type]
