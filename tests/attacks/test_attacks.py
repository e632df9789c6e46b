from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from eagerpy.astensor import astensor
from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda import attacks
from robustbench_msda.attacks import ATTACKS
from robustbench_msda.attacks.base import Attack, check_ball
from robustbench_msda.attacks.gradient import FGSM, PGD
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.streams import stream

EPSILON = 8 / 255
TEXTS = [*ATTACKS, "pgd(steps=3, rel_stepsize=0.5)"]


@pytest.fixture(scope="module")
def model() -> Iterator[nn.Module]:
    """A small network, frozen, as ``network`` returns them; no attack may change it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bare = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, 5))
    made = Normalised(bare, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)).eval().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    yield made
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    assert not made.training
    assert all(parameter.grad is None for parameter in made.parameters())


def stimuli(n: int = 6) -> tuple[Tensor, Tensor]:
    """Return images with black and white pixels, where the ball leaves [0, 1], and labels."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(n, 3, 8, 8, generator=generator) * 1.4 - 0.2).clamp(0, 1), torch.arange(n) % 5


def starts(attack: Attack, n: int = 6) -> Tensor:
    return torch.from_numpy(np.stack([attack.draw(stream("test", "start", i), (3, 8, 8)) for i in range(n)]))


def run(text: str, model: nn.Module, epsilon: float = EPSILON) -> Tensor:
    attack = attacks.parse(text)
    return attack.run(model, *stimuli(), epsilon, starts(attack))


def gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the summed cross-entropy with respect to ``images``."""
    leaf = images.clone().requires_grad_(True)
    (grad,) = torch.autograd.grad(functional.cross_entropy(model(leaf), labels, reduction="sum"), leaf)
    return grad


@pytest.mark.parametrize("epsilon", [1 / 255, EPSILON, 0.5])
def test_fgsm_is_a_step_along_the_sign_of_the_gradient(model: nn.Module, epsilon: float) -> None:
    images, labels = stimuli()
    expected = (images + epsilon * gradient(model, images, labels).sign()).clamp(0, 1)
    assert torch.equal(run("fgsm", model, epsilon), expected)


def test_fgsm_is_foolboxs_own(model: nn.Module) -> None:
    images, labels = stimuli()
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, theirs, _ = LinfFastGradientAttack()(wrapped, images, Misclassification(labels), epsilons=EPSILON)
    assert torch.equal(run("fgsm", model), theirs)


@pytest.mark.parametrize(("steps", "rel_stepsize"), [(40, 0.0333), (5, 0.25), (1, 1.0)])
def test_pgd_is_foolboxs_own_given_the_same_draws(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch, steps: int, rel_stepsize: float
) -> None:
    images, labels = stimuli()
    attack = PGD(steps, rel_stepsize)
    start = starts(attack)
    theirs = LinfProjectedGradientDescentAttack(steps=steps, rel_stepsize=rel_stepsize)

    def drawn(x0: object, shape: tuple[int, ...], low: float, high: float) -> object:
        """Stand in for foolbox's uniform draws in [low, high] = [-epsilon, epsilon]."""
        assert (shape, low, high) == (tuple(start.shape), -EPSILON, EPSILON)
        return astensor(start * high)

    monkeypatch.setattr("foolbox.attacks.gradient_descent_base.ep.uniform", drawn)
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, _ = theirs(wrapped, images, Misclassification(labels), epsilons=EPSILON)
    ours = attack.run(model, images, labels, EPSILON, start)
    assert torch.equal(ours, expected)
    assert not torch.equal(ours, attack.run(model, images, labels, EPSILON, -start))


def test_pgd_agrees_with_a_loop(model: nn.Module) -> None:
    """Madry et al. 2018: x <- clip(project(x + step · sign(gradient)))."""
    images, labels = stimuli()
    start = starts(PGD())
    moved = (images + EPSILON * start).clamp(0, 1)
    for _ in range(7):
        moved = moved + 0.25 * EPSILON * gradient(model, moved, labels).sign()
        moved = torch.minimum(torch.maximum(moved, images - EPSILON), images + EPSILON).clamp(0, 1)
    ours = PGD(7, 0.25).run(model, images, labels, EPSILON, start)
    # Where a gradient is nearly zero its sign may differ by rounding: a few pixels of the 1,152.
    assert float((ours - moved).abs().max()) <= 2 * EPSILON
    assert float(((ours - moved).abs() > 1e-6).float().mean()) < 0.01


@pytest.mark.parametrize("epsilon", [1 / 255, EPSILON, 0.3])
@pytest.mark.parametrize("text", TEXTS)
def test_attacked_images_stay_in_the_ball_and_in_range(model: nn.Module, text: str, epsilon: float) -> None:
    images, _ = stimuli()
    attacked = run(text, model, epsilon)
    assert attacked.shape == images.shape
    assert attacked.dtype == torch.float32
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    delta = check_ball(images, attacked, epsilon)
    assert float(delta.min()) > 0.9 * epsilon
    assert not attacked.requires_grad


@pytest.mark.parametrize("text", TEXTS)
def test_attacks_raise_the_loss(model: nn.Module, text: str) -> None:
    images, labels = stimuli()
    before, after = (functional.cross_entropy(model(x), labels, reduction="none") for x in (images, run(text, model)))
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
    attack.run(model, images, labels, EPSILON, starts(attack))
    assert torch.equal(images, kept_images)
    assert torch.equal(labels, kept_labels)


@pytest.mark.parametrize("text", TEXTS)
def test_an_image_is_attacked_alike_in_any_company(model: nn.Module, text: str) -> None:
    attack = attacks.parse(text)
    images, labels = stimuli()
    start = starts(attack)
    alone = torch.cat(
        [attack.run(model, images[i : i + 2], labels[i : i + 2], EPSILON, start[i : i + 2]) for i in (0, 2, 4)]
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
    rng = stream("test", 3)
    assert FGSM().draw(rng, (3, 32, 32)).size == 0
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


@pytest.mark.parametrize("text", TEXTS)
def test_the_passes_an_image_costs_are_what_is_estimated(model: nn.Module, text: str) -> None:
    attack, counted = attacks.parse(text), Counted(model).eval()
    attack.run(counted, *stimuli(), EPSILON, starts(attack))
    # foolbox asks once more what the network says to the result; so does predict.
    assert abs(counted.passes / 6 - attack.passes) <= 1


@pytest.mark.parametrize(
    ("change", "epsilon"), [(0.05, EPSILON), (-0.05, EPSILON), (float("nan"), EPSILON), (0.9, 1.0), (-0.9, 1.0)]
)
def test_what_left_the_ball_or_the_range_is_refused(change: float, epsilon: float) -> None:
    images = torch.full((2, 3, 4, 4), 0.5)
    attacked = images.clone()
    attacked[1, 2, 3, 3] += change
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
    with pytest.raises(ValueError, match="expected"):
        PGD(steps, rel_stepsize)
