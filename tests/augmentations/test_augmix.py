from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.augmentations.augmix import AugMix, augmix
from robustbench_msda.augmentations.chains import OPERATIONS, Chains, magnitudes_of, run_chains
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN = Path(__file__).parents[1] / "golden"
METHODS = [
    AugMix(),
    AugMix(js_weight=0.0, views=1),
    AugMix(views=1),
    AugMix(severity=1.0, width=1, depth=2, views=3),
    AugMix(severity=10.0, width=4, depth=4),
]


def published(seed: int, severity: int) -> tuple[Chains, Tensor, Tensor]:
    """Return the chains, weights and share of ``augment_and_mix``, drawn in its order from NumPy's legacy stream."""
    state = np.random.RandomState(seed)
    weights, share = np.float32(state.dirichlet([1.0] * 3)), np.float32(state.beta(1.0, 1.0))
    names, levels, signs = np.full((3, 3), "identity", "<U16"), np.ones((3, 3)), np.ones((3, 3))
    for chain in range(3):
        for step in range(state.randint(1, 4)):
            name = names[chain, step] = OPERATIONS[state.choice(len(OPERATIONS))]
            if name not in {"autocontrast", "equalize"}:
                levels[chain, step] = state.uniform(0.1, severity)
            if name.startswith(("rotate", "shear", "translate")) and state.uniform() > 0.5:
                signs[chain, step] = -1.0
    chains = Chains(names, magnitudes_of(names, levels, signs, (32, 32)))
    return chains, torch.from_numpy(weights)[:, None], torch.tensor([share])


def remade(image: NDArray[np.uint8], seed: int, severity: int) -> NDArray[np.float64]:
    """Return our picture of the published draws, (H, W, C) in grey levels."""
    chains, weights, share = published(seed, severity)
    images = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    chained = run_chains(images, chains).unflatten(0, (3, 1))
    return augmix(images, chained, weights, share)[0].permute(1, 2, 0).double().numpy() * 255


@pytest.mark.parametrize("severity", [1, 3])
def test_the_picture_is_the_authors(severity: int) -> None:
    golden = np.load(GOLDEN / "augmix_32.npz")
    seed = json.loads((GOLDEN / "augmix_32.json").read_text())["seeds"][str(severity)]
    ours = remade(golden["image"], seed, severity)
    assert np.abs(ours - golden[f"severity{severity}"] / 16).max() < 0.25
    assert np.abs(ours - golden["image"]).max() > 5


@pytest.mark.parametrize("image", range(5))
@pytest.mark.parametrize("severity", [1, 3])
def test_the_picture_is_the_authors_in_the_whole_reference(reference: Path, severity: int, image: int) -> None:
    folder = reference / "data" / "gold" / "augment"
    gold, notes = np.load(folder / "augmix_ops.npz"), json.loads((folder / "augmix_ops.json").read_text())
    theirs = gold[f"augment_and_mix_severity{severity}_image{image}_normalized_float32"]
    theirs = (theirs * np.array(notes["STD"]) + np.array(notes["MEAN"])) * 255
    ours = remade(gold["images"][image], 50_000 + 10 * image + severity, severity)
    difference = np.abs(ours - theirs)
    # Operations may differ from Pillow's by one grey level, which a later one can amplify in a few pixels.
    assert difference.mean() < 0.02
    assert (difference > 1).mean() < 0.005
    assert difference.max() < 3


def random_case(width: int, views: int, n: int, seed: int) -> Mapping[str, Tensor]:
    rng = np.random.default_rng(seed)
    rows = views * n
    return {
        "images": torch.from_numpy(rng.random((n, 3, 4, 5))).float(),
        "chained": torch.from_numpy(rng.integers(0, 256, (width, rows, 3, 4, 5), dtype=np.uint8)),
        "weights": torch.from_numpy(rng.dirichlet(np.ones(width), rows).T).float(),
        "share": torch.from_numpy(rng.beta(1, 1, rows)).float(),
    }


@given(width=st.integers(1, 4), views=st.integers(1, 3), n=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_mix_is_algorithm_1(width: int, views: int, n: int, seed: int) -> None:
    case = random_case(width, views, n, seed)
    images, chained, weights, share = (case[key].double().numpy() for key in ("images", "chained", "weights", "share"))
    result = augmix(**case).numpy()
    assert result.shape == (views * n, 3, 4, 5)
    for row in range(views * n):
        mix = sum(weights[i, row] * chained[i, row] / 255 for i in range(width))
        expected = (1 - share[row]) * images[row % n] + share[row] * mix
        np.testing.assert_allclose(result[row], expected, atol=1e-6)


@given(width=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_mix_lies_between_the_image_and_the_chains(width: int, seed: int) -> None:
    case = random_case(width, 2, 3, seed)
    hull = torch.cat([case["images"].repeat(2, 1, 1, 1)[None], case["chained"] / 255])
    result = augmix(**case)
    assert bool((result >= hull.amin(0) - 1e-6).all())
    assert bool((result <= hull.amax(0) + 1e-6).all())


def test_share_nothing_is_the_clean_image_and_share_one_the_chains() -> None:
    case = random_case(3, 2, 3, 0)
    clean = augmix(case["images"], case["chained"], case["weights"], torch.zeros(6))
    assert torch.equal(clean, case["images"].repeat(2, 1, 1, 1))
    one_chain = torch.tensor([0.0, 1.0, 0.0])[:, None].expand(3, 6)
    chains = augmix(case["images"], case["chained"], one_chain, torch.ones(6))
    torch.testing.assert_close(chains, case["chained"][1] / 255)


def test_white_stays_white() -> None:
    """Weights that sum to a little more than 1 in float32 do not leave the range."""
    weights = torch.full((3, 2), 0.3333334)
    assert float(weights.sum(0).max()) > 1
    images = torch.ones(2, 1, 1, 1)
    result = augmix(images, torch.full((3, 2, 1, 1, 1), 255, dtype=torch.uint8), weights, torch.ones(2))
    assert float(result.max()) <= 1
    torch.testing.assert_close(result, images)


def test_depths_are_uniform_and_each_chain_has_its_own() -> None:
    depths = AugMix().draw_depths(9000, stream("test", "depths"))
    assert set(depths.tolist()) == {1, 2, 3}
    assert all(abs(int((depths == depth).sum()) - 3000) < 4 * 44.7 for depth in (1, 2, 3))
    assert (AugMix(depth=2).draw_depths(10, stream("test", "depths")) == 2).all()


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 3, 9, 13), (2, 3, 32, 32)])
def test_views_are_new_images_in_range(method: AugMix, shape: tuple[int, int, int, int]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone()
    views = method.draw_views(images, stream("test", "views"))
    assert views.shape == (method.views * shape[0], *shape[1:])
    assert views.dtype == torch.float32
    assert 0 <= float(views.min()) <= float(views.max()) <= 1
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_row_v_b_is_a_view_of_image_b() -> None:
    """Images of one flat colour: geometric operations blacken, the others keep the colours of an image apart."""
    images = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(3, 3, 32, 32).contiguous()
    views = AugMix(severity=0.3, views=2).draw_views(images, stream("test", "rows")).unflatten(0, (2, 3))
    assert bool((views[:, 0] == 0).all())
    brightness = views.mean((2, 3, 4))
    assert bool((brightness[:, 1] > 0.4).all())
    assert bool((brightness[:, 2] > brightness[:, 1]).all())


def test_the_two_views_differ() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = AugMix().draw_views(images, stream("test", "differ")).split(4)
    assert bool((first != second).flatten(1).any(1).all())


class Counting(nn.Module):
    """A network of mean colours that keeps what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.fed.append(images)
        return 5 * images.mean((2, 3))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_network_is_asked_once(method: AugMix) -> None:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch, model = Batch(images, torch.eye(3), torch.arange(3)), Counting()
    judged: list[Tensor] = []

    def criterion(logits: Tensor, targets: Tensor) -> Tensor:
        judged.append(logits)
        assert torch.equal(targets, batch.targets)
        return (logits - targets).square().mean()

    method.loss(model, batch, criterion, stream("test", "once"))
    (fed,) = model.fed
    assert len(judged) == 1
    views = method.draw_views(images, stream("test", "once"))
    expected = views if method.js_weight == 0 else torch.cat([images, views])
    assert torch.equal(fed, expected)
    torch.testing.assert_close(judged[0], 5 * expected[:3].mean((2, 3)))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"severity": 0.0}, "severity in"),
        ({"width": 0}, "a whole width >= 1"),
        ({"depth": -1}, "a whole depth >= 0"),
        ({"views": 0}, "whole views >= 1"),
        ({"js_weight": 0.0}, "views=1 where js_weight=0"),
    ],
)
def test_fields_are_checked(fields: dict[str, float], expected: str) -> None:
    with pytest.raises(ValueError, match=f"expected {expected}"):
        AugMix(**fields)  # type: ignore[arg-type]  # what a caller may get wrong


def test_a_chain_of_each_operation_is_an_operation_of_the_table() -> None:
    images = 0.2 + 0.5 * torch.rand(len(OPERATIONS), 3, 32, 32, generator=torch.Generator().manual_seed(0))
    names = np.array(OPERATIONS)[:, None]
    magnitudes = magnitudes_of(names, np.full(names.shape, 8.0), np.ones(names.shape), (32, 32))
    rows = run_chains(images, Chains(names, magnitudes))
    changed = (rows != images.mul(255).round().to(torch.uint8)).flatten(1).any(1)
    assert bool(changed.all())
