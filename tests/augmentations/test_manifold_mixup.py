from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from robustbench_msda.augmentations.manifold_mixup import ManifoldMixup, mixed_at
from robustbench_msda.augmentations.mixup import Mixup, mixup
from robustbench_msda.models.names import MODELS
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import build
from robustbench_msda.models.stages import stages
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream
from robustbench_msda.training.losses import soft_cross_entropy

PARTNER = torch.tensor([2, 0, 1])


@pytest.fixture
def model() -> Normalised:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("resnet20", 3, {})
    return Normalised(network, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).eval()


@pytest.fixture
def batch() -> Batch:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.eye(3), torch.arange(3))


def by_hand(model: Normalised, batch: Batch, layer: int, lam: float) -> torch.Tensor:
    """Return the logits of a CIFAR ResNet taken apart, mixed after ``layer`` stages."""
    network = model.network
    hidden = torch.relu(network.bn1(network.conv1((batch.images - model.mean) / model.std)))
    for number, stage in enumerate((network.layer1, network.layer2, network.layer3), 1):
        hidden = stage(hidden)
        if number == layer:
            hidden = lam * hidden + (1 - lam) * hidden[PARTNER]
    return network.linear(hidden.mean((2, 3)))


@pytest.mark.parametrize("layer", [1, 2])
def test_features_are_mixed_after_the_stage(model: Normalised, batch: Batch, layer: int) -> None:
    with torch.no_grad():
        found = mixed_at(model, batch.images, layer, PARTNER, 0.3)
        torch.testing.assert_close(found, by_hand(model, batch, layer, 0.3))
        other = by_hand(model, batch, 3 - layer, 0.3)
    assert not torch.allclose(found, other, atol=1e-4)


def test_layer_zero_is_mixup_bit_for_bit(model: Normalised, batch: Batch) -> None:
    with torch.no_grad():
        assert torch.equal(mixed_at(model, batch.images, 0, PARTNER, 0.3), model(mixup(batch.images, PARTNER, 0.3)))
    key = next(key for key in range(50) if drawn_layer(key) == 0)
    ours = ManifoldMixup(2.0).loss(model, batch, soft_cross_entropy, stream("test", key))
    assert torch.equal(ours, Mixup(2.0).loss(model, batch, soft_cross_entropy, stream("test", key)))


def drawn_layer(key: int) -> int:
    rng = stream("test", key)
    rng.beta(2, 2)
    rng.permutation(3)
    return int(rng.integers(3))


def test_share_one_is_the_identity_and_no_hook_stays(model: Normalised, batch: Batch) -> None:
    with torch.no_grad():
        clean = model(batch.images)
        for layer in range(3):
            torch.testing.assert_close(mixed_at(model, batch.images, layer, PARTNER, 1.0), clean)
        assert torch.equal(model(batch.images), clean)


def test_no_hook_stays_after_an_error(model: Normalised, batch: Batch) -> None:
    with pytest.raises(ValueError, match="channels"):
        mixed_at(model, batch.images[:, :2], 1, PARTNER, 0.5)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_layer_is_drawn_evenly(model: Normalised, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def record(model: nn.Module, images: torch.Tensor, layer: int, *_: object) -> torch.Tensor:
        seen.append(layer)
        return torch.zeros(3, 3, requires_grad=True)

    monkeypatch.setattr("robustbench_msda.augmentations.manifold_mixup.mixed_at", record)
    for key in range(900):
        ManifoldMixup().loss(model, batch, soft_cross_entropy, stream("test", key))
    counts = torch.bincount(torch.tensor(seen), minlength=3)
    assert len(counts) == 3
    assert int((counts - 300).abs().max()) < 60  # four standard deviations


def test_gradients_reach_the_layers_before_the_mixed_one(model: Normalised, batch: Batch) -> None:
    """The gradient in the first convolution is that of the mixing written out."""
    model.train()
    targets = 0.3 * batch.targets + 0.7 * batch.targets[PARTNER]
    found = torch.autograd.grad(
        soft_cross_entropy(mixed_at(model, batch.images, 2, PARTNER, 0.3), targets), model.network.conv1.weight
    )
    expected = torch.autograd.grad(
        soft_cross_entropy(by_hand(model, batch, 2, 0.3), targets), model.network.conv1.weight
    )
    torch.testing.assert_close(found, expected)
    assert float(found[0].abs().max()) > 0


# A network of convolutions only: small_cnn is for demonstrations, and has no stages.
@pytest.mark.parametrize("name", sorted(set(MODELS) - {"small_cnn"}))
def test_our_networks_have_three_stages_or_four(name: str) -> None:
    with torch.device("meta"):
        found = stages(build(name, 10, {}))
    assert len(found) == (4 if name.startswith(("preact", "resnet18")) else 3)


def normalised(name: str) -> Normalised:
    return Normalised(timm.create_model(name, num_classes=4), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).train()


@pytest.mark.parametrize("name", ["twins_pcpvt_small", "crossvit_tiny_240"])
def test_stages_that_do_not_answer_with_one_tensor_are_refused(name: str) -> None:
    """A list of blocks is never called itself; another network's stage answers with two tensors."""
    model = normalised(name)
    side = 240 if "240" in name else 224
    reason = ManifoldMixup().refusal(model, (side, side))
    assert reason is not None
    assert "one tensor" in reason
    assert all(module.training for module in model.modules())


def test_asking_leaves_batch_statistics_alone() -> None:
    model = normalised("resnet10t")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.network.bn1.eval()
    assert ManifoldMixup().refusal(model, (32, 32)) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.network.bn1.training
    assert model.network.layer1.training


OTHERS = {"resnet18": 4, "convnext_atto": 4, "densenet121": 4, "vit_tiny_patch16_224": 12, "legacy_seresnet18": 4}


@pytest.mark.parametrize(("name", "count"), OTHERS.items())
def test_stages_of_other_libraries_are_found(name: str, count: int) -> None:
    with torch.device("meta"):
        assert len(stages(timm.create_model(name))) == count


def test_a_network_without_stages_is_refused() -> None:
    reason = ManifoldMixup().refusal(build("small_cnn", 10, {}), (8, 8))
    assert reason is not None
    assert "found 0" in reason
    assert ManifoldMixup().refusal(Normalised(build("resnet20", 10, {}), (0.5,) * 3, (0.2,) * 3), (8, 8)) is None
