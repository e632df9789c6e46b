"""Perturbation sequences: what holds for all of them, and those of noise, blur and weather against loops."""

from __future__ import annotations

import colorsys
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_draws import pixels
from scipy import ndimage
from sklearn.datasets import load_sample_image
from torch import Tensor

from robustbench_msda.corruptions import noise, snow, spatter
from robustbench_msda.corruptions.perturbations import PERTURBATIONS, perturb, table, weather
from robustbench_msda.corruptions.perturbations.parameters import values
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.streams import stream

NOISES = [name for name in PERTURBATIONS if "noise" in name]
VARIANTS = {32: "cifar_32", 64: "tiny_64", 224: "imagenet_224", 299: "imagenet_299"}


def photographs(side: int, count: int) -> Tensor:
    photograph = torch.from_numpy(np.array(load_sample_image("china.jpg"))).permute(2, 0, 1)
    tiles = photograph.unfold(1, side, side // 2).unfold(2, side, side // 2).flatten(1, 2).transpose(0, 1)
    return tiles[:: max(1, len(tiles) // count)][:count].contiguous()


def streams(indices) -> list[np.random.Generator]:
    return [stream("test", int(index)) for index in indices]


def truncated(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def assert_close(ours: np.ndarray, expected: np.ndarray, share: float) -> None:
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= share


def test_the_ten_of_the_paper_come_first_then_the_four_for_validation():
    assert list(PERTURBATIONS) == [
        *("gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow"),
        *("brightness", "translate", "rotate", "tilt", "scale"),
        *("speckle_noise", "gaussian_blur", "spatter", "shear"),
    ]


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_videos_are_uint8_of_the_published_number_of_frames_and_the_input_is_left_alone(name):
    images = photographs(32, 3) // 2 + torch.arange(32, dtype=torch.uint8)
    before = images.clone()
    frames = {"motion_blur": 21, "translate": 16}.get(name, 31)
    video = perturb(images, name, streams(range(3)))
    assert video.dtype == torch.uint8
    assert video.shape == (3, frames, 3, 32, 32)
    assert video.is_contiguous()
    assert len({frame.numpy().tobytes() for frame in video[0]}) > frames * 0.7
    assert torch.equal(images, before)


@pytest.mark.parametrize("side", [64, 224, 299])
def test_larger_videos_have_31_frames_and_41_of_translation(side):
    for name, perturbation in PERTURBATIONS.items():
        assert perturbation.frames(side) == (41 if name == "translate" and side > 64 else 31)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_video_does_not_depend_on_its_batch_pieces_threads_or_memory_layout(name, monkeypatch):
    images = photographs(32, 7)
    together = perturb(images, name, streams(range(7)))
    for index in (0, 4, 6):
        assert torch.equal(perturb(images[index : index + 1], name, streams([index]))[0], together[index])
    monkeypatch.setattr(table, "CPU_PIXELS", 3 * 31 * 32 * 32)
    torch.set_num_threads(2)
    try:
        pieces = perturb(images.contiguous(memory_format=torch.channels_last), name, streams(range(7)))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(pieces, together)


@pytest.mark.parametrize("name", ["motion_blur", "snow", "spatter", "rotate", "tilt"])
def test_a_large_video_does_not_depend_on_its_batch(name):
    images = photographs(64, 3)
    together = perturb(images, name, streams(range(3)))
    assert torch.equal(perturb(images[1:2], name, streams([1]))[0], together[1])


@pytest.mark.parametrize("name", [name for name, perturbation in PERTURBATIONS.items() if perturbation.draw])
def test_chance_is_a_function_of_the_stream(name):
    images = photographs(32, 1).expand(3, -1, -1, -1)
    video = perturb(images, name, streams([0, 1, 0]))
    assert torch.equal(video[0], video[2])
    assert not torch.equal(video[0], video[1])


@pytest.mark.parametrize("name", NOISES)
def test_noise_begins_clean_and_is_that_of_the_corruption_drawn_anew_for_every_frame(name):
    images = photographs(32, 2)
    video = perturb(images, name, streams(range(2)))
    assert torch.equal(video[:, 0], images)
    strength = PERTURBATIONS[name].parameters[32][1:]
    for index in range(2):
        draws = torch.from_numpy(noise.draw_slices(streams([index])[0], (30, 3, 32, 32)))
        for frame in (1, 2, 30):
            expected = getattr(noise, name)(images[index : index + 1], strength, draws[frame - 1 : frame])
            assert torch.equal(video[index, frame], expected[0])


def test_gaussian_noise_has_the_published_strength():
    grey = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    spread = perturb(grey, "gaussian_noise", streams(range(4)))[:, 1:].double().sub(128)
    # Truncation loses half a grey level and adds the spread of a uniform.
    assert float(spread.mean()) == pytest.approx(-0.5, abs=0.05)
    assert float(spread.std()) == pytest.approx(math.hypot(0.02 * 255, 12**-0.5), rel=0.01)


def smeared(image: np.ndarray, radius: float, sigma: float, angle: float) -> np.ndarray:
    """ImageMagick's motion blur, tap by tap."""
    height, width = image.shape[:2]
    rows, columns = np.indices((height, width))
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    total = np.zeros(image.shape)
    for tap, weight in zip(taps, weights / weights.sum(), strict=True):
        down, right = (math.ceil(tap * f(math.radians(angle)) - 0.5) for f in (math.sin, math.cos))
        total += weight * image[(rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)]
    return np.floor(np.floor(257 * total + 0.5) / 257).astype(np.uint8)


@pytest.mark.parametrize("side", [32, 64])
def test_motion_blur_turns(side):
    images = photographs(side, 2)
    ours = perturb(images, "motion_blur")
    _, radius, sigma, *_ = PERTURBATIONS["motion_blur"].parameters[side]
    first, step = {32: (-180, 9), 64: (-150, 5)}[side]
    for frame in (0, 7, 20):
        expected = smeared(pixels(images)[1], radius, sigma, first + step * frame)
        assert_close(pixels(ours[:, frame])[1], expected, 0.001)


@pytest.mark.parametrize("side", [32, 224])
def test_gaussian_blur_widens(side):
    images = photographs(side, 1)
    ours = perturb(images, "gaussian_blur")[0]
    truncate, first, step = {32: (7, 0.3, 0.015), 224: (6, 0.25, 0.035)}[side]
    for frame in (0, 1, 30):
        sigma = first + step * frame
        unit = pixels(images)[0] / 255.0
        expected = truncated(ndimage.gaussian_filter(unit, (sigma, sigma, 0), mode="nearest", truncate=truncate))
        assert_close(pixels(ours[frame][None])[0], expected, 0.005)


def test_brightness_is_added_to_the_value_and_nothing_in_the_middle():
    images = photographs(32, 1) // 2 + 60
    ours = pixels(perturb(images, "brightness")[0])
    for frame in (0, 6, 15, 30):
        for row, column in ((0, 0), (3, 17), (31, 9)):
            hue, saturation, value = colorsys.rgb_to_hsv(*(pixels(images)[0, row, column] / 255.0))
            brighter = min(max(value + 0.015 * (frame - 15), 0), 1)
            assert_close(ours[frame, row, column], truncated(colorsys.hsv_to_rgb(hue, saturation, brighter)), 1)
    assert_close(ours[15], pixels(images)[0], 0.2)
    assert (np.diff(ours.mean((1, 2, 3))) > 0).all()


def test_snow_is_one_field_whose_wind_turns():
    images = photographs(32, 1)
    normal = noise.normals(torch.from_numpy(spatter.draw_field(streams([0])[0], 32, ())[0]))
    field = snow.clipped_zoom(normal[None].double() * 0.3 + 0.05, 2)[0].numpy()
    still = truncated(np.where(field < 0.5, 0, field))
    unit = pixels(images)[0] / 255.0
    grey = unit @ np.array([0.299, 0.587, 0.114])
    white = 0.85 * unit + 0.15 * np.maximum(unit, 1.5 * grey[..., None] + 0.5)
    ours = pixels(perturb(images, "snow", streams([0]))[0])
    assert still.any()
    for frame in (0, 15, 30):
        light = smeared(still, 10, 2, 4 * frame - 150)[..., None] / 255.0
        assert_close(ours[frame], truncated(white + light + np.rot90(light, 2)), 0.01)


@given(st.sampled_from([(0.2, 0.8), (0.05, 0.1, 0.15, 0.7)]), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_drops_run_as_numpy_convolves(weights, seed):
    layer = np.random.default_rng(seed).random((2, 9, 3))
    ours = weather.run(torch.from_numpy(layer), weights).numpy()
    expected = np.apply_along_axis(np.convolve, 1, layer, weights, mode="same")
    np.testing.assert_allclose(ours, expected, atol=1e-15)


def test_spatter_begins_as_the_corruption_and_then_runs_down():
    images = photographs(32, 2)
    ours = perturb(images, "spatter", streams(range(2)))
    draws = np.stack([spatter.draw_field(rng, 32, ())[0] for rng in streams(range(2))])
    field = noise.normals(torch.from_numpy(draws))
    expected = spatter.splash(images, (0.6, 0.265, 1.75, 0.7, 0.6, 0), field)
    assert torch.equal(ours[:, 0], expected)
    layer = weather.smooth(field * 0.265 + 0.6, 1.75)
    layer = layer * (layer >= 0.7)
    for _ in range(5):
        layer = weather.run(layer, (0.2, 0.8))
    assert torch.equal(ours[:, 5], spatter.wet(images, layer, 0, 0.6))
    assert not torch.equal(ours[:, 5], expected)


def test_parameters_equal_the_reference_tables(reference):
    tables = json.loads((reference / "reference" / "corruption_parameters.json").read_text())["perturbation_sequences"]
    strengths = {"gaussian_noise": "gaussian_noise_std", "shot_noise": "shot_noise_lambda"}
    for side, variant in VARIANTS.items():
        own = {name: perturbation.parameters[side] for name, perturbation in PERTURBATIONS.items()}
        for name in NOISES:
            assert own[name] == (31, tables[strengths.get(name, f"{name}_std")][variant][0])
        motion = tables["motion_blur"][variant]
        assert own["motion_blur"][:3] == (motion["frames"], motion["radius"], motion["sigma"])
        assert evaluated(motion["angle_deg"], motion["frames"]) == turning(own["motion_blur"])
        snowing = [tables["snow"][variant][key] for key in ("loc", "scale", "zoom", "threshold", "radius", "sigma")]
        assert own["snow"][1:-2] == (*snowing, tables["snow"]["all"]["image_weight"])
        assert evaluated(tables["snow"]["all"]["angle_deg"]) == turning(own["snow"])
        drops = [tables["spatter"][variant][key] for key in ("loc", "scale", "sigma", "threshold")]
        drift = tables["spatter"][variant]["drift"]
        assert own["spatter"][1:] == (*drops, tables["spatter"]["all"]["intensity"], *drift)
        blur = tables["gaussian_blur"][variant]
        assert own["gaussian_blur"][1] == blur["truncate"]
        assert evaluated(blur["sigma"]) == turning(own["gaussian_blur"])
        shift = tables["translate"][variant]
        assert evaluated(shift["dx"], shift["frames"]) == turning(own["translate"])
        bright = tables["brightness"].get(variant, tables["brightness"]["others"])
        assert evaluated(bright) == turning(own["brightness"])
        for name, key in (("rotate", "angle_deg"), ("shear", "angle_deg"), ("tilt", "angle_deg"), ("scale", "scale")):
            table_of = tables[name].get(variant) or tables[name].get("all") or tables[name]["others"]
            assert evaluated(table_of[key]) == turning(own[name])
        assert evaluated(tables["zoom_blur"]["all"]["scale_of_frame_i"]) == turning(own["zoom_blur"])


def evaluated(text: str, frames: int = 31) -> list[float]:
    return [pytest.approx(eval(text, {"i": i}), abs=1e-9) for i in range(frames)]


def turning(parameter: tuple[float, ...]) -> list[float]:
    return values((parameter[0], *parameter[-2:]))


def test_misuse_is_refused():
    images = photographs(32, 2)
    with pytest.raises(UnknownName, match="rotate"):
        perturb(images, "rotat")
    with pytest.raises(ValueError, match="one generator an image, got 1 for 2"):
        perturb(images, "snow", streams([0]))
    with pytest.raises(UserError, match="tilt has no severities for images of 48x48"):
        perturb(torch.zeros((1, 3, 48, 48), dtype=torch.uint8), "tilt")
    with pytest.raises(ValueError, match="uint8 images"):
        perturb(images.float(), "tilt")
    assert perturb(images[:0], "tilt").shape == (0, 31, 3, 32, 32)
