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
    generator = torch.Generator().manual_seed(photons)
    uniforms = torch.rand(GREYS.shape, generator=generator)
    # The grid's ends, its finest steps, and the edges of the slices that are looked up.
    uniforms.view(-1)[:6] = torch.tensor([0.0, 2**-24, 1 - 2**-24, 1 / 4096, 0.5, 4095 / 4096])
    counts = noise.poisson_counts(GREYS, photons, uniforms)
    means = GREYS.numpy() / 255 * photons
    below = stats.poisson.cdf(counts.numpy() - 1, means)
    above = stats.poisson.cdf(counts.numpy(), means)
    inside = counts.numpy() < photons
    assert (below <= uniforms.numpy() + 1e-12).all()
    assert (uniforms.numpy()[inside] < above[inside] + 1e-12).all()
    assert counts.max() <= photons


def test_normals_equal_scipys_quantiles_and_are_finite_and_symmetric():
    uniforms = torch.tensor([0.0, 2**-24, 0.001, 0.25, 0.5, 0.9, 1 - 2**-24])
    expected = stats.norm.ppf(uniforms.double().numpy() + 2**-25)
    np.testing.assert_allclose(noise.normals(uniforms).numpy(), expected, rtol=2e-5, atol=1e-7)
    ends = noise.normals(torch.tensor([0.0, 1 - 2**-24]))
    assert ends[0] == -ends[1]


def test_the_draws_are_uniform_and_their_normals_normal():
    drawn = np.stack([noise.draw_uniforms(stream("ks", index), 32, ()) for index in range(20)])
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(noise.normals(torch.from_numpy(drawn)).numpy().ravel(), "norm").pvalue > 1e-3
    neighbours = np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(drawn[1:].size)


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
