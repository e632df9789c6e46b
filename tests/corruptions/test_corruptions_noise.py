"""The noises: their inverse distribution functions against SciPy, their statistics against the reference's."""

from __future__ import annotations

import csv
import tarfile
from collections import defaultdict
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from reference_draws import batch
from scipy import stats

from robustbench_msda.corruptions import CORRUPTIONS, corrupt, noise
from robustbench_msda.corruptions.severities import SHOT_NOISE
from robustbench_msda.streams import stream

GREYS = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(8, 3, 16, 16)


PHOTONS = sorted({int(level[0]) for levels in SHOT_NOISE.values() for level in levels})


@pytest.mark.parametrize("photons", PHOTONS)
def test_every_count_becomes_the_grey_level_of_the_formula(photons):
    counts = np.arange(2 * photons, dtype=np.int16)
    expected = (np.clip(counts / photons, 0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(noise.from_counts(torch.from_numpy(counts), photons).numpy(), expected)


@pytest.mark.parametrize("photons", PHOTONS)
def test_poisson_counts_equal_scipys_quantiles(photons):
    rng = np.random.default_rng(photons)
    drawn = rng.integers(0, 2**16, GREYS.shape, dtype=np.uint16)
    # The ends, and every slice of one dark and one bright grey.
    drawn[0, 0, 0, :2] = 0, 2**16 - 1
    greys = torch.cat((GREYS.reshape(-1), torch.full((2**16,), 3), torch.full((2**16,), 200))).to(torch.uint8)
    drawn = np.concatenate((drawn.ravel(), *[np.arange(2**16, dtype=np.uint16)] * 2))
    counts = noise.poisson_counts(greys, photons, torch.from_numpy(drawn)).numpy()
    middles, means = (drawn + 0.5) / 2**16, greys.numpy() / 255 * photons
    inside = counts < photons
    assert (stats.poisson.cdf(counts - 1, means) <= middles + 1e-12).all()
    assert (middles[inside] < stats.poisson.cdf(counts, means)[inside] + 1e-12).all()
    assert counts.max() <= photons
    assert counts.min() >= 0


def test_normals_equal_scipys_quantiles_and_are_finite_and_symmetric():
    slices = torch.arange(2**16).to(torch.uint16)
    normals = noise.normals(slices).numpy()
    np.testing.assert_allclose(normals, stats.norm.ppf(noise.middles(slices).double().numpy()), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(normals, -normals[::-1], rtol=1e-5)
    assert normals.std() == pytest.approx(1, abs=2e-4)


def test_floats_fall_into_the_slices_they_are_in():
    floats = torch.tensor([0.0, 2**-17, 2**-16, 0.25, 0.75, 1 - 2**-24])
    assert noise.slices(floats).tolist() == [0, 0, 1, 2**14, 3 * 2**14, 2**16 - 1]
    assert noise.slices(torch.tensor([0, 65535]).to(torch.uint16)).tolist() == [0, 65535]


def test_gaussian_noise_is_the_truncated_sum_of_pixel_and_noise():
    images = GREYS.contiguous()
    drawn = torch.from_numpy(np.random.default_rng(0).integers(0, 2**16, GREYS.shape, dtype=np.uint16))
    quantiles = stats.norm.ppf((drawn.numpy() + 0.5) / 2**16)
    for std in (0.04, 0.38):
        expected = np.clip(images.numpy() + 255 * std * quantiles, 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(noise.gaussian_noise(images, (std,), drawn).numpy(), expected)


def test_the_draws_are_uniform_and_their_normals_normal():
    drawn = np.stack([noise.draw_image(stream("ks", index), 32, ())[0] for index in range(20)])
    assert stats.kstest(noise.middles(torch.from_numpy(drawn)).numpy().ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(noise.normals(torch.from_numpy(drawn)).numpy().ravel(), "norm").pvalue > 1e-3
    flat = drawn.reshape(-1).astype(float)
    for lag in (1, 2, 3, 4):
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 5 / np.sqrt(flat.size)


@pytest.mark.parametrize("severity", range(1, 6))
def test_the_noises_have_the_moments_their_parameters_say(severity):
    grey = torch.full((40, 3, 32, 32), 128, dtype=torch.uint8)
    n = grey.numel()
    rngs = [stream("moments", severity, index) for index in range(len(grey))]
    (std,) = CORRUPTIONS["gaussian_noise"].severities[32][severity - 1]
    gaussian = corrupt(grey, "gaussian_noise", severity, rngs).double()
    # Truncation takes half a level and adds the variance of a uniform of width 1.
    assert gaussian.mean().item() == pytest.approx(127.5, abs=5 * 255 * std / n**0.5)
    assert gaussian.var().item() == pytest.approx((255 * std) ** 2 + 1 / 12, rel=5 * (2 / n) ** 0.5)
    (photons,) = CORRUPTIONS["shot_noise"].severities[32][severity - 1]
    shot = corrupt(grey, "shot_noise", severity, rngs).double()
    spread = 255 * (128 / 255 / photons) ** 0.5
    counts = stats.poisson(128 / 255 * photons)
    possible = np.arange(int(photons) * 3)
    levels = np.minimum(possible / photons, 1) * 255 // 1
    expected = float((counts.pmf(possible) * levels).sum())
    assert shot.mean().item() == pytest.approx(expected, abs=5 * spread / n**0.5)
    (share,) = CORRUPTIONS["impulse_noise"].severities[32][severity - 1]
    impulse = corrupt(grey, "impulse_noise", severity, rngs)
    tolerance = 5 * (share / 2 / n) ** 0.5
    assert (impulse == 0).double().mean().item() == pytest.approx(share / 2, abs=tolerance)
    assert (impulse == 255).double().mean().item() == pytest.approx(share / 2, abs=tolerance)
    assert ((impulse == 128) | (impulse == 0) | (impulse == 255)).all()


@pytest.fixture(scope="module")
def reference_images(reference):
    """The 500 images the reference's statistics are over: the first 50 of each class, class by class."""
    folder = reference / "data"
    with (folder / "gold" / "cifar10c_50" / "indices.csv").open() as lines:
        classes = {int(row["label"]): row["jpeg_path"].split("/")[1] for row in csv.DictReader(lines)}
    wanted = [f"test/{classes[label]}/{index:04d}.jpg" for label in sorted(classes) for index in range(50)]
    with tarfile.open(folder / "cifar10_test_jpeg.tar.xz") as archive:
        names = set(wanted)
        files = {
            member.name.removeprefix("./"): archive.extractfile(member).read()
            for member in archive
            if member.name.removeprefix("./") in names
        }
    images = np.stack([np.asarray(Image.open(BytesIO(files[name])).convert("RGB")) for name in wanted])
    clean = np.load(folder / "gold" / "cifar10c_50" / "clean.npy")
    np.testing.assert_array_equal(images.reshape(10, 50, 32, 32, 3)[:, :5].reshape(clean.shape), clean)
    return images


@pytest.fixture(scope="module")
def reference_statistics(reference):
    columns = ("mean", "std", "mse_vs_clean_mean", "mae_mean", "frac_0", "frac_255")
    seeds = defaultdict(list)
    with (reference / "data" / "gold" / "cifar10c_seed_stats.csv").open() as lines:
        for row in csv.DictReader(lines):
            seeds[row["corruption"], int(row["severity"])].append([float(row[column]) for column in columns])
    return {key: np.array(values) for key, values in seeds.items()}


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_our_draws_stay_within_the_references_spread_over_seeds(reference_images, reference_statistics, name):
    images = batch(reference_images)
    clean = images.double()
    for severity in range(1, 6):
        rngs = [stream("spread", name, severity, index) for index in range(len(images))]
        noisy = corrupt(images, name, severity, rngs).double()
        difference = noisy - clean
        ours = [
            *(noisy.mean(), noisy.std(correction=0), difference.square().mean(), difference.abs().mean()),
            *((noisy == 0).double().mean(), (noisy == 255).double().mean()),
        ]
        recorded = reference_statistics[name, severity]
        # Five seeds know their own spread to about a third, and the file keeps five decimals.
        allowed = 6 * recorded.std(axis=0, ddof=1) + 2e-5
        assert (np.abs(np.array(ours) - recorded.mean(axis=0)) <= allowed).all(), severity
