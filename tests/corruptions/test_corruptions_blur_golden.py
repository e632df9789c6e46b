"""Agreement of glass, motion, zoom, snow and elastic with the reference's outputs, given its draws."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import reference_draws as replay
import reference_draws_blur as replay_blur
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.corruptions import CORRUPTIONS, corrupt
from robustbench_msda.streams import stream

GOLDEN = Path(__file__).parent.parent / "golden"
FACTS = json.loads((GOLDEN / "corruptions_blur_32.json").read_text())
# The share of values that must be equal. Float32's rounding decides the rest, in areas of one colour above all.
EQUAL = {"glass_blur": 1.0, "motion_blur": 0.9999, "zoom_blur": 0.999, "snow": 0.9999, "elastic_transform": 0.997}
ROWS = [50 * group + image for group in range(10) for image in range(5)]


def assert_agrees(name: str, ours: NDArray[np.uint8], gold: NDArray[np.uint8]) -> None:
    difference = np.abs(ours.astype(int) - gold)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= EQUAL[name]


def corrupted(images: NDArray[np.uint8], name: str, severity: int, seed: int, rows: list[int]) -> NDArray[np.uint8]:
    """Corrupt ``images``, which are the ``rows`` of a run that began with ``seed``."""
    if name == "zoom_blur":
        return replay.pixels(corrupt(replay.batch(images), name, severity))
    run = islice(replay_blur.drawn(name, severity, images.shape[1], seed), rows[-1] + 1)
    draws = [each for row, each in enumerate(run) if row in rows]
    return replay_blur.corrupted(images, name, severity, draws)


@pytest.mark.parametrize("severity", FACTS["severities"])
@pytest.mark.parametrize("name", EQUAL)
def test_the_golden_vectors(name, severity):
    with np.load(GOLDEN / "corruptions_32.npz") as arrays:
        clean = arrays["clean"]
    with np.load(GOLDEN / "corruptions_blur_32.npz") as arrays:
        gold = arrays[name][FACTS["severities"].index(severity)]
    seed = FACTS["seeds"].get(f"{name}/{severity}", 0)
    assert_agrees(name, corrupted(clean, name, severity, seed, FACTS["rows"]), gold)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("name", EQUAL)
def test_the_reference_at_32(reference, name, severity):
    folder = reference / "data" / "gold" / "cifar10c_50"
    seed = json.loads((folder / "seeds.json").read_text())["seeds"][f"{name}/{severity}"]
    gold = np.load(folder / f"{name}.npy").reshape(5, -1, 32, 32, 3)[severity - 1]
    assert_agrees(name, corrupted(np.load(folder / "clean.npy"), name, severity, seed, ROWS), gold)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("name", EQUAL)
def test_the_reference_at_224(reference, name, severity):
    folder = reference / "data" / "gold" / "imagenetc"
    position = json.loads((folder / "meta.json").read_text())["corruption_index"][name]
    images = (0, 15) if name == "zoom_blur" else (0, 13)
    inputs = [next((folder / "inputs").glob(f"{image:02d}_*")) for image in images]
    files = [folder / "outputs" / f"{name}_s{severity}_i{image:02d}.png" for image in images]
    for image, clean, gold in zip(images, map(picture, inputs), map(picture, files), strict=True):
        seed = 10_000 * position + 1_000 * severity + image
        assert_agrees(name, corrupted(clean[None], name, severity, seed, [0])[0], gold)


def picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", replay_blur.DRAWS)
def test_our_draws_change_images_as_much_as_the_references(reference, name):
    """Both sides are means over the same 50 images, 6 sets of draws each; their spread over the sets is the measure."""
    clean = np.load(reference / "data" / "gold" / "cifar10c_50" / "clean.npy")
    for severity in (1, 3, 5):
        ours, theirs = [], []
        for repeat in range(6):
            rngs = [stream("spread", name, severity, repeat, index) for index in range(len(clean))]
            ours.append(statistics(clean, replay.pixels(corrupt(replay.batch(clean), name, severity, rngs))))
            draws = list(islice(replay_blur.drawn(name, severity, 32, 1_000 * repeat + severity), len(clean)))
            theirs.append(statistics(clean, replay_blur.corrupted(clean, name, severity, draws)))
        difference = np.mean(ours, axis=0) - np.mean(theirs, axis=0)
        error = np.sqrt((np.var(ours, axis=0, ddof=1) + np.var(theirs, axis=0, ddof=1)) / 6)
        assert (np.abs(difference) <= 5 * error).all(), severity


def statistics(clean: NDArray[np.uint8], changed: NDArray[np.uint8]) -> list[float]:
    difference = changed.astype(float) - clean
    return [
        float(changed.mean()),
        float(changed.std()),
        float((difference**2).mean()),
        float(np.abs(difference).mean()),
    ]


@pytest.mark.parametrize("name", replay_blur.DRAWS)
def test_the_recorded_spread_over_seeds_holds_a_replay(reference, name):
    """The recorded mean over 500 images and ours over 50 of them: looser, but the reference's own numbers."""
    folder = reference / "data" / "gold"
    recorded = defaultdict(list)
    with (folder / "cifar10c_seed_stats.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["corruption"] == name:
                recorded[int(row["severity"])].append(float(row["mse_vs_clean_mean"]))
    clean = np.load(folder / "cifar10c_50" / "clean.npy")
    for severity, values in recorded.items():
        rngs = [stream("recorded", name, severity, index) for index in range(len(clean))]
        changed = replay.pixels(corrupt(replay.batch(clean), name, severity, rngs))
        errors = ((changed.astype(float) - clean) ** 2).mean((1, 2, 3))
        assert abs(errors.mean() - np.mean(values)) <= 4 * errors.std() / len(errors) ** 0.5


def test_the_table_holds_the_five():
    assert set(EQUAL) <= set(CORRUPTIONS)
