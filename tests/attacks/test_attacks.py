from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from attack_stimuli import EPSILON, gradient, small_network, starts, stimuli
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda import attacks
from robustbench_msda.attacks import ATTACKS
from robustbench_msda.attacks.base import Attack, change, check_ball, perform, rounding
from robustbench_msda.attacks.deepfool import DeepFool
from robustbench_msda.attacks.gradient import BIM, FGSM, L2PGD, PGD
from robustbench_msda.attacks.noise import UniformNoise
from robustbench_msda.streams import stream

# AutoAttack is not installed where tests run.
TEXTS = [*(name for name in ATTACKS if "autoattack" not in name), "pgd(steps=3, rel_stepsize=0.5)"]
NOISES = ["uniform_noise", "l2_uniform_noise"]
DEEPFOOLS = ["deepfool", "l2_deepfool"]


@pytest.fixture(scope="module")
def model() -> Iterator[nn.Module]:
    """A small network, frozen, as ``network`` returns them; no attack may change it."""
    made = small_network()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    yield made
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    assert not made.training
    assert all(parameter.grad is None for parameter in made.parameters())


def run(text: str, model: nn.Module, epsilon: float = EPSILON) -> Tensor:
    attack = attacks.parse(text)
    return perform(attack, model, *stimuli(), epsilon, starts(attack))


@pytest.mark.parametrize("epsilon", [1 / 255, EPSILON, 0.5])
def test_fgsm_is_a_step_along_the_sign_of_the_gradient(model: nn.Module, epsilon: float) -> None:
    images, labels = stimuli()
    expected = (images + epsilon * gradient(model, images, labels).sign()).clamp(0, 1)
    assert torch.equal(run("fgsm", model, epsilon), expected)


@pytest.mark.parametrize(
    ("text", "steps"), [("pgd(steps=7, rel_stepsize=0.25)", 7), ("bim(steps=4, rel_stepsize=0.3)", 4)]
)
def test_pgd_and_bim_agree_with_a_loop_to_the_bit(model: nn.Module, text: str, steps: int) -> None:
    """Madry et al. 2018: x <- clip(project(x + step · sign(gradient))); BIM starts at the image itself."""
    images, labels = stimuli()
    attack = attacks.parse(text)
    step = attack.rel_stepsize * EPSILON  # type: ignore[attr-defined]
    start = starts(attack)
    moved = (images + EPSILON * start).clamp(0, 1) if start.numel() else images
    for _ in range(steps):
        moved = moved + step * gradient(model, moved, labels).sign()
        moved = (images + (moved - images).clamp(-EPSILON, EPSILON)).clamp(0, 1)
    assert torch.equal(run(text, model), moved)


def test_l2_pgd_agrees_with_a_loop(model: nn.Module) -> None:
    images, labels = stimuli()
    start = starts(L2PGD())
    moved = (images + 0.5 * start).clamp(0, 1)
    for _ in range(5):
        slope = gradient(model, moved, labels)
        moved = moved + 0.5 * 0.2 * slope / slope.flatten(1).norm(dim=1)[:, None, None, None]
        far = (moved - images).flatten(1).norm(dim=1)
        moved = (images + (moved - images) * (0.5 / far).clamp(max=1)[:, None, None, None]).clamp(0, 1)
    torch.testing.assert_close(run("l2_pgd(steps=5, rel_stepsize=0.2)", model, 0.5), moved, rtol=0, atol=1e-6)


def test_noise_is_scaled_by_its_largest_value_not_by_its_largest_size() -> None:
    images = torch.full((1, 1, 2, 2), 0.5)
    draws = torch.tensor([[[[0.5, -1.0], [0.25, -0.25]]]])
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    found = perform(UniformNoise(), network, images, torch.tensor([0]), 0.1, draws)
    # ε / max(p) = 0.2: the lowest draw is at −0.2, which is then clipped to −0.1.
    torch.testing.assert_close(found - 0.5, torch.tensor([[[[0.1, -0.1], [0.05, -0.05]]]]))


@pytest.mark.parametrize("text", DEEPFOOLS)
def test_deepfool_is_clipped_to_every_epsilon_from_one_run(model: nn.Module, text: str) -> None:
    images, labels = stimuli()
    labels = model(images).argmax(1)
    attack = attacks.parse(text)
    found = [attack.run(model, images, labels, epsilon, starts(attack)).images for epsilon in (0.001, 1.0)]
    assert attack.once
    assert torch.equal(*found)
    assert (model(found[0]).argmax(1) != labels).all()
    norm = attack.norm
    ball = float(change(images, found[0], norm).median())
    clipped = perform(attack, model, images, labels, ball, starts(attack))
    near = change(images, found[0], norm) <= ball
    torch.testing.assert_close(clipped[near], found[0][near], rtol=0, atol=1e-6)
    assert 0 < int(near.sum()) < len(images)


def test_deepfool_leaves_what_is_wrong_already(model: nn.Module) -> None:
    images, labels = stimuli()
    wrong = (model(images).argmax(1) + 1) % 5
    assert torch.equal(perform(DeepFool(), model, images, wrong, 1.0, starts(DeepFool())), images)
    assert not DeepFool().run(model, images, wrong, 1.0, starts(DeepFool())).flat.any()  # type: ignore[union-attr]
    mixed = torch.where(torch.arange(6) < 3, wrong, model(images).argmax(1))
    found = perform(DeepFool(), model, images, mixed, 1.0, starts(DeepFool()))
    assert ((found != images).flatten(1).any(1) == (torch.arange(6) >= 3)).all()


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=10, deadline=None)
@given(epsilon=st.floats(1e-4, 1.0))
def test_attacked_images_stay_in_the_ball_and_in_range(model: nn.Module, text: str, epsilon: float) -> None:
    images, labels = stimuli()
    norm = attacks.parse(text).norm
    attacked = run(text, model, epsilon)
    assert attacked.shape == images.shape
    assert attacked.dtype == torch.float32
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    delta = check_ball(images, attacked, epsilon, norm)
    assert not attacked.requires_grad
    size = (attacked - images).double().flatten(1)
    expected = size.abs().amax(1) if norm == "linf" else size.norm(dim=1)
    torch.testing.assert_close(delta.double(), expected, rtol=1e-6, atol=0)
    assert float(expected.max()) <= epsilon + rounding(images[0].numel(), norm)
    if norm == "linf" and text not in DEEPFOOLS:
        assert float(delta.min()) > 0.9 * min(epsilon, 0.5)


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in NOISES])
def test_attacks_raise_the_loss_of_what_is_right(model: nn.Module, text: str) -> None:
    images, _ = stimuli()
    labels = model(images).argmax(1)
    attack = attacks.parse(text)
    attacked = perform(attack, model, images, labels, EPSILON, starts(attack))
    before, after = (functional.cross_entropy(model(x), labels, reduction="none") for x in (images, attacked))
    assert (after > before).all()


@pytest.mark.parametrize("text", TEXTS)
def test_epsilon_zero_changes_nothing(model: nn.Module, text: str) -> None:
    assert torch.equal(run(text, model, 0.0), stimuli()[0])


@pytest.mark.parametrize("text", TEXTS)
def test_no_chance_but_the_start_and_no_trace_of_it(model: nn.Module, text: str) -> None:
    images, labels = stimuli()
    kept_images, kept_labels = images.clone(), labels.clone()
    torch.manual_seed(3)
    numpy_state = str(np.random.get_state())  # noqa: NPY002
    state = torch.get_rng_state()
    first = run(text, model)
    assert torch.equal(torch.get_rng_state(), state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002
    torch.manual_seed(4)
    assert torch.equal(run(text, model), first)
    attack = attacks.parse(text)
    perform(attack, model, images, labels, EPSILON, starts(attack))
    assert torch.equal(images, kept_images)
    assert torch.equal(labels, kept_labels)


@pytest.mark.parametrize("text", TEXTS)
def test_an_image_is_attacked_alike_in_any_company(model: nn.Module, text: str) -> None:
    attack = attacks.parse(text)
    images, labels = stimuli()
    start = starts(attack)
    alone = torch.cat(
        [perform(attack, model, images[i : i + 2], labels[i : i + 2], EPSILON, start[i : i + 2]) for i in (0, 2, 4)]
    )
    together = run(text, model)
    assert float(((alone - together).abs() > 1e-6).float().mean()) < 0.01


def test_starts_are_uniform_in_units_of_epsilon_and_belong_to_the_image() -> None:
    draws = np.stack([PGD().draw(stream("test", i), (3, 32, 32)) for i in range(20)])
    assert draws.dtype == np.float32
    assert -1 <= draws.min() < -0.999
    assert 0.999 < draws.max() <= 1
    assert abs(draws.mean()) < 0.01
    assert draws.var() == pytest.approx(1 / 3, rel=0.02)
    np.testing.assert_array_equal(PGD().draw(stream("test", 3), (3, 32, 32)), draws[3])


def test_l2_starts_are_uniform_in_the_unit_ball() -> None:
    """The radius to the power of the dimension is uniform; directions are even."""
    draws = np.stack([L2PGD().draw(stream("test", i), (1, 2, 2)) for i in range(2000)]).reshape(2000, 4)
    radius = np.linalg.norm(draws, axis=1)
    assert radius.max() <= 1
    shares = np.histogram(radius**4, bins=10, range=(0, 1))[0] / 2000
    np.testing.assert_allclose(shares, 0.1, atol=0.03)
    assert np.abs(draws.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("attack", [FGSM(), BIM(), DeepFool()])
def test_what_needs_no_chance_draws_none(attack: Attack) -> None:
    rng = stream("test", 3)
    assert attack.draw(rng, (3, 32, 32)).size == 0
    assert rng.random() == stream("test", 3).random()


class Counted(nn.Module):
    """A network that counts its forward and backward passes, an image each."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += len(images)
        if images.requires_grad:
            self.passes += 2 * len(images)
        logits: Tensor = self.network(images)
        return logits


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in DEEPFOOLS])
def test_the_passes_an_image_costs_are_what_is_estimated(model: nn.Module, text: str) -> None:
    attack, counted = attacks.parse(text), Counted(model).eval()
    perform(attack, counted, *stimuli(), EPSILON, starts(attack))
    # The answer to the result is asked by predict.
    assert counted.passes / 6 + 1 == attack.passes


@pytest.mark.parametrize(
    ("move", "epsilon"), [(0.05, EPSILON), (-0.05, EPSILON), (float("nan"), EPSILON), (0.9, 1.0), (-0.9, 1.0)]
)
def test_what_left_the_ball_or_the_range_is_refused(move: float, epsilon: float) -> None:
    images = torch.full((2, 3, 4, 4), 0.5)
    attacked = images.clone()
    attacked[1, 2, 3, 3] += move
    with pytest.raises(ValueError, match="expected images in"):
        check_ball(images, attacked, epsilon)


def test_the_largest_change_of_each_image_is_kept() -> None:
    images = torch.full((2, 3, 4, 4), 0.5)
    attacked = images.clone()
    attacked[0, 0, 0, 0] += 0.01
    attacked[1, 1, 1, 1] -= 0.02
    torch.testing.assert_close(check_ball(images, attacked, EPSILON), torch.tensor([0.01, 0.02]))


@pytest.mark.parametrize(
    ("steps", "rel_stepsize"), [(0, 0.1), (-1, 0.1), (2.0, 0.1), (3, 0.0), (3, -0.1), (3, float("nan"))]
)
def test_fields_are_checked(steps: int, rel_stepsize: float) -> None:
    for attack in (PGD, BIM, L2PGD):
        with pytest.raises(ValueError, match="expected"):
            attack(steps, rel_stepsize)


@pytest.mark.parametrize(
    "fields", [(0, 10, 0.02), (2.0, 10, 0.02), (50, 1, 0.02), (50, 10, -0.1), (50, 10, float("nan"))]
)
def test_the_fields_of_deepfool_are_checked(fields: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DeepFool(*fields)


def test_the_l2_change_is_measured_in_l2() -> None:
    images = torch.full((1, 3, 4, 4), 0.5)
    moved = images + 0.01
    assert float(check_ball(images, moved, 0.07, "l2")) == pytest.approx(0.01 * 48**0.5)
    with pytest.raises(ValueError, match=r"within 0\.05, got a change of 0\.0692"):
        check_ball(images, moved, 0.05, "l2")
