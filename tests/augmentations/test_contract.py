"""What every training method keeps, run over the whole table: a new entry is tested on arrival.

The star is "labels follow pixels": every image has the flat colour of its own target, so the mean colour of whatever a
method feeds the network must be the target it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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
from robustbench_msda.training.losses import soft_cross_entropy

POLICY = Path(__file__).parents[1] / "golden" / "fast_autoaugment_policy.json"
BARE = [name for name in AUGMENTATIONS if name != "fast_autoaugment"]  # which needs a file
TEXTS = [
    *BARE,
    f"fast_autoaugment(policy='{POLICY}')",
    "mixup(alpha=0.2)",
    "mixup(alpha=0)",
    "cutmix(alpha=0.2)",
    "cutout(size=5)",
    "fmix(spectrum='code')",
    "dmixup(k=5, alpha=0.2)",
    "dcutmix(k=2, alpha=1.0)",
    "dcutmix(k=5, alpha=0.2)",
    "hmix(r=0)",
    "hmix(r=1)",
    "hmix(variant='code')",
    "augmix(js_weight=0, views=1)",
    "dynmix(mixing='linear')",
    "dynmix(views=1)",
    "dynmix(js_weight=0, views=1)",
    "autoaugment_star(policy='imagenet')",
    "dropmix(0.3, of=mixup)",
    "dropmix(0.3, of=cutout)",
    "dropmix(0.5, of=dropmix(0.5, of=cutmix(alpha=0.5)))",
    "alternate(cutmix, dropmix(0.5, of=manifold_mixup))",
    "alternate(augmix, alternate(puzzlemix, comixup))",
]
SINGLE = "its picture changes and its class does not"
# Methods whose labels follow another rule than their pixels, and the reason.
LABELS_STAY = {
    "cutout": "a hole shows no other class, so Cutout leaves the labels as they are",
    "adversarial_training": "an attack changes the pixels and means to keep the class",
    "augmix": SINGLE,
    "dynmix": SINGLE,
    "autoaugment_star": SINGLE,
    "random_autoaugment_star": SINGLE,
    "fast_autoaugment": SINGLE,
}
# Those whose labels are a share of the pixels, but for what the reason says.
LABELS_CLAMPED = {"unbounded_mixup": "a share outside [0, 1] is clamped in the label"}
OUT_OF_RANGE = {"unbounded_mixup": "a share outside [0, 1] leaves [0, 1]"}
# Those that cannot take every size: the sides of a grid of blocks.
PICKY = {"puzzlemix": "both sides must be even", "comixup": "both sides must be multiples of 4"}


def names(text: str) -> set[str]:
    return set(re.findall(r"\w+(?=\()", augmentations.canonical(text)))


FOLLOWING = [text for text in TEXTS if names(text).isdisjoint({*LABELS_STAY, *LABELS_CLAMPED})]
STAYING = [text for text in TEXTS if names(text) - {"dropmix"} <= set(LABELS_STAY)]
SHAPES = [(1, 16, 16), (2, 16, 16), (3, 16, 12), (5, 9, 16), (8, 12, 16)]
CASES = [(text, *shape) for text in TEXTS for shape in SHAPES if names(text).isdisjoint(PICKY) or shape != (5, 9, 16)]
SEEDS = range(6)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


class ChannelMeans(nn.Module):
    """A network with two stages whose logits are the mean colour of each image; it keeps what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, 1, 1), 1 / 3))
        self.layer1, self.layer2 = nn.Identity(), nn.Identity()
        self.fed: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:  # not a pass that only asks for saliency or an attack
            self.fed.append(images.detach())
        logits: Tensor = self.layer2(self.layer1(images)).mean((2, 3))
        return logits


def run(
    method: Augmentation, batch: Batch, *key: str | int
) -> tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Return the loss, all images the network was trained on and every (logits, targets) the criterion was given."""
    model = ChannelMeans()
    asked: list[tuple[Tensor, Tensor]] = []

    def criterion(logits: Tensor, targets: Tensor) -> Tensor:
        if model.training:
            asked.append((logits.detach(), targets))
        return (logits - targets).square().sum() + (torch.arange(logits.numel()) * logits.flatten()).sum()

    return method.loss(model, batch, criterion, stream("test", *key)), model.fed, asked


def flat_batch(n: int, height: int, width: int) -> Batch:
    """Return ``n`` images of three classes, each of the flat colour of its one-hot target."""
    targets = torch.eye(3)[torch.arange(n) % 3]
    images = targets[:, :, None, None].expand(n, 3, height, width).contiguous()
    return Batch(images, targets, torch.arange(n), step=n)


def textured_batch(n: int, height: int, width: int, channels: int = 3) -> Batch:
    """Return ``n`` images of noise with black and white pixels, and soft targets."""
    generator = torch.Generator().manual_seed(n)
    images = (torch.rand(n, channels, height, width, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    targets = torch.rand(n, channels, generator=generator).softmax(1)
    return Batch(images, targets, torch.arange(n), step=n)


def check_labels_follow_pixels(method: Augmentation, n: int, height: int, width: int) -> None:
    for seed in SEEDS:
        _, fed, asked = run(method, flat_batch(n, height, width), "flat", seed)
        assert asked
        assert len(fed) == len(asked)
        for logits, targets in asked:
            torch.testing.assert_close(logits, targets, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("text", "n", "height", "width"), [case for case in CASES if case[0] in FOLLOWING])
def test_labels_follow_pixels(text: str, n: int, height: int, width: int) -> None:
    check_labels_follow_pixels(augmentations.parse(text), n, height, width)


@pytest.mark.parametrize("text", STAYING)
def test_labels_of_the_exceptions_stay(text: str) -> None:
    batch = textured_batch(6, 16, 12)
    changed = False
    for seed in SEEDS:
        _, fed, asked = run(augmentations.parse(text), batch, "stay", seed)
        assert torch.equal(asked[0][1], batch.targets)
        changed |= not torch.equal(fed[0][: len(batch.images)], batch.images) or len(fed[0]) > len(batch.images)
    assert changed


def test_a_clamped_label_is_its_partners_where_the_share_is_negative() -> None:
    batch = flat_batch(6, 16, 12)
    shares = set()
    for seed in range(40):
        _, fed, asked = run(augmentations.parse("unbounded_mixup"), batch, "clamped", seed)
        torch.testing.assert_close(fed[0].mean((2, 3)).clamp(0, 1), asked[0][1])
        shares.add(float(fed[0].min()) < 0)
    assert shares == {True, False}


def test_the_exceptions_are_few_and_in_the_table() -> None:
    excepted = {*LABELS_STAY, *LABELS_CLAMPED}
    assert excepted | set(PICKY) <= set(AUGMENTATIONS)
    assert set(FOLLOWING) >= set(AUGMENTATIONS) - excepted


@pytest.mark.parametrize("text", [text for text in TEXTS if not names(text).isdisjoint(PICKY)])
def test_a_size_that_cannot_be_mixed_is_refused_before_the_first_step(text: str) -> None:
    method = augmentations.parse(text)
    assert method.refusal(ChannelMeans(), (16, 12)) is None
    reason = method.refusal(ChannelMeans(), (9, 16))
    assert reason is not None
    assert "9" in reason
    assert "\n" not in reason


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


@pytest.mark.parametrize(("text", "n", "height", "width"), CASES)
def test_the_batch_is_left_untouched(text: str, n: int, height: int, width: int) -> None:
    batch = textured_batch(n, height, width)
    images, targets = batch.images.clone(), batch.targets.clone()
    for seed in SEEDS:
        run(augmentations.parse(text), batch, "untouched", seed)
        assert torch.equal(batch.images, images)
        assert torch.equal(batch.targets, targets)


@pytest.mark.parametrize(("text", "n", "height", "width"), CASES)
def test_targets_are_distributions_and_images_stay_in_range(text: str, n: int, height: int, width: int) -> None:
    batch = textured_batch(n, height, width)
    for seed in SEEDS:
        loss, fed, asked = run(augmentations.parse(text), batch, "range", seed)
        assert loss.shape == ()
        for images in fed:
            assert images.shape[1:] == batch.images.shape[1:]
            assert images.dtype == torch.float32
            if names(text).isdisjoint(OUT_OF_RANGE):
                assert 0 <= float(images.min()) <= float(images.max()) <= 1
        for _, targets in asked:
            assert float(targets.min()) >= 0
            torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))


@pytest.mark.parametrize("text", TEXTS)
def test_autocast_changes_no_image_and_no_target(text: str) -> None:
    """The network's arithmetic may be half as long, that of images may not."""
    batch = textured_batch(6, 16, 12)
    for seed in SEEDS:
        _, fed, asked = run(augmentations.parse(text), batch, "autocast", seed)
        with torch.autocast("cpu", torch.bfloat16):
            _, fed_then, asked_then = run(augmentations.parse(text), batch, "autocast", seed)
        assert all(torch.equal(a, b) for a, b in zip(fed, fed_then, strict=True))
        assert all(torch.equal(a[1], b[1]) for a, b in zip(asked, asked_then, strict=True))


@pytest.mark.parametrize("text", TEXTS)
def test_images_of_one_channel_are_taken(text: str) -> None:
    batch = textured_batch(4, 16, 16, channels=1)
    model = ChannelMeans()
    model.mean = torch.full((1, 1, 1), 0.5)
    loss = augmentations.parse(text).loss(model, batch, lambda logits, _: logits.sum(), stream("one channel"))
    assert loss.isfinite()
    assert all(images.shape[1:] == (1, 16, 16) for images in model.fed)


class Tiny(nn.Module):
    """A network of two stages with weights, batch norm and all."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, 1, 1), 1 / 3))
        self.layer1 = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer2(self.layer1(images)).mean((2, 3))
        return logits


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("text", TEXTS)
def test_every_weight_gets_a_gradient_on_every_device_and_in_bfloat16(
    text: str, device: str, precision: torch.dtype
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Tiny().to(device).train()
    drawn = textured_batch(6, 16, 16)
    batch = replace(drawn, images=drawn.images.to(device), targets=drawn.targets.to(device))
    with torch.autocast(device, torch.bfloat16, enabled=precision == torch.bfloat16):
        loss = augmentations.parse(text).loss(model, batch, soft_cross_entropy, stream("gradient"))
    loss.backward()
    assert loss.dtype == torch.float32
    assert model.training
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def losses(text: str, keys: Iterator[int] | range) -> list[float]:
    return [float(run(augmentations.parse(text), textured_batch(5, 16, 12), "chance", key)[0]) for key in keys]


@pytest.mark.parametrize("text", TEXTS)
def test_all_chance_comes_from_the_argument(text: str) -> None:
    first = losses(text, SEEDS)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert losses(text, SEEDS) == first
    assert torch.equal(torch.get_rng_state(), state)


# The loss of a linear network rises to the same corner of the ball wherever the attack starts.
WITHOUT_CHANCE = {"vanilla", "mixup(alpha=0)", "adversarial_training"}


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in WITHOUT_CHANCE])
def test_other_draws_give_another_loss(text: str) -> None:
    assert len(set(losses(text, SEEDS))) > 1


# Not cutmix nor saliencymix: the border clips a box as large as the image wherever its centre is off the middle.
WITH_ALPHA = ["mixup", "manifold_mixup", "fmix", "hmix", "gmix", "dmixup", "dcutmix", "saliency_dcutmix"]


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_with_a_small_alpha_hardly_anything_is_mixed(name: str) -> None:
    """λ is 0 or 1 then: every image is one of the batch, whole, with its own label."""
    batch = textured_batch(5, 16, 12)
    batch = replace(batch, targets=torch.eye(5)[:, :3])
    unmixed = 0
    for seed in range(40):
        _, fed, asked = run(augmentations.parse(f"{name}(alpha=1e-5)"), batch, "alpha", seed)
        labels, pictures = asked[0][1], fed[0]
        source = [int((batch.images - picture).flatten(1).abs().amax(1).argmin()) for picture in pictures]
        whole = torch.allclose(pictures, batch.images[source], atol=1e-6)
        unmixed += whole and (name == "manifold_mixup" or torch.allclose(labels, batch.targets[source], atol=1e-6))
    assert unmixed >= 39
