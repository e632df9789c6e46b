from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_msda.augmentations.alternate import Alternate
from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.augmentations.cutmix import CutMix
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.augmentations.stochastic_mixup_cutmix import StochasticMixupCutMix
from robustbench_msda.augmentations.unbounded_mixup import UnboundedMixup
from robustbench_msda.errors import UserError
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream
from robustbench_msda.training.losses import soft_cross_entropy

BATCH = Batch(torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.eye(4), torch.arange(4))


class Flat(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :4]


@pytest.mark.parametrize("step", range(6))
def test_methods_take_turns_by_the_step_of_the_run(step: int) -> None:
    expected = (Mixup(), CutMix())[step % 2]
    batch = replace(BATCH, step=step)
    found = Alternate(Mixup(), CutMix()).loss(Flat(), batch, soft_cross_entropy, stream("test", step))
    assert torch.equal(found, expected.loss(Flat(), batch, soft_cross_entropy, stream("test", step)))


def test_one_that_takes_turns_itself_does_so_at_its_own_turns() -> None:
    class Named(Augmentation):
        def __init__(self, name: str) -> None:
            self.name = name

        def loss(self, *_: object) -> torch.Tensor:
            turns.append(self.name)
            return torch.zeros(())

    turns: list[str] = []
    method = Alternate(Named("a"), Alternate(Named("b"), Named("c")))
    for step in range(8):
        method.loss(Flat(), replace(BATCH, step=step), soft_cross_entropy, stream("test", step))
    assert "".join(turns) == "abacabac"


def test_a_refusal_inside_is_a_refusal() -> None:
    from robustbench_msda import augmentations

    model = torch.nn.Identity()
    for text in ("alternate(mixup, manifold_mixup)", "dropmix(0.5, of=alternate(manifold_mixup, mixup))"):
        reason = augmentations.parse(text).refusal(model, (8, 8))
        assert reason is not None
        assert reason.startswith("manifold_mixup needs")
    assert augmentations.parse("dropmix(0.5, of=alternate(fmix, mixup))").refusal(model, (8, 8)) is None


def test_what_is_no_method_is_refused() -> None:
    from robustbench_msda import augmentations

    with pytest.raises(UserError, match="expected an augmentation such as second=cutmix, got 0.5"):
        augmentations.parse("alternate(mixup, 0.5)")


def binary(mixed: Batch) -> bool:
    """Return whether every pixel is that of one of the images."""
    return bool((mixed.images[:, None] == BATCH.images[None]).all(2).any(1).all())


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_batch_is_mixup_or_cutmix_as_often_as_asked(probability: float) -> None:
    method = StochasticMixupCutMix(cutmix_prob=probability)
    shares = []
    for key in range(400):
        found = method.mix(BATCH, stream("test", key))
        unmixed = torch.equal(found.images, BATCH.images)
        shares += [] if unmixed else [binary(found)]
    spread = 4 * np.sqrt(probability * (1 - probability) / len(shares))
    assert np.mean(shares) == pytest.approx(probability, abs=spread + 1e-9)


@pytest.mark.parametrize("bound", [0.75, 0.2])
def test_unbounded_shares_are_uniform_about_zero(bound: float) -> None:
    lams = []
    for key in range(600):
        mixed = UnboundedMixup(bound).mix(BATCH, stream("test", key))
        rng = stream("test", key)
        lam, partner = rng.uniform(-bound, bound), rng.permutation(4)
        torch.testing.assert_close(mixed.images, lam * BATCH.images + (1 - lam) * BATCH.images[partner])
        torch.testing.assert_close(mixed.targets, max(lam, 0) * torch.eye(4) + min(1 - lam, 1) * torch.eye(4)[partner])
        lams.append(lam)
    assert np.std(lams) == pytest.approx(bound / 3**0.5, rel=0.1)
