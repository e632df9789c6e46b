from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustbench_msda.augmentations.puzzlemix import (
    PuzzleMix,
    Weights,
    binomial_prior,
    cell_saliency,
    grids,
    mask_energy,
    patch_grid,
    pooled_side,
    puzzle,
)
from robustbench_msda.augmentations.puzzlemix_solver import ITERATIONS, Energy, best_masks
from robustbench_msda.errors import UserError
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN: Mapping[str, NDArray[np.generic]] = dict(np.load(Path(__file__).parents[1] / "golden" / "puzzlemix.npz"))
WEIGHTS = Weights(1.2, 0.5, 0.2)
CYCLE = torch.tensor([1, 2, 0])


def as_images(pixels: NDArray[np.generic]) -> Tensor:
    return torch.tensor(pixels).permute(0, 3, 1, 2) / 255


def cell_costs(energy: Energy) -> Tensor:
    """Return (B, n, n, 3) the costs of z = 1, ½ and 0 in every cell."""
    nothing, half, all_of_it = energy.prior
    middle = (energy.first + energy.second) / 2
    return torch.stack([energy.second + all_of_it, middle + half, energy.first + nothing], 3)


def energy_of(energy: Energy, masks: Tensor) -> Tensor:
    costs = cell_costs(energy).gather(3, (2 - 2 * masks).long()[..., None])
    down = energy.vertical * (masks[:, 1:] - masks[:, :-1]).square()
    right = energy.horizontal * (masks[:, :, 1:] - masks[:, :, :-1]).square()
    return costs.sum((1, 2, 3)) + down.sum((1, 2)) + right.sum((1, 2))


def check_costs(energy: Energy, cells: NDArray[np.generic], vertical: NDArray[np.generic], horizontal: object) -> None:
    """The authors' costs are ours, times 1000 n² and cut off to integers."""
    scale = 1000 * cells.shape[1] ** 2
    for ours, theirs in (
        (cell_costs(energy), cells),
        (energy.vertical, vertical),
        (energy.horizontal, horizontal),
    ):
        rest = ours[: len(cells)].numpy() * scale - theirs
        assert -0.01 <= rest.min() <= rest.max() <= 1.01


def textured(count: int, height: int, width: int, channels: int = 3) -> tuple[Batch, Tensor]:
    """Return images with soft targets, and a saliency of theirs."""
    rng = stream("test", "puzzlemix", count, height, width)
    images = torch.tensor(rng.random((count, channels, height, width))).float()
    targets = torch.tensor(rng.dirichlet(np.ones(4), count)).float()
    saliency = torch.tensor(rng.lognormal(0, 1.5, (count, height, width))).float()
    return Batch(images, targets, torch.arange(count)), saliency


class Linear(nn.Module):
    """A network with batch statistics; it counts its passes."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.norm, self.head, self.modes = nn.BatchNorm2d(3), nn.Linear(3 * side * side, 4), list[bool]()

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        scores: Tensor = self.head(self.norm(images).flatten(1))
        return scores


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_costs_are_the_authors(n: int) -> None:
    images, saliency = as_images(GOLDEN["images"]), torch.tensor(GOLDEN["saliency"])
    energy = mask_energy(images, CYCLE, cell_saliency(saliency, n, n), 0.5, WEIGHTS)
    check_costs(energy, GOLDEN[f"cells_{n}"], GOLDEN[f"vertical_{n}"], GOLDEN[f"horizontal_{n}"])


@pytest.mark.parametrize("lam", [0.3, 0.5])
@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_masks_are_the_authors_or_cheaper(n: int, lam: float) -> None:
    images, saliency = as_images(GOLDEN["images"]), torch.tensor(GOLDEN["saliency"])
    energy = mask_energy(images, CYCLE, cell_saliency(saliency, n, n), lam, WEIGHTS)
    masks = best_masks(energy, ITERATIONS[n])
    theirs = torch.cat([torch.tensor(GOLDEN[f"mask_{n}_{lam}"]) / 2, masks[2:]])
    assert float((energy_of(energy, masks) - energy_of(energy, theirs)).max()) < 1e-5
    assert float((masks == theirs)[:2].float().mean()) >= 0.95


@pytest.mark.parametrize("n", [4, 16])
def test_mixed_images_are_the_authors(n: int) -> None:
    images, saliency = as_images(GOLDEN["images"]), torch.tensor(GOLDEN["saliency"])
    mask = torch.tensor(GOLDEN[f"mask_{n}_0.5"]) / 2
    mixed = PuzzleMix().assemble(images, CYCLE, saliency, torch.cat([mask, mask[:1]]))
    np.testing.assert_allclose(mixed[:2].numpy(), GOLDEN[f"mixed_{n}"] / 510, atol=1e-5)


def test_the_whole_reference(reference: Path) -> None:
    """Costs and energies at all λ, mixed images with and without transport; masks agree for 97 % of cells or more."""
    folder = reference / "data" / "gold" / "augment"
    gold = dict(np.load(folder / "puzzlemix.npz"))
    cases = [c for c in json.loads((folder / "puzzlemix_cases.json").read_text())["cases"] if c["n_labels"] == 3]
    images, saliency = as_images(gold["images_uint8"]), torch.tensor(gold["saliency"])
    partner = torch.tensor(gold["indices"])
    mean, deviation = (torch.tensor(gold[name])[:, None, None] for name in ("mean", "std"))
    agreement, gaps = [], []
    for case in cases:
        n, key = case["block_num"], case["key"]
        energy = mask_energy(images, partner, cell_saliency(saliency, n, n), case["lam"], WEIGHTS)
        theirs, masks = torch.tensor(gold[f"{key}_mask"]), best_masks(energy, ITERATIONS[n])
        gaps.append(energy_of(energy, masks) - energy_of(energy, theirs))
        agreement.append((masks == theirs).float().mean())
        if not case["transport"]:
            check_costs(energy, gold[f"{key}_unary"], gold[f"{key}_pwx"], gold[f"{key}_pwy"])
        if case["lam"] == 0.5:
            method = PuzzleMix(xi=case["t_eps"] or 1e9, patch=case["t_size"] or 4)
            ours = (method.assemble(images, partner, saliency, theirs) - mean) / deviation
            np.testing.assert_allclose(ours.numpy(), gold[f"{key}_mixed_normalized"], atol=1e-5)
    assert len(cases) == 32
    assert float(torch.cat(gaps).max()) < 1e-4
    assert float(torch.cat(gaps).mean()) < -1e-4  # the authors' graph cut is approximate and rounds its costs
    assert float(torch.stack(agreement).mean()) > 0.98
    assert float(torch.stack(agreement).min()) > 0.93


def test_without_smoothness_and_prior_the_more_salient_cell_wins() -> None:
    batch, saliency = textured(6, 16, 16)
    partner = torch.tensor([1, 2, 3, 4, 5, 0])
    cells = cell_saliency(saliency, 4, 4)
    masks = best_masks(mask_energy(batch.images, partner, cells, 0.7, Weights(0.0, 0.0, 0.0)), 400)
    assert float((masks == (cells > cells[partner])).float().mean()) > 0.98


@pytest.mark.parametrize(("lam", "label"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_strong_prior_decides(lam: float, label: float) -> None:
    batch, saliency = textured(6, 16, 16)
    partner = torch.tensor([1, 2, 3, 4, 5, 0])
    energy = mask_energy(batch.images, partner, cell_saliency(saliency, 4, 4), lam, Weights(1.2, 0.5, 50.0))
    assert best_masks(energy, 100).unique().tolist() == [label]


def test_the_share_of_the_first_image_grows_with_lam() -> None:
    batch, saliency = textured(16, 32, 32)
    partner = torch.arange(16).roll(1)
    cells = cell_saliency(saliency, 8, 8)
    shares = [
        float(best_masks(mask_energy(batch.images, partner, cells, lam, WEIGHTS), 120).mean())
        for lam in (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] > 0.8


def test_turning_pairs_round_turns_masks_round() -> None:
    batch, saliency = textured(2, 32, 24)
    energy = mask_energy(batch.images, torch.tensor([1, 0]), cell_saliency(saliency, 8, 8), 0.5, WEIGHTS)
    masks = best_masks(energy, 2000)
    assert torch.equal(masks[0], 1 - masks[1])


def test_transposed_images_have_transposed_costs() -> None:
    batch, saliency = textured(3, 24, 16)
    one = mask_energy(batch.images, CYCLE, cell_saliency(saliency, 4, 4), 0.3, WEIGHTS)
    other = mask_energy(batch.images.mT, CYCLE, cell_saliency(saliency.mT, 4, 4), 0.3, WEIGHTS)
    torch.testing.assert_close(one.first, other.first.mT)
    torch.testing.assert_close(one.second, other.second.mT)
    torch.testing.assert_close(one.vertical, other.horizontal.mT)
    torch.testing.assert_close(one.horizontal, other.vertical.mT)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_the_prior_is_binomial(lam: float) -> None:
    probabilities = np.exp(-np.array(binomial_prior(lam))) - 1e-8
    np.testing.assert_allclose(probabilities, [(1 - lam) ** 2, 2 * lam * (1 - lam), lam**2], atol=1e-12)


def test_saliency_of_cells_is_their_share() -> None:
    saliency = torch.tensor([[[1.0, 3.0, 0.0, 0.0], [2.0, 2.0, 0.0, 8.0]], [[0.0] * 4] * 2])
    torch.testing.assert_close(
        cell_saliency(saliency, 1, 2), torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]]]), atol=1e-7, rtol=0
    )
    assert cell_saliency(1e-30 * saliency, 2, 2).sum() == pytest.approx(2)


@pytest.mark.parametrize(
    ("height", "width", "cells", "patch", "grid"),
    [
        (32, 32, 4, 4, (8, 8)),
        (32, 32, 8, 4, (8, 8)),
        (32, 32, 16, 4, (16, 16)),
        (12, 12, 2, 4, (2, 2)),
        (8, 8, 2, 4, (2, 2)),
        (16, 32, 2, 4, (4, 8)),
        (224, 224, 16, 2, (112, 112)),
        (224, 224, 16, 4, (16, 16)),
    ],
)
def test_the_grid_of_transport(height: int, width: int, cells: int, patch: int, grid: tuple[int, int]) -> None:
    assert patch_grid(height, width, cells, patch) == grid


def test_windows_and_grids_divide() -> None:
    assert [pooled_side(side) for side in (1, 2, 3, 4, 5, 6, 7, 8, 14)] == [1, 2, 3, 4, 1, 3, 1, 4, 2]
    assert grids(32, 32) == [2, 4, 8, 16]
    assert grids(28, 28) == [2, 4]
    assert grids(8, 12) == [2, 4]
    assert grids(9, 16) == []


def test_patches_go_where_the_plan_says() -> None:
    images = torch.arange(2.0 * 4 * 6).reshape(2, 1, 4, 6) / 48
    plans = torch.tensor([[3, 1, 2, 0], [0, 1, 2, 3]]), torch.tensor([[0, 1, 0, 3], [0, 1, 2, 3]])
    mask = torch.tensor([[[1.0, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.5, 1.0]]])
    mixed = puzzle(images, torch.tensor([1, 0]), mask, plans)
    first, second = images[0, 0], images[1, 0]
    assert torch.equal(mixed[0, 0, :2, :3], first[2:, 3:])
    torch.testing.assert_close(mixed[0, 0, :2, 3:], (first[:2, 3:] + second[:2, 3:]) / 2)
    assert torch.equal(mixed[0, 0, 2:, :3], second[:2, :3])
    assert torch.equal(mixed[1, 0, :2, :3], first[:2, :3])
    assert torch.equal(mixed[1, 0, :2, 3:], second[:2, 3:])


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_half_shown_places_take_salient_patches_of_the_second_image(share: float) -> None:
    """The mask hides the right half of the second image: its salient patch there comes to the left, even to a ½."""
    images = textured(2, 8, 8)[0].images
    saliency = torch.ones(2, 8, 8)
    saliency[:, :2, 4:6] = 40
    mask = torch.ones(2, 4, 4)
    mask[0, :, :2] = share
    mixed = PuzzleMix(patch=8).assemble(images, torch.tensor([1, 0]), saliency, mask)
    expected = share * images[0, :, :2, 2:4] + (1 - share) * images[1, :, :2, 4:6]
    torch.testing.assert_close(mixed[0, :, :2, 2:4], expected)
    assert torch.equal(mixed[0, :, :, 4:], images[0, :, :, 4:])


@pytest.mark.parametrize(
    ("count", "channels", "height", "width"),
    [(1, 3, 32, 32), (5, 1, 8, 8), (3, 3, 16, 24), (7, 3, 28, 28), (2, 3, 6, 10)],
)
def test_batches_of_every_shape(count: int, channels: int, height: int, width: int) -> None:
    batch, saliency = textured(count, height, width, channels)
    copies = batch.images.clone(), batch.targets.clone(), saliency.clone()
    for key in range(8):
        mixed = PuzzleMix().mix(batch, saliency, stream("test", "shapes", key))
        assert mixed.images.shape == batch.images.shape
        assert mixed.images.dtype == torch.float32
        assert 0 <= float(mixed.images.min()) <= float(mixed.images.max()) <= 1
        torch.testing.assert_close(mixed.targets.sum(1), torch.ones(count))
        assert float(mixed.targets.min()) >= 0
    for before, after in zip(copies, (batch.images, batch.targets, saliency), strict=True):
        assert torch.equal(before, after)


def test_labels_follow_pixels_and_shares_differ_in_a_batch() -> None:
    count = 6
    targets = torch.eye(count)
    batch = Batch(targets[:, :, None, None].expand(-1, -1, 16, 16).contiguous(), targets, torch.arange(count))
    saliency, differ = textured(count, 16, 16)[1], 0
    for key in range(12):
        mixed = PuzzleMix().mix(batch, saliency, stream("test", "labels", key))
        torch.testing.assert_close(mixed.images.mean((2, 3)), mixed.targets)
        differ += len(mixed.targets.amax(1).unique()) > 1
    assert differ > 6


@pytest.mark.parametrize("saliency", [0.0, 1e-30])
def test_images_without_saliency_are_mixed_too(saliency: float) -> None:
    batch, _ = textured(4, 16, 16)
    mixed = PuzzleMix().mix(batch, torch.full((4, 16, 16), saliency), stream("test", "flat"))
    assert bool(mixed.images.isfinite().all())
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(4))


def test_the_saliency_pass_leaves_the_network_as_it_was() -> None:
    model, (batch, _) = Linear(8), textured(6, 8, 8)
    loss = PuzzleMix().loss(model, batch, cross_entropy, stream("test", "pass"))
    assert model.modes == [False, True]
    assert model.training
    assert int(model.norm.num_batches_tracked or 0) == 1
    assert all(parameter.grad is None for parameter in model.parameters())
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not batch.images.requires_grad


def test_all_chance_comes_from_the_argument() -> None:
    batch, saliency = textured(6, 16, 16)
    state = torch.get_rng_state()
    one, again, other = (PuzzleMix().mix(batch, saliency, stream("test", key)).images for key in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_odd_sides_are_refused() -> None:
    model = nn.Identity()
    assert PuzzleMix().refusal(model, (28, 32)) is None
    assert "9x16" in str(PuzzleMix().refusal(model, (9, 16)))
    batch, _ = textured(2, 9, 16)
    with pytest.raises(UserError, match="expected images whose height and width are even, found side 9x16"):
        PuzzleMix().loss(model, batch, cross_entropy, stream("test"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("alpha", 0.0), ("beta", -1.0), ("gamma", 1.5), ("eta", -0.1), ("xi", float("nan")), ("patch", 0)],
)
def test_fields_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {field}"):
        PuzzleMix(**{field: value})
