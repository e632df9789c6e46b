from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from robustbench_msda.augmentations.fmix import FMix, binarise, code_image, fmix_mask, low_frequency_image
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fmix_masks.json").read_text())
SHARES = [0.1, 0.3, 0.5, 0.7, 0.9]
Array = NDArray[np.float64]


def masks_by_seed(side: int, lam: float, seed: int, count: int) -> list[Array]:
    """Return the masks of the authors' code after both of its global generators got ``seed``."""
    noise, coin, found = np.random.RandomState(seed), random.Random(seed), []
    for _ in range(count):
        grey = code_image((side, side), 3.0, noise)
        noise.standard_normal((side - 2) * (side // 2 + 1) * 2)  # the code draws these and never looks at them
        found.append(binarise(grey, lam, coin.random() > 0.5))
    return found


def unpacked(packed: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.unpackbits(packed).reshape(side, side)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['side']}-{case['lam']}")
def test_masks_of_the_code_are_the_authors_bit_for_bit(case: dict) -> None:
    golden = [unpacked(np.frombuffer(bytes.fromhex(bits), np.uint8), case["side"]) for bits in case["masks"]]
    ours = masks_by_seed(case["side"], case["lam"], case["seed"], len(golden))
    np.testing.assert_array_equal(ours, golden)


def rows_of(reference: Path, variant: str) -> list[dict[str, str]]:
    with (reference / "data" / "gold" / "augment" / "fmix_stats.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["variant"] == variant]
    assert len(rows) == 10
    return rows


def test_masks_of_the_code_are_the_authors_in_the_whole_reference(reference: Path) -> None:
    golden = np.load(reference / "data" / "gold" / "augment" / "fmix_sample_masks_reference.npz")
    for row in rows_of(reference, "reference_code"):
        side, lam = int(row["size"]), float(row["lam"])
        theirs = [unpacked(packed, side) for packed in golden[f"m{side}_lam{lam}"]]
        np.testing.assert_array_equal(masks_by_seed(side, lam, int(row["seed"]), 100), theirs)


def statistics(masks: NDArray[np.float32]) -> dict[str, Array]:
    """Return of every mask its mean, its transitions a row and a column, and its 4-connected shapes."""
    return {
        "mean_of_mask": masks.mean((1, 2), dtype=np.float64),
        "transitions_per_row_mean": (np.diff(masks, axis=2) != 0).sum(2).mean(1),
        "transitions_per_column_mean": (np.diff(masks, axis=1) != 0).sum(1).mean(1),
        "components_ones_mean": np.array([ndimage.label(mask)[1] for mask in masks]),
        "components_zeros_mean": np.array([ndimage.label(1 - mask)[1] for mask in masks]),
    }


def check_statistics(masks: NDArray[np.float32], row: dict[str, str]) -> None:
    """Check all means within 4.5 standard errors of the difference of two independent samples."""
    for name, values in statistics(masks).items():
        error = values.std() * (1 / len(values) + 1 / int(row["n"])) ** 0.5
        assert abs(values.mean() - float(row[name])) <= 4.5 * error + 1e-6, name


def test_statistics_of_the_code_are_the_authors(reference: Path) -> None:
    rng = stream("test", "fmix", "code")
    for row in rows_of(reference, "reference_code"):
        side, lam = int(row["size"]), float(row["lam"])
        masks = [fmix_mask((side, side), lam, 3.0, rng, code_image) for _ in range(400)]
        check_statistics(np.array(masks), row)


def half_plane(grey: Array) -> Array:
    """Return ``grey`` with half the power where the horizontal frequency is zero or the highest.

    A real inverse transform of noise on the half plane, which the reference's rows of the paper's formula come from,
    has that: the real part there is of one draw, elsewhere of two conjugate ones.
    """
    spectrum = np.fft.rfft2(grey)
    spectrum[:, [0, -1]] *= 0.5**0.5
    return np.fft.irfft2(spectrum, grey.shape)


def test_statistics_of_the_papers_formula_are_the_references(reference: Path) -> None:
    rng = stream("test", "fmix", "paper")
    for row in rows_of(reference, "paper_formula_NOT_reference"):
        shape, lam = (int(row["size"]),) * 2, float(row["lam"])
        greys = [half_plane(low_frequency_image(shape, 3.0, rng)) for _ in range(250)]
        check_statistics(np.array([binarise(grey, lam, rng.random() < 0.5) for grey in greys]), row)


def test_rows_and_columns_are_alike() -> None:
    rng = stream("test", "fmix", "isotropic")
    found = statistics(np.array([fmix_mask((32, 32), 0.5, 3.0, rng) for _ in range(1200)]))
    rows, columns = found["transitions_per_row_mean"], found["transitions_per_column_mean"]
    assert rows.mean() == pytest.approx(1.60, abs=0.06)
    assert (rows - columns).mean() == pytest.approx(0, abs=4.5 * (rows - columns).std() / 1200**0.5)
    # The authors' code: 1.88 a row, 1.31 a column.
    code = statistics(np.array([fmix_mask((32, 32), 0.5, 3.0, rng, code_image) for _ in range(400)]))
    assert code["transitions_per_row_mean"].mean() - code["transitions_per_column_mean"].mean() > 0.4


@pytest.mark.parametrize("shape", [(64,), (24, 15), (8, 6, 10)])
@pytest.mark.parametrize("decay_power", [0.0, 1.5, 3.0])
def test_power_falls_with_frequency_in_every_direction(shape: tuple[int, ...], decay_power: float) -> None:
    rng, n, axes = stream("test", "fmix", "power"), 500, tuple(range(len(shape)))
    draws = (low_frequency_image(shape, decay_power, rng) for _ in range(n))
    power = sum(np.abs(np.fft.fftn(grey, axes=axes)) ** 2 for grey in draws) / n
    grids = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    frequency = np.maximum(np.sqrt(sum(grid**2 for grid in grids)), 1 / max(shape))
    flat = power * (frequency * max(shape)) ** (2 * decay_power)
    # One frequency is a chi-square of one or two degrees of freedom a draw: a deviation of at most sqrt(2/n) each.
    assert np.abs(flat - 1).max() < 5.5 * (2 / n) ** 0.5
    assert flat.mean() == pytest.approx(1, abs=0.05)


def test_the_code_has_one_cycle_along_the_rows() -> None:
    grey = code_image((20, 16), 3.0, stream("test", "fmix", "columns"))
    power = np.abs(np.fft.fft2(grey)) ** 2
    assert power[:, [0, 1, 15]].sum() > 0.999999 * power.sum()
    assert power[:, 0].sum() > 0 < power[:, 1].sum()


@pytest.mark.parametrize(("width", "kept"), [(14, 8), (15, 9), (16, 9)])
def test_the_code_has_one_sided_frequencies_down_the_rows(width: int, kept: int) -> None:
    """fftfreq(width) up to width // 2 + 1 for an even width, to width // 2 + 2 for an odd one."""
    power = np.abs(np.fft.fft2(code_image((24, width), 0.0, stream("test", "fmix", "one-sided")))) ** 2
    assert set(np.flatnonzero(power[:, 1] > 1e-12 * power.max())) == set(range(kept))


def intervals(side: int, lam: float, count: int) -> Array:
    """Return the transitions around the circle of one-dimensional masks."""
    rng = stream("test", "fmix", "line", side)
    masks = np.array([fmix_mask((side,), lam, 3.0, rng) for _ in range(count)])
    return np.abs(np.diff(masks, axis=1, append=masks[:, :1])).sum(1)


@pytest.mark.parametrize("side", [32, 100])
def test_masks_of_texts_may_have_several_intervals(side: int) -> None:
    transitions = intervals(side, 0.5, 2000)
    assert set(transitions) >= {2, 4, 6}
    assert transitions.mean() == pytest.approx(2.14, abs=0.05)


def test_masks_of_voxels_are_few_solid_shapes() -> None:
    rng = stream("test", "fmix", "voxels")
    masks = np.array([fmix_mask((12, 10, 14), 0.4, 3.0, rng) for _ in range(100)])
    assert masks.shape == (100, 12, 10, 14)
    assert np.abs(masks.mean((1, 2, 3)) - 0.4).max() < 1 / masks[0].size
    assert np.mean([ndimage.label(mask)[1] for mask in masks]) < 5
    scattered = fmix_mask((12, 10, 14), 0.4, 0.0, rng)
    assert ndimage.label(scattered)[1] > 20


def test_without_decay_it_is_white_noise_and_with_much_one_cycle() -> None:
    rng = stream("test", "fmix", "limits")
    white = np.array([fmix_mask((32, 32), 0.5, 0.0, rng) for _ in range(100)])
    # Neighbours are independent: they differ half of the time.
    assert np.abs(np.diff(white, axis=2)).mean() == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.diff(white, axis=1)).mean() == pytest.approx(0.5, abs=0.01)
    for decay_power in (12.0, 1e6):
        power = np.abs(np.fft.fft2(low_frequency_image((32, 32), decay_power, rng))) ** 2
        first = [(0, 0), (0, 1), (1, 0), (0, 31), (31, 0)]
        assert sum(power[index] for index in first) > 0.999 * power.sum()


@pytest.mark.parametrize("image", [low_frequency_image, code_image])
@given(height=st.integers(2, 20), width=st.integers(2, 20), lam=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_mask_is_binary_and_its_mean_is_within_a_pixel(image, height, width, lam, seed) -> None:
    mask = fmix_mask((height, width), lam, 3.0, stream("test", seed), image)
    assert mask.shape == (height, width)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}
    assert abs(mask.mean(dtype=np.float64) - lam) <= (1 + 1e-9) / mask.size


@given(values=st.permutations(range(12)), ones=st.integers(0, 11), part=st.floats(0.1, 0.9), up=st.booleans())
def test_the_largest_entries_are_one(values: list[int], ones: int, part: float, up: bool) -> None:
    grey = np.array(values, float).reshape(3, 4)
    mask = binarise(grey, (ones + part) / 12, up)
    np.testing.assert_array_equal(mask, grey >= 12 - ones - up)


@pytest.mark.parametrize("lam", [0.0, 1.0])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("shape", [(1,), (4, 4), (2, 3, 2)])
def test_at_the_ends_a_mask_is_constant(lam: float, up: bool, shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(binarise(np.zeros(shape), lam, up), np.full(shape, lam))


def test_both_roundings_are_drawn() -> None:
    rng = stream("test", "fmix", "coin")
    ones = np.array([fmix_mask((3, 3), 0.5, 3.0, rng).sum() for _ in range(400)])
    assert set(ones) == {4, 5}
    assert (ones == 5).mean() == pytest.approx(0.5, abs=4 * 0.5 / 20)


def mix(method: FMix, batch: Batch, seed: int) -> Batch:
    return method.mix(batch, stream("test", "fmix", seed))


@pytest.mark.parametrize("spectrum", ["paper", "code"])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 9, 8), (3, 16, 13)])
def test_targets_are_counted_from_pixels(spectrum: str, channels: int, height: int, width: int) -> None:
    images = torch.tensor([0.25, 0.5, 1.0])[:, None, None, None].expand(3, channels, height, width).contiguous()
    batch = Batch(images, torch.eye(3), torch.arange(3))
    for seed in range(20):
        ours = mix(FMix(spectrum=spectrum), batch, seed)
        counted = torch.stack([(ours.images == colour).float().mean((1, 2, 3)) for colour in (0.25, 0.5, 1.0)], 1)
        torch.testing.assert_close(ours.targets, counted, atol=1e-6, rtol=0)


def test_one_mask_a_batch_and_shares_as_drawn() -> None:
    n = 6
    batch = Batch(torch.rand(n, 1, 10, 10, generator=torch.Generator().manual_seed(0)), torch.eye(n), torch.arange(n))
    shares = []
    for seed in range(300):
        ours = mix(FMix(), batch, seed)
        changed = (ours.images != batch.images).any(1)
        paired = ours.targets.diagonal() < 1
        assert (changed[paired] == changed[paired][:1]).all()
        shares.extend(ours.targets.diagonal()[paired][:1].tolist())
    # λ ~ Beta(1, 1), the mean of a uniform variable.
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * (1 / 12) ** 0.5 / len(shares) ** 0.5)


def test_the_spectrum_decides_which_masks_are_drawn() -> None:
    batch = Batch(torch.arange(512.0).reshape(2, 1, 16, 16) / 512, torch.eye(2), torch.arange(2))
    drawn = {
        spectrum: [mix(FMix(spectrum=spectrum), batch, seed).images for seed in range(8)]
        for spectrum in ("paper", "code")
    }
    assert not torch.equal(torch.stack(drawn["paper"]), torch.stack(drawn["code"]))


def test_the_decay_decides_how_scattered_pixels_are() -> None:
    batch = Batch(torch.stack([torch.ones(1, 32, 32), torch.zeros(1, 32, 32)]), torch.eye(2), torch.arange(2))

    def transitions(decay_power: float) -> float:
        drawn = (mix(FMix(decay_power=decay_power), batch, seed).images[0] for seed in range(40))
        return float(torch.stack([image.diff(dim=2).abs().sum() for image in drawn]).mean()) / 32

    assert transitions(0.0) > 4 > 2 > transitions(3.0) > 0


def test_fields_are_checked() -> None:
    with pytest.raises(ValueError, match="expected alpha > 0"):
        FMix(alpha=0.0)
    with pytest.raises(ValueError, match="expected decay_power >= 0"):
        FMix(decay_power=-1.0)
    with pytest.raises(ValueError, match="expected a spectrum of paper, code, got 'half'"):
        FMix(spectrum="half")
