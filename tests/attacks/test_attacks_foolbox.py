"""Every attack is foolbox's own, to the bit, given the same draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from attack_stimuli import EPSILON, small_network, starts, stimuli
from eagerpy.astensor import astensor
from foolbox import attacks as foolbox_attacks
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor

from robustbench_msda import attacks
from robustbench_msda.attacks.base import perform
from robustbench_msda.streams import stream

# Our text, and the class of foolbox whose defaults it is.
DEFAULTS = {
    "fgsm": foolbox_attacks.LinfFastGradientAttack,
    "pgd(steps=40, rel_stepsize=0.03333333333333333)": foolbox_attacks.LinfProjectedGradientDescentAttack,
    "bim": foolbox_attacks.LinfBasicIterativeAttack,
    "uniform_noise": foolbox_attacks.LinfAdditiveUniformNoiseAttack,
    "deepfool": foolbox_attacks.LinfDeepFoolAttack,
    "l2_fgsm": foolbox_attacks.L2FastGradientAttack,
    "l2_pgd": foolbox_attacks.L2ProjectedGradientDescentAttack,
    "l2_bim": foolbox_attacks.L2BasicIterativeAttack,
    "l2_uniform_noise": foolbox_attacks.L2AdditiveUniformNoiseAttack,
    "l2_deepfool": foolbox_attacks.L2DeepFoolAttack,
}


def given_draws(monkeypatch: pytest.MonkeyPatch, start: Tensor, epsilon: float) -> None:
    """Make foolbox draw ``start``: it asks for noise in [-1, 1], for a start in [-ε, ε], or for a point of a ball."""

    def uniform(x0: object, shape: tuple[int, ...], low: float, high: float) -> object:
        assert (shape, low, high) == (tuple(start.shape), -epsilon, epsilon)
        return astensor(start * high)

    def noise(self: object, shape: tuple[int, ...], low: float, high: float) -> object:
        assert (shape, low, high) == (tuple(start.shape), -1, 1)
        return astensor(start)

    monkeypatch.setattr("foolbox.attacks.gradient_descent_base.ep.uniform", uniform)
    monkeypatch.setattr("eagerpy.tensor.pytorch.PyTorchTensor.uniform", noise)
    ball = "foolbox.attacks.gradient_descent_base.uniform_l2_n_balls"
    monkeypatch.setattr(ball, lambda x0, n, size: astensor(start.reshape(n, size)))


@pytest.mark.parametrize("epsilon", [0.001, EPSILON, 0.5])
@pytest.mark.parametrize("text", DEFAULTS)
def test_every_attack_is_foolboxs_own_given_the_same_draws(
    monkeypatch: pytest.MonkeyPatch, text: str, epsilon: float
) -> None:
    model, (images, _) = small_network(), stimuli()
    # One image is wrong before it is attacked.
    labels = torch.where(torch.arange(6) == 2, 0, model(images).argmax(1))
    attack = attacks.parse(text)
    start = starts(attack)
    given_draws(monkeypatch, start, epsilon)
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, theirs, _ = DEFAULTS[text]()(wrapped, images, Misclassification(labels), epsilons=epsilon)
    ours = perform(attack, model, images, labels, epsilon, start)
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, images)
    if start.numel() and epsilon > 0.01:
        assert not torch.equal(ours, perform(attack, model, images, labels, epsilon, -start))


def test_our_start_in_the_l2_ball_is_foolboxs_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    from foolbox.attacks.gradient_descent_base import uniform_l2_n_balls

    point = stream("test", "start", 0).standard_normal(3 * 8 * 8 + 2)
    normal: Callable[..., object] = lambda _, shape: astensor(torch.from_numpy(point.reshape(shape)))  # noqa: E731
    monkeypatch.setattr("foolbox.attacks.gradient_descent_base.ep.normal", normal)
    theirs = uniform_l2_n_balls(astensor(torch.zeros(1)), 1, 192).numpy()
    ours = starts(attacks.parse("l2_pgd"), 1).numpy()
    np.testing.assert_allclose(ours.reshape(1, -1), theirs, rtol=1e-6)
