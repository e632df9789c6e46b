"""Speckle noise, frost, fog and spatter: agreement with the reference given its draws, and with plain algorithms."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import reference_draws_weather as replay
import torch
from numpy.typing import NDArray
from PIL import Image
from reference_draws import batch, pixels
from scipy import ndimage

from robustbench_msda.corruptions import CORRUPTIONS, corrupt, fog, frost, noise, spatter
from robustbench_msda.corruptions.severities import FROST, SPATTER
from robustbench_msda.corruptions.table import with_frost
from robustbench_msda.errors import DamagedData, MissingData
from robustbench_msda.streams import stream

GOLDEN = Path(__file__).parent.parent / "golden"
FACTS = json.loads((GOLDEN / "corruptions_weather_32.json").read_text())
WATER = [(side, severity) for side in (32, 64, 224) for severity in (1, 2, 3)]


def assert_agrees(ours: NDArray[np.uint8], gold: NDArray[np.uint8]) -> None:
    difference = np.abs(ours.astype(int) - gold)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


def rows_of(name: str, seed: int, rows: list[int], textures: tuple = ()) -> list[replay.Draw]:
    rng = np.random.RandomState(seed)  # noqa: NPY002
    drawn = [replay.draw(name, rng, 32, textures) for _ in range(max(rows) + 1)]
    return [drawn[row] for row in rows]


@pytest.mark.parametrize("name", ["fog", "speckle_noise", "spatter"])
def test_with_the_reference_draws_ours_equal_the_golden_vectors(name):
    with np.load(GOLDEN / "corruptions_weather_32.npz") as arrays:
        clean, golden = batch(arrays["clean"]), arrays[name]
    for gold, severity in zip(golden, FACTS["severities"], strict=True):
        drawn = rows_of(name, FACTS["seeds"][f"{name}/{severity}"], FACTS["rows"])
        parameter = CORRUPTIONS[name].severities[32][severity - 1]
        assert_agrees(pixels(replay.apply(name, clean, parameter, drawn)), gold)


@pytest.fixture(scope="module")
def gold(reference) -> Path:
    return reference / "data" / "gold"


@pytest.fixture(scope="module")
def textures(reference) -> frost.TextureDraw:
    return frost.draw_from(frost.read_textures(reference / "data" / "frost"))


@pytest.mark.parametrize("name", replay.NAMES)
def test_with_the_reference_draws_ours_equal_the_reference_at_32(gold, textures, name):
    with (gold / "cifar10c_50" / "indices.csv").open() as lines:
        rows = [50 * int(row["label"]) + int(Path(row["jpeg_path"]).stem) for row in csv.DictReader(lines)]
    seeds = json.loads((gold / "cifar10c_50" / "seeds.json").read_text())["seeds"]
    clean = batch(np.load(gold / "cifar10c_50" / "clean.npy"))
    expected = np.load(gold / "cifar10c_50" / f"{name}.npy").reshape(5, -1, 32, 32, 3)
    for severity in (1, 3, 5):
        drawn = rows_of(name, seeds[f"{name}/{severity}"], rows, textures.sizes[32])
        parameter = with_stand_in(name).severities[32][severity - 1]
        assert_agrees(pixels(replay.apply(name, clean, parameter, drawn)), expected[severity - 1])


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("name", replay.NAMES)
def test_with_the_reference_draws_ours_equal_the_reference_at_224(gold, textures, name, severity):
    position = json.loads((gold / "imagenetc" / "meta.json").read_text())["corruption_index"][name]
    parameter = with_stand_in(name).severities[224][severity - 1]
    for image in (0, 26):
        clean = picture(next((gold / "imagenetc" / "inputs").glob(f"{image:02d}_*")))
        rng = np.random.RandomState(10_000 * position + 1_000 * severity + image)  # noqa: NPY002
        drawn = [replay.draw(name, rng, 224, textures.sizes[224])]
        ours = pixels(replay.apply(name, batch(clean[None]), parameter, drawn))[0]
        assert_agrees(ours, picture(gold / "imagenetc" / "outputs" / f"{name}_s{severity}_i{image:02d}.png"))


def with_stand_in(name: str):
    return CORRUPTIONS["frost_procedural" if name == "frost" else name]


def picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("side", [32, 64, 224])
def test_plasma_is_the_diamond_square_algorithm_point_by_point(side):
    size = 4 ** (side - 1).bit_length()
    uniforms = np.random.default_rng(side).random((2, size - 1))
    ours = fog.plasma(torch.from_numpy(uniforms), 1.75).numpy()
    assert ours.shape == (2, int(size**0.5), int(size**0.5))
    assert (ours.min(axis=(1, 2)) == 0).all()
    assert (ours.max(axis=(1, 2)) == 1).all()
    if side == 32:
        np.testing.assert_allclose(ours[1], diamond_square(uniforms[1], 1.75), atol=1e-12)


def diamond_square(uniforms: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Return the map by the textbook: one point after another, neighbours around the torus."""
    draws, n = iter(uniforms), int((len(uniforms) + 1) ** 0.5)
    heights, step, amplitude = np.zeros((n, n)), n, 100.0
    squares = ((-1, -1), (-1, 1), (1, -1), (1, 1))
    sides = ((-1, 0), (1, 0), (0, -1), (0, 1))
    while step > 1:
        half = step // 2
        for row, column, around in ((half, half, squares), (0, half, sides), (half, 0, sides)):
            for i in range(row, n, step):
                for j in range(column, n, step):
                    near = [heights[(i + half * a) % n, (j + half * b) % n] for a, b in around]
                    heights[i, j] = sum(near) / 4 + amplitude * amplitude * (2 * next(draws) - 1)
        step, amplitude = half, amplitude / decay
    heights -= heights.min()
    return heights / heights.max()


def drops(side: int, severity: int, seed: int) -> NDArray[np.uint8]:
    mean, std, sigma, threshold, *_ = SPATTER[side][severity - 1]
    field = np.random.default_rng(seed).normal(mean, std, (side, side))
    layer = ndimage.gaussian_filter(field, sigma, mode="nearest", truncate=4.0)
    return (np.where(layer < threshold, 0, layer) * 255).astype(np.uint8)


@pytest.mark.parametrize(("side", "severity"), WATER)
def test_water_is_shaped_as_opencv_shapes_it(side, severity):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is the oracle here; it is no dependency")
    layers = np.stack([drops(side, severity, seed) for seed in range(20 if side == 32 else 3)])
    grey = torch.from_numpy(layers).float()
    edges, ripples = spatter.edges(grey).numpy(), spatter.ripples(grey).numpy()
    for layer, edge, ripple in zip(layers, edges, ripples, strict=True):
        expected = cv2.Canny(layer, 50, 150)
        np.testing.assert_array_equal(edge, expected > 0)
        distance = np.minimum(cv2.distanceTransform(255 - expected, cv2.DIST_L2, 5), 20)
        np.testing.assert_allclose(spatter.chamfer(torch.from_numpy(edge)[None])[0], distance, atol=1e-5)
        spread = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
        embossed = cv2.filter2D(spread, cv2.CV_8U, np.array(spatter.EMBOSS, dtype=np.float32))
        np.testing.assert_array_equal(ripple, cv2.blur(embossed, (3, 3)))


@pytest.mark.parametrize("shape", [(24, 31), (3, 40)])
def test_the_chamfer_distance_is_the_shortest_way_of_the_three_steps(shape):
    rng = np.random.default_rng(shape[0])
    marked = rng.random(shape) < 0.01
    marked[1, 2] = True
    rows, columns = np.indices(shape)
    expected = np.full(shape, 20.0)
    for row, column in np.argwhere(marked):
        long, short = np.sort(np.abs([rows - row, columns - column]), axis=0)[::-1]
        shallow = 2.1969 * short + (long - 2 * short)
        steep = 2.1969 * (long - short) + 1.4 * (2 * short - long)
        expected = np.minimum(expected, np.where(2 * short <= long, shallow, steep))
    ours = spatter.chamfer(torch.from_numpy(marked)[None])[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_without_an_edge_or_a_drop_nothing_is_spattered():
    none = torch.zeros((1, 40, 40), dtype=torch.bool)
    assert (spatter.chamfer(none) == 20).all()
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for parameter in SPATTER[32]:
        dry = spatter.splash(images, parameter, torch.full((2, 32, 32), -9.0))
        assert (dry.int() - images.int()).abs().max() <= 1


def test_levels_are_equalised_in_order_and_one_level_stays():
    levels = torch.tensor([[[3, 3, 5], [7, 7, 7]], [[4, 4, 4], [4, 4, 4]]]).float()
    expected = [[[0, 0, 64], [255, 255, 255]], [[4, 4, 4], [4, 4, 4]]]
    assert spatter.equalize(levels).tolist() == expected


@pytest.fixture
def drawn_textures() -> tuple[NDArray[np.uint8], ...]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (3, 330 + k, 340), dtype=np.uint8) for k in range(5))


@pytest.mark.parametrize("side", [32, 64, 224, 299])
def test_frost_adds_a_crop_of_a_texture(drawn_textures, side):
    table = with_frost(drawn_textures)
    images = torch.full((4, 3, side, side), 100, dtype=torch.uint8)
    sources = frost.draw_from(drawn_textures).sizes[side]
    for severity, (own, other) in enumerate(FROST[side], 1):
        corrupted = corrupt(images, "frost", severity, [stream("frost", k) for k in range(4)], table).numpy()
        for index, ours in enumerate(corrupted):
            (crop,) = frost.draw_from(drawn_textures)(stream("frost", index), side, ())
            expected = np.clip(own * 100.0 + other * crop.astype(float), 0, 255).astype(np.uint8)
            np.testing.assert_array_equal(ours, expected)
            assert any(crop.tobytes() in each_window(source, side, crop) for source in sources)


def each_window(source: NDArray[np.uint8], side: int, crop: NDArray[np.uint8]) -> set[bytes]:
    """Return the windows of ``source`` that begin with the value ``crop`` begins with."""
    starts = np.argwhere(source[0, : source.shape[1] - side, : source.shape[2] - side] == crop[0, 0, 0])
    return {source[:, row : row + side, column : column + side].tobytes() for row, column in starts}


def test_the_table_with_frost_has_it_in_the_stand_ins_place(drawn_textures):
    table = with_frost(drawn_textures)
    assert [name.replace("frost_procedural", "frost") for name in CORRUPTIONS] == list(table)
    assert "frost" not in CORRUPTIONS


@pytest.mark.parametrize(("shape", "factor"), [((315, 561), 0.3), ((315, 560), 0.2), ((100, 101), 0.3)])
def test_textures_shrink_as_opencv_shrinks_them(shape, factor):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is the oracle here; it is no dependency")
    texture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = cv2.resize(texture, (0, 0), fx=factor, fy=factor)
    np.testing.assert_array_equal(np.moveaxis(frost.shrink(np.moveaxis(texture, -1, 0), factor), 0, -1), expected)


def test_the_textures_are_five_of_the_reference_files(reference):
    textures = frost.read_textures(reference / "data" / "frost")
    facts = json.loads((reference / "reference" / "constants.json").read_text())["frost_images"]
    assert [list(texture.shape[1:]) for texture in textures] == facts["height_width"][:5]
    np.testing.assert_array_equal(textures[1], textures[2])


def test_textures_that_are_missing_or_others_are_a_users_error(tmp_path, monkeypatch):
    with pytest.raises(MissingData, match=r"frost1\.png.*hendrycks/robustness"):
        frost.read_textures(tmp_path)
    (tmp_path / "frost1.png").write_bytes(b"not a picture")
    with pytest.raises(DamagedData, match=r"frost1\.png.*SHA-256"):
        frost.read_textures(tmp_path)
    monkeypatch.setattr(frost, "find_spec", lambda name: None)
    with pytest.raises(MissingData, match=r"name a folder .*or install.* imagecorruptions"):
        frost.read_textures()


def test_drawn_frost_covers_the_glass_with_bluish_ice_of_many_greys():
    (drawn,) = frost.draw_crystals(stream("crystals", 0), 64, ())
    ice = frost.crystals(noise.middles(torch.from_numpy(drawn)[None]))[0]
    assert ice.min() >= 0
    assert ice.max() <= 255
    red, _, blue = ice.mean((1, 2))
    assert blue > red
    assert 15 < ice.std() < 60
    assert 120 < ice.mean() < 210
