"""Agreement with the reference's outputs: the deterministic corruptions, and the noises given its draws."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import reference_draws as replay
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.corruptions import CORRUPTIONS, corrupt

GOLDEN = Path(__file__).parent.parent / "golden"
DETERMINISTIC = [name for name, corruption in CORRUPTIONS.items() if corruption.draw is None]
FACTS = json.loads((GOLDEN / "corruptions_32.json").read_text())
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.uint8]]:
    with np.load(GOLDEN / "corruptions_32.npz") as arrays:
        return dict(arrays)


def assert_agrees(ours: NDArray[np.uint8], gold: NDArray[np.uint8]) -> None:
    difference = np.abs(ours.astype(int) - gold)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


# zoom_blur's are beside those of the blurs.
@pytest.mark.parametrize("name", [name for name in DETERMINISTIC if name != "zoom_blur"])
def test_deterministic_corruptions_equal_the_golden_vectors(golden, name):
    for gold, severity in zip(golden[name], FACTS["severities"], strict=True):
        assert_agrees(replay.pixels(corrupt(replay.batch(golden["clean"]), name, severity)), gold)


def test_gaussian_noise_with_the_reference_draws_equals_the_golden_vectors(golden):
    for gold, severity in zip(golden["gaussian_noise"], FACTS["severities"], strict=True):
        (std,) = CORRUPTIONS["gaussian_noise"].severities[32][severity - 1]
        stream = replay.normal_fields(FACTS["seeds"][f"gaussian_noise/{severity}"], SHAPE)
        fields = [field for row, field in enumerate(islice(stream, 251)) if row in FACTS["rows"]]
        np.testing.assert_array_equal(replay.gaussian_noise(golden["clean"], std, fields), gold)


def test_shot_noise_with_the_reference_draws_equals_the_golden_vectors(golden):
    for gold, severity in zip(golden["shot_noise"], FACTS["severities"], strict=True):
        (photons,) = CORRUPTIONS["shot_noise"].severities[32][severity - 1]
        stream = np.random.RandomState(FACTS["seeds"][f"shot_noise/{severity}"])  # noqa: NPY002
        np.testing.assert_array_equal(replay.shot_noise(golden["clean"][:1], photons, stream), gold)


def test_impulse_noise_with_the_reference_draws_equals_the_golden_vectors(golden):
    for gold, severity in zip(golden["impulse_noise"], FACTS["severities"], strict=True):
        (share,) = CORRUPTIONS["impulse_noise"].severities[32][severity - 1]
        stream = replay.impulse_fields(FACTS["seeds"][f"impulse_noise/{severity}"], SHAPE)
        fields = [field for row, field in enumerate(islice(stream, 251)) if row in FACTS["rows"]]
        np.testing.assert_array_equal(replay.impulse_noise(golden["clean"], share, fields), gold)


@pytest.fixture(scope="module")
def gold(reference) -> Path:
    return reference / "data" / "gold"


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_corruptions_equal_the_reference_at_32(gold, name):
    clean = replay.batch(np.load(gold / "cifar10c_50" / "clean.npy"))
    expected = np.load(gold / "cifar10c_50" / f"{name}.npy").reshape(5, -1, *SHAPE)
    for severity in range(1, 6):
        assert_agrees(replay.pixels(corrupt(clean, name, severity)), expected[severity - 1])


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_corruptions_equal_the_reference_at_224(gold, name):
    clean = np.stack([picture(path) for path in inputs(gold, (0, 15, 30))])
    for severity in range(1, 6):
        files = [gold / "imagenetc" / "outputs" / f"{name}_s{severity}_i{image:02d}.png" for image in (0, 15, 30)]
        assert_agrees(replay.pixels(corrupt(replay.batch(clean), name, severity)), np.stack([*map(picture, files)]))


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_noises_with_the_reference_draws_equal_the_reference_at_224(gold, name, severity):
    (parameter,) = CORRUPTIONS[name].severities[224][severity - 1]
    position = ("gaussian_noise", "shot_noise", "impulse_noise").index(name)
    for image, path in zip((0, 13, 26), inputs(gold, (0, 13, 26)), strict=True):
        seed = 10_000 * position + 1_000 * severity + image
        clean = picture(path)[None]
        if name == "gaussian_noise":
            ours = replay.gaussian_noise(clean, parameter, [next(replay.normal_fields(seed, clean.shape[1:]))])
        elif name == "shot_noise":
            ours = replay.shot_noise(clean, parameter, np.random.RandomState(seed))  # noqa: NPY002
        else:
            ours = replay.impulse_noise(clean, parameter, [next(replay.impulse_fields(seed, clean.shape[1:]))])
        expected = picture(gold / "imagenetc" / "outputs" / f"{name}_s{severity}_i{image:02d}.png")
        np.testing.assert_array_equal(ours[0], expected)


def test_severities_equal_the_reference_tables(reference):
    tables = json.loads((reference / "reference" / "corruption_parameters.json").read_text())["variants"]
    variants = {32: "cifar_32", 64: "tiny_imagenet_64", 224: "imagenet_224", 299: "imagenet_299_inception"}
    for name, corruption in CORRUPTIONS.items():
        original = name.removesuffix("_procedural")
        for side, variant in variants.items():
            rows = [np.atleast_1d(row).tolist() for row in tables[variant]["parameters"][original]]
            assert [list(row) for row in corruption.severities[side]] == rows, (name, side)


def inputs(gold: Path, images: tuple[int, ...]) -> list[Path]:
    return [next((gold / "imagenetc" / "inputs").glob(f"{image:02d}_*")) for image in images]


def picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
