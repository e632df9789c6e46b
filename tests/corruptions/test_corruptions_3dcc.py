"""3D Common Corruptions: the table, and what a sensor does, against Pillow, SciPy and five-line loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy import stats

from robustbench_msda.conditions import TWELVE
from robustbench_msda.corruptions import corrupt
from robustbench_msda.corruptions.three_d import CORRUPTIONS_3DCC, sensor
from robustbench_msda.corruptions.three_d.table import SEVERITIES
from robustbench_msda.streams import stream

SENSOR = ("color_quant", "iso_noise", "low_light")


def photographs(side: int, count: int) -> torch.Tensor:
    waves = torch.linspace(0, 6, side)
    ramp = torch.sin(waves)[:, None] + torch.cos(waves * 1.7)[None]
    phase = torch.arange(count * 3).view(count, 3, 1, 1)
    return ((ramp + torch.sin(phase + waves)).clamp(-2, 2).add(2).mul(63)).to(torch.uint8)


def streams(indices) -> list[np.random.Generator]:
    return [stream("3dcc", int(index)) for index in indices]


def made(images: torch.Tensor, name: str, severity: int) -> torch.Tensor:
    return corrupt(images, name, severity, streams(range(len(images))), CORRUPTIONS_3DCC)


@pytest.mark.parametrize("severity", range(1, 6))
def test_color_quant_is_pillows_posterize(severity):
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 2, 2)
    expected = ImageOps.posterize(Image.fromarray(images[0].permute(1, 2, 0).numpy()), 6 - severity)
    np.testing.assert_array_equal(made(images, "color_quant", severity)[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("grey", [0, 60, 128])
def test_iso_noise_has_the_moments_of_its_two_noises(grey, severity):
    std = 0.7 * (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    light, counts = grey / 255, np.arange(120)
    # What the eye sees: of the sum, clipped and cut to grey levels, by quadrature over the counts.
    edges = np.arange(1, 256) / 255
    above = stats.norm.sf(edges[:, None], np.clip(counts / 25, 0, 1), std) @ stats.poisson.pmf(counts, 25 * light)
    mean = above.sum()
    variance = (2 * np.arange(1, 256) - 1) @ above - mean**2
    images = torch.full((24, 3, 32, 32), grey, dtype=torch.uint8)
    noisy = made(images, "iso_noise", severity).double()
    assert noisy.mean().item() == pytest.approx(mean, abs=5 * (variance / noisy.numel()) ** 0.5)
    assert noisy.var().item() == pytest.approx(variance, rel=0.03)


@pytest.mark.parametrize("severity", range(1, 6))
def test_low_light_darkens_as_the_formula_says_before_noise(severity):
    top = (0.6, 0.5, 0.4, 0.3, 0.2)[severity - 1]
    images = torch.arange(30, 230, dtype=torch.uint8).view(1, 1, 10, 20).expand(1, 3, 10, 20).repeat(64, 1, 1, 1)
    generator = torch.Generator().manual_seed(severity)
    fields = [torch.rand(images.shape, generator=generator) for _ in range(2)]
    mean = sensor.low_light(images, (top,), *fields).double().mean((0, 1)).flatten() / 255
    expected = top * ((np.arange(30, 230) - 30) / 199) ** 2
    # Clipping at black and cutting to grey levels matter in the dark and by half a level.
    bright = expected > 0.06
    deviation = mean.numpy()[bright] - (expected[bright] - 0.5 / 255)
    spread = np.sqrt(expected[bright] / 120 + 0.018**2) / (64 * 3) ** 0.5
    assert np.abs(deviation / spread).max() < 4.5
    assert abs((deviation / spread).mean()) < 0.4


@given(first=st.integers(0, 254), span=st.integers(1, 255), top=st.sampled_from((0.6, 0.2)), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_the_photons_of_low_light_are_scipys_quantiles(first, span, top, seed):
    last = min(first + span, 255)
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(first, last + 1, (3, 8, 8), generator=generator, dtype=torch.uint8)
    image[0, 0, :2] = torch.tensor([first, last], dtype=torch.uint8)
    uniforms = torch.rand(image.shape, generator=generator)
    uniforms[0, 0, :3] = torch.tensor([0.0, 1 - 2**-24, 0.5])
    means = 120 * top * ((image.double().numpy() - first) / (last - first)) ** 2
    expected = np.minimum(stats.poisson.ppf(uniforms.double().numpy() + 2**-50, means), 120)
    np.testing.assert_array_equal(sensor._dark_counts(image, top, uniforms).numpy(), expected)


def test_low_light_of_one_grey_level_is_black_but_for_noise():
    noisy = made(torch.full((2, 3, 32, 32), 200, dtype=torch.uint8), "low_light", 1)
    assert noisy.max() < 255 * 0.018 * 5.5
    assert noisy.max() > 0


def test_the_two_fields_of_an_image_are_uniform_and_independent():
    photons, electrons = sensor.draw_two_fields(stream("fields"), 64, ())
    assert photons.shape == electrons.shape == (3, 64, 64)
    for field in (photons, electrons):
        assert stats.kstest(field.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(photons.ravel(), electrons.ravel())[0, 1]) < 0.04


@pytest.mark.parametrize("side", [32, 64, 224, 299])
@pytest.mark.parametrize("name", SENSOR)
def test_a_higher_severity_is_farther_from_the_clean_image(name, side):
    images = photographs(side, 4 if side < 224 else 1)
    distances = [(made(images, name, s).float() - images.float()).square().mean().item() for s in range(1, 6)]
    assert distances == sorted(distances)
    assert distances[0] > 0


@pytest.mark.parametrize("name", SENSOR)
def test_an_image_does_not_depend_on_its_batch(name):
    images = photographs(64, 9)
    together = made(images, name, 3)
    alone = [corrupt(images[i : i + 1], name, 3, streams([i]), CORRUPTIONS_3DCC)[0] for i in range(9)]
    assert torch.equal(torch.stack(alone), together)


@pytest.mark.parametrize("name", CORRUPTIONS_3DCC)
def test_an_empty_batch_stays_empty(name):
    corruption, empty = CORRUPTIONS_3DCC[name], torch.empty((0, 3, 32, 32), dtype=torch.uint8)
    drawn = [torch.empty(empty.shape)] * 2 if name in SENSOR else [torch.empty((0, 3))]
    drawn = drawn if corruption.draw else []
    assert corruption.apply(empty, corruption.severities[32][0], *drawn).shape == empty.shape


def test_the_table_holds_what_needs_no_depth_in_the_order_of_the_twelve():
    assert list(CORRUPTIONS_3DCC) == [name for name in TWELVE if name in CORRUPTIONS_3DCC]
    assert set(TWELVE) == set(SEVERITIES)
    for corruption in CORRUPTIONS_3DCC.values():
        assert set(corruption.severities) == {32, 64, 224, 299}
        assert {len(levels) for levels in corruption.severities.values()} == {5}
        assert len({levels for levels in corruption.severities.values()}) == 1
