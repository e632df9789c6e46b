"""What every training method keeps, run over the whole table: a new entry is tested on arrival.

The star is "labels follow pixels": every image has the flat colour of its own target, so the mean colour of whatever a
method feeds the network must be the target it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_msda import augmentations
from robustbench_msda.augmentations import AUGMENTATIONS, base
from robustbench_msda.augmentations.base import Augmentation, mixed
from robustbench_msda.augmentations.cutmix import CutMix, box_around, cutmix
from robustbench_msda.augmentations.mixup import Mixup
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

TEXTS = [
    *AUGMENTATIONS,
    "mixup(alpha=0.2)",
    "mixup(alpha=0)",
    "cutmix(alpha=0.2)",
    "cutout(size=5)",
    "dropmix(0.3, of=mixup)",
    "dropmix(0.3, of=cutout)",
    "dropmix(0.5, of=dropmix(0.5, of=cutmix(alpha=0.5)))",
]
# Methods whose labels follow another rule than their pixels, and the reason.
LABELS_STAY = {"cutout": "a hole shows no other class, so Cutout leaves the labels as they are"}
FOLLOWING = [
    text for text in TEXTS if LABELS_STAY.keys().isdisjoint(re.findall(r"\w+(?=\()", augmentations.canonical(text)))
]
SHAPES = [(2, 16, 16), (3, 16, 12), (5, 9, 16), (8, 12, 16)]
SEEDS = range(12)


class ChannelMeans(nn.Module):
    """A network whose logits are the mean colour of each image; it keeps what it was fed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels, 1, 1), 1 / channels))
        self.fed: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.fed.append(images)
        return images.mean((2, 3))


def run(
    method: Augmentation, batch: Batch, *key: str | int
) -> tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Return the loss, all images the network was fed and every (logits, targets) the criterion was given."""
    model = ChannelMeans(batch.images.shape[1])
    asked: list[tuple[Tensor, Tensor]] = []

    def criterion(logits: Tensor, targets: Tensor) -> Tensor:
        asked.append((logits, targets))
        return (logits - targets).square().sum() + (torch.arange(logits.numel()) * logits.flatten()).sum()

    return method.loss(model, batch, criterion, stream("test", *key)), model.fed, asked


def flat_batch(n: int, height: int, width: int) -> Batch:
    """Return ``n`` images of ``n`` classes, each of the flat colour of its one-hot target."""
    targets = torch.eye(n)
    images = targets[:, :, None, None].expand(n, n, height, width).contiguous()
    return Batch(images, targets, torch.arange(n))


def textured_batch(n: int, height: int, width: int) -> Batch:
    """Return ``n`` images of noise with black and white pixels, and soft targets."""
    generator = torch.Generator().manual_seed(n)
    images = (torch.rand(n, 3, height, width, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    targets = torch.rand(n, 3, generator=generator).softmax(1)
    return Batch(images, targets, torch.arange(n))


def check_labels_follow_pixels(method: Augmentation, n: int, height: int, width: int) -> None:
    for seed in SEEDS:
        _, fed, asked = run(method, flat_batch(n, height, width), "flat", seed)
        assert asked
        assert len(fed) == len(asked)
        for logits, targets in asked:
            torch.testing.assert_close(logits, targets, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n", "height", "width"), SHAPES)
@pytest.mark.parametrize("text", FOLLOWING)
def test_labels_follow_pixels(text: str, n: int, height: int, width: int) -> None:
    check_labels_follow_pixels(augmentations.parse(text), n, height, width)


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in FOLLOWING])
def test_labels_of_the_exceptions_stay(text: str) -> None:
    batch = flat_batch(6, 16, 12)
    for seed in SEEDS:
        _, fed, asked = run(augmentations.parse(text), batch, "stay", seed)
        assert torch.equal(asked[0][1], batch.targets)
        changed = (fed[0] != batch.images).any(1).sum((1, 2))
        assert int(changed.max()) <= 16 * 12


def test_the_exceptions_are_few_and_in_the_table() -> None:
    assert set(LABELS_STAY) <= set(AUGMENTATIONS)
    assert len(FOLLOWING) >= len(AUGMENTATIONS) - len(LABELS_STAY)


class DrawnShare(CutMix):
    """CutMix whose labels get the λ that was drawn, not the share that was pasted: a common bug."""

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        height, width = batch.images.shape[-2:]
        lam = float(rng.beta(self.alpha, self.alpha))
        box = box_around(height, width, lam, int(rng.integers(height)), int(rng.integers(width)))
        partner = base.draw_partner(batch, rng)
        return mixed(batch, cutmix(batch.images, partner, box)[0], partner, lam)


BUGS = {
    "swapped": lambda targets, partner, lam: (1 - lam) * targets + lam * targets[partner],
    "inverted partner": lambda targets, partner, lam: lam * targets + (1 - lam) * targets[partner.argsort()],
    "labels left alone": lambda targets, partner, lam: targets,
    "half": lambda targets, partner, lam: (targets + targets[partner]) / 2,
    "off by a hundredth": lambda targets, partner, lam: lam * 0.99 * targets + (1 - lam * 0.99) * targets[partner],
}


@pytest.mark.parametrize("method", [Mixup(), CutMix()])
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_the_label_share_is_caught(monkeypatch: pytest.MonkeyPatch, method: Augmentation, bug: str) -> None:
    check_labels_follow_pixels(method, 5, 16, 12)
    monkeypatch.setattr(base, "mix_targets", BUGS[bug])
    with pytest.raises(AssertionError):
        check_labels_follow_pixels(method, 5, 16, 12)


def test_a_drawn_share_in_place_of_the_pasted_one_is_caught() -> None:
    with pytest.raises(AssertionError):
        check_labels_follow_pixels(DrawnShare(), 5, 16, 12)


@pytest.mark.parametrize(("n", "height", "width"), SHAPES)
@pytest.mark.parametrize("text", TEXTS)
def test_the_batch_is_left_untouched(text: str, n: int, height: int, width: int) -> None:
    batch = textured_batch(n, height, width)
    images, targets = batch.images.clone(), batch.targets.clone()
    for seed in SEEDS:
        run(augmentations.parse(text), batch, "untouched", seed)
        assert torch.equal(batch.images, images)
        assert torch.equal(batch.targets, targets)


@pytest.mark.parametrize(("n", "height", "width"), SHAPES)
@pytest.mark.parametrize("text", TEXTS)
def test_targets_are_distributions_and_images_stay_in_range(text: str, n: int, height: int, width: int) -> None:
    batch = textured_batch(n, height, width)
    for seed in SEEDS:
        loss, fed, asked = run(augmentations.parse(text), batch, "range", seed)
        assert loss.shape == ()
        for images in fed:
            assert images.shape[1:] == batch.images.shape[1:]
            assert images.dtype == torch.float32
            assert 0 <= float(images.min()) <= float(images.max()) <= 1
        for _, targets in asked:
            assert float(targets.min()) >= 0
            torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))


def losses(text: str, keys: Iterator[int] | range) -> list[float]:
    return [float(run(augmentations.parse(text), textured_batch(5, 16, 12), "chance", key)[0]) for key in keys]


@pytest.mark.parametrize("text", TEXTS)
def test_all_chance_comes_from_the_argument(text: str) -> None:
    first = losses(text, SEEDS)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert losses(text, SEEDS) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in {"vanilla", "mixup(alpha=0)"}])
def test_other_draws_give_another_loss(text: str) -> None:
    assert len(set(losses(text, SEEDS))) > 1
