"""One step and one epoch of training against oracles: batches, targets, rates, the optimiser, averages, replicas."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from training_runs import NETWORKS, plain_network, recipe_of

from robustbench_msda import augmentations
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.recipes import Recipe
from robustbench_msda.records import Batch
from robustbench_msda.training import batches, images, loop, state
from robustbench_msda.training.replicas import replicas_of
from robustbench_msda.training.steps import learning_rate, train_step

CPU = torch.device("cpu")


@pytest.fixture
def digits() -> Dataset:
    return open_dataset("digits", Path())


@pytest.fixture
def plain(tmp_path: Path) -> str:
    return plain_network(tmp_path)


def epoch(recipe: Recipe, digits: Dataset, number: int = 0) -> list[list[Batch]]:
    data = images.resident(recipe, [digits], CPU)
    return [whole.batches for whole in batches.epoch_batches(recipe, data, number)]


def joined(pieces: list[list[Batch]], field: Callable[[Batch], Tensor]) -> Tensor:
    return torch.cat([field(batch) for step in pieces for batch in step])


def test_an_epoch_shows_every_image_once_with_its_label(digits: Dataset) -> None:
    recipe = recipe_of(crop_padding=0, flip=0.0, batch_size=32)
    pieces = epoch(recipe, digits)
    index = joined(pieces, lambda batch: batch.index)
    assert sorted(index.tolist()) == list(range(160))
    assert joined(pieces, lambda batch: batch.targets).argmax(1).tolist() == digits.labels("train")[index].tolist()
    expected = torch.from_numpy(np.array(digits.images("train")[index])).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(joined(pieces, lambda batch: batch.images), expected)


def test_every_epoch_and_seed_has_its_own_order_and_crops(digits: Dataset) -> None:
    def seen(seed: int, number: int) -> tuple[tuple[int, ...], bytes]:
        pieces = epoch(recipe_of(seed=seed, batch_size=32), digits, number)
        return tuple(joined(pieces, lambda b: b.index).tolist()), joined(pieces, lambda b: b.images).numpy().tobytes()

    runs = [seen(seed, number) for seed, number in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert runs[3] == runs[0]
    assert len({order for order, _ in runs}) == 3


def test_crops_move_images_and_keep_their_labels(digits: Dataset) -> None:
    still = epoch(recipe_of(crop_padding=0, flip=0.0), digits)
    moved = epoch(recipe_of(crop_padding=4, flip=0.5), digits)
    assert torch.equal(joined(still, lambda b: b.index), joined(moved, lambda b: b.index))
    assert torch.equal(joined(still, lambda b: b.targets), joined(moved, lambda b: b.targets))
    changed = (joined(still, lambda b: b.images) != joined(moved, lambda b: b.images)).flatten(1).any(1)
    assert float(changed.float().mean()) > 0.9


@pytest.mark.parametrize(
    ("n", "batch_size", "replicas", "sizes"),
    [
        (160, 64, 1, [64, 64, 32]),
        (160, 53, 1, [53, 53, 53]),  # the last image is alone: batch norm needs two
        (160, 79, 1, [79, 79, 2]),
        (160, 52, 2, [52, 52, 52, 4]),
        (160, 157, 2, [157]),
        (160, 200, 1, [160]),
    ],
)
def test_a_last_batch_too_small_for_batch_norm_is_left_out(
    digits: Dataset, n: int, batch_size: int, replicas: int, sizes: list[int]
) -> None:
    recipe = recipe_of(batch_size=batch_size, replicas=replicas, epochs=4)
    pieces = epoch(recipe, digits, 3)
    assert [sum(len(batch.index) for batch in step) for step in pieces] == sizes
    assert batches.epoch_steps(recipe, n) == len(sizes)
    assert all(len(batch.index) >= 2 for step in pieces for batch in step)
    steps = [step[0].step for step in pieces]
    assert steps == list(range(3 * len(sizes), 4 * len(sizes)))
    assert [step[0].progress for step in pieces] == pytest.approx([step / (4 * len(sizes)) for step in steps])


def test_replicas_split_the_global_batch_evenly(digits: Dataset) -> None:
    together, apart = (epoch(recipe_of(batch_size=30, replicas=replicas), digits) for replicas in (1, 4))
    assert [[len(batch.index) for batch in step] for step in apart][0] == [8, 8, 7, 7]
    assert torch.equal(joined(apart, lambda b: b.index), joined(together, lambda b: b.index))


def test_label_smoothing(digits: Dataset) -> None:
    """The true class gets 1 - ε + ε/K, the others ε/K (Szegedy et al. 2016, §7)."""
    smooth = epoch(recipe_of(label_smoothing=0.1), digits)
    hard = joined(epoch(recipe_of(), digits), lambda b: b.targets)
    assert set(hard.flatten().tolist()) == {0.0, 1.0}
    expected = torch.where(hard == 1, 0.91, 0.01)
    torch.testing.assert_close(joined(smooth, lambda b: b.targets), expected, atol=1e-7, rtol=0)


def rates(recipe: Recipe, steps: int) -> list[float]:
    total = steps * recipe.epochs
    return [learning_rate(recipe, step / total) for step in range(total)]


def test_the_cosine_falls_from_the_rate_to_the_final_one() -> None:
    recipe = recipe_of(lr=0.4, final_lr=0.02, epochs=10)
    assert learning_rate(recipe, 0.0) == 0.4
    assert learning_rate(recipe, 0.5) == pytest.approx(0.21)
    assert learning_rate(recipe, 1.0) == pytest.approx(0.02)
    assert rates(recipe, 7) == pytest.approx([0.02 + 0.19 * (1 + math.cos(math.pi * step / 70)) for step in range(70)])


def test_the_cosine_is_torchs() -> None:
    recipe = recipe_of(lr=0.4, final_lr=0.02, epochs=10)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=70, eta_min=recipe.final_lr)
    expected = []
    for _ in range(70):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates(recipe, 7) == pytest.approx(expected)


def test_warm_up_rises_from_zero_in_a_line_and_then_the_schedule_begins() -> None:
    recipe = recipe_of(lr=0.4, warmup=0.2, epochs=10)
    assert rates(recipe, 10)[:20] == pytest.approx([0.4 * step / 20 for step in range(20)])
    assert learning_rate(recipe, 0.2) == pytest.approx(0.4)
    assert learning_rate(recipe, 0.6) == pytest.approx(0.2)
    steps = recipe_of(lr=0.4, warmup=0.2, schedule="multi_step", milestones=(0.5,))
    assert [learning_rate(steps, at) for at in (0.1, 0.2, 0.49, 0.5)] == pytest.approx([0.2, 0.4, 0.4, 0.04])


@pytest.mark.parametrize(("epochs", "steps"), [(300, 400), (300, 391), (30, 7), (12, 1), (201, 13)])
@pytest.mark.parametrize("milestones", [(1 / 3, 2 / 3), (0.5, 0.75), (0.1 + 0.2, 0.75)])
def test_milestones_take_effect_at_their_first_step(epochs: int, steps: int, milestones: tuple[float, float]) -> None:
    recipe = recipe_of(lr=0.2, epochs=epochs, schedule="multi_step", milestones=milestones, gamma=0.1)
    total = epochs * steps
    first, second = (math.ceil(round(milestone * total, 6)) for milestone in milestones)
    for step, rate in (
        (0, 0.2),
        (first - 1, 0.2),
        (first, 0.02),
        (second - 1, 0.02),
        (second, 0.002),
        (total - 1, 0.002),
    ):
        assert learning_rate(recipe, step / total) == pytest.approx(rate)


def parameters(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def take(run: state.Run, recipe: Recipe, step: list[Batch]) -> None:
    """Take one step on the batches of all replicas."""
    whole = batches.GlobalBatch(step, sum(len(batch.images) for batch in step))
    method = augmentations.parse(recipe.augmentation)
    train_step(run, recipe, method, whole, replicas_of(recipe, 0, CPU))


def losses_of(recipe: Recipe, digits: Dataset) -> float:
    """Return the loss of the first epoch."""
    run, data = state.start(recipe, digits, CPU), images.resident(recipe, [digits], CPU)
    return loop.train_epoch(run, loop.Work(recipe, augmentations.parse("vanilla"), digits, data)).loss


def stepped(recipe: Recipe, digits: Dataset, steps: int) -> tuple[state.Run, list[list[Tensor]], list[list[Batch]]]:
    """Return a run after ``steps`` steps, its parameters before and after each, and the batches."""
    run = state.start(recipe, digits, CPU)
    pieces = epoch(recipe, digits)[:steps]
    run.model.train()
    seen = [parameters(run.model)]
    for step in pieces:
        take(run, recipe, step)
        seen.append(parameters(run.model))
    return run, seen, pieces


@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_sgd_with_momentum_and_weight_decay(digits: Dataset, plain: str, nesterov: bool) -> None:
    recipe = recipe_of(model=plain, lr=0.3, momentum=0.8, weight_decay=0.01, nesterov=nesterov, epochs=2, batch_size=32)
    run, seen, pieces = stepped(recipe, digits, 4)
    moving = [values.clone().requires_grad_(True) for values in seen[0]]
    velocity = [torch.zeros_like(values) for values in moving]
    names = [name for name, _ in run.model.named_parameters()]
    for (batch,), after in zip(pieces, seen[1:], strict=True):
        named = dict(zip(names, moving, strict=True))
        logits = torch.func.functional_call(run.model, named, (batch.images,))
        loss = -(batch.targets * logits.log_softmax(1)).sum(1).mean()
        rate = 0.3 * (1 + math.cos(math.pi * batch.progress)) / 2
        for i, grad in enumerate(torch.autograd.grad(loss, moving)):
            with torch.no_grad():
                decayed = grad + 0.01 * moving[i]
                velocity[i] = 0.8 * velocity[i] + decayed
                moving[i] -= rate * (decayed + 0.8 * velocity[i] if nesterov else velocity[i])
        for ours, theirs in zip(after, moving, strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_the_average_is_an_exponential_one_of_the_weights_after_each_step(digits: Dataset, plain: str) -> None:
    run, seen, _ = stepped(recipe_of(model=plain, ema=0.7, lr=0.3, batch_size=32), digits, 4)
    for kept, *values in zip(parameters(state.kept_model(run)), *seen[1:], strict=True):
        expected = values[0]
        for value in values[1:]:
            expected = 0.7 * expected + 0.3 * value
        torch.testing.assert_close(kept, expected)
    assert not torch.equal(parameters(state.kept_model(run))[0], seen[-1][0])


@pytest.mark.parametrize("norm", [0.01, 1e6])
def test_gradients_are_cut_to_a_norm(digits: Dataset, plain: str, norm: float) -> None:
    """A step of plain descent at rate 1 is the gradient: as long as the norm asked for, or as without one."""
    moved = []
    for asked in (0.0, norm):
        recipe = recipe_of(model=plain, momentum=0.0, weight_decay=0.0, lr=1.0, clip_norm=asked)
        run = state.start(recipe, digits, CPU)
        before = [weight.detach().clone() for weight in run.model.parameters()]
        take(run, recipe, epoch(recipe, digits)[0])
        moved.append(
            torch.cat([(a - b).flatten() for a, b in zip(run.model.parameters(), before, strict=True)]).detach()
        )
    free, cut = moved
    assert float(cut.norm()) == pytest.approx(min(norm, float(free.norm())), rel=1e-4)
    torch.testing.assert_close(cut / cut.norm(), free / free.norm(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_give_the_gradient_of_the_whole_batch(digits: Dataset, plain: str, replicas: int) -> None:
    """Without batch norm, crops and mixing, which act inside a replica, parts of unequal size make no difference."""
    still = {"model": plain, "crop_padding": 0, "flip": 0.0, "batch_size": 32, "lr": 0.2}
    (_, whole, _), (_, parts, _) = (stepped(recipe_of(**still, replicas=n), digits, 5) for n in (1, replicas))
    for ours, theirs in zip(parts[-1], whole[-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_replicas_give_the_loss_of_the_whole_batch(digits: Dataset, plain: str) -> None:
    still = {"model": plain, "crop_padding": 0, "flip": 0.0, "batch_size": 32, "lr": 0.2}
    losses = [losses_of(recipe_of(**still, replicas=n), digits) for n in (1, 2, 3)]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_the_loss_of_an_epoch_is_the_mean_of_its_images(digits: Dataset, plain: str) -> None:
    recipe = recipe_of(model=plain, crop_padding=0, flip=0.0, batch_size=48, lr=1e-12)  # 48, 48, 48, 16
    shown = torch.from_numpy(np.array(digits.images("train"))).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(np.array(digits.labels("train")))
    expected = functional.cross_entropy(state.start(recipe, digits, CPU).model(shown), labels).detach()
    assert losses_of(recipe, digits) == pytest.approx(float(expected), rel=1e-5)


def test_initial_weights_depend_on_the_seed_alone(digits: Dataset) -> None:
    def first(**settings: object) -> list[Tensor]:
        return parameters(state.start(recipe_of(**settings), digits, CPU).model)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    base, same, other = first(), first(augmentation="cutmix(alpha=1.0)", lr=0.3, epochs=7), first(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(base, same, strict=True))
    assert not torch.equal(base[0], other[0])


def test_the_plain_network_has_no_batch_norm(plain: str) -> None:
    assert "BatchNorm" not in NETWORKS
    assert plain.endswith(":plain")


def test_biases_and_norms_do_not_decay_where_weights_alone_do(digits: Dataset) -> None:
    """As timm has it. Without gradients decay is all that moves: what was spared is where it was."""
    moved = {}
    for decayed in ("all", "weights"):
        recipe = recipe_of(model="small_cnn", decayed=decayed, lr=1e-3, momentum=0.0, weight_decay=100.0)
        run = state.start(recipe, digits, CPU)
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.fill_(1.0)
                parameter.grad = torch.zeros_like(parameter)
        run.optimizer.step()
        for name, parameter in run.model.named_parameters():
            moved[decayed, name, parameter.ndim > 1] = round(float(parameter.detach().flatten()[0]), 6)
    assert {value for (decayed, *_), value in moved.items() if decayed == "all"} == {0.9}
    assert {value for (decayed, _, wide), value in moved.items() if decayed == "weights" and wide} == {0.9}
    assert {value for (decayed, _, wide), value in moved.items() if decayed == "weights" and not wide} == {1.0}


def test_warm_up_may_rise_from_a_rate() -> None:
    """FMix's ImageNet: from 0.1 to 0.4 over five of ninety epochs."""
    recipe = recipe_of(lr=0.4, warmup_lr=0.1, warmup=5 / 90, schedule="multi_step", milestones=(1 / 3,), epochs=90)
    found = [learning_rate(recipe, epoch / 90) for epoch in (0, 1, 2.5, 5, 29.99, 30)]
    assert found == pytest.approx([0.1, 0.16, 0.25, 0.4, 0.4, 0.04])
