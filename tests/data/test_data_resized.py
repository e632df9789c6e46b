"""The law of the random resized crop, and pictures cut by it."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from data_builders import pictures, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import chisquare, ks_2samp
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as transforms

from robustbench_msda.data.resized import Box, central_box, crop_box, cut_file, draft
from robustbench_msda.errors import DamagedData

FULL = (0.08, 1.0)


def uniforms(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n, 10, 4))


def boxes(size: tuple[int, int], scale: tuple[float, float], n: int) -> NDArray[np.int64]:
    return np.array([crop_box(size, attempts, scale) for attempts in uniforms(n).tolist()])


def torchvision_boxes(size: tuple[int, int], scale: tuple[float, float], n: int) -> NDArray[np.int64]:
    image = torch.empty(3, *size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = [RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(n)]
    return np.array(found)


def test_the_first_attempt_by_hand() -> None:
    # Half of 100 × 200 is 10,000 pixels; in the middle of log(3/4) … log(4/3) it is a square.
    assert crop_box((100, 200), [[0.5, 0.5, 0.5, 0.5]], (0.0, 1.0)) == Box(0, 50, 100, 100)
    # A quarter, four thirds as wide as high: √(5,000 · 4/3) = 81.6 by √(5,000 · 3/4) = 61.2.
    assert crop_box((100, 200), [[0.0, 1.0, 0.999, 0.0]], (0.25, 1.0)) == Box(39, 0, 61, 82)


def test_an_attempt_that_does_not_fit_is_passed_over() -> None:
    tall, fits = [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.999]
    assert crop_box((100, 200), [tall, fits], (0.0, 1.0)) == Box(0, 100, 100, 100)
    assert crop_box((100, 200), [tall] * 10, (0.0, 1.0)) == central_box((100, 200)) == Box(0, 33, 100, 133)


@pytest.mark.parametrize(
    "size", [(100, 100), (100, 133), (100, 134), (134, 100), (133, 100), (30, 500), (500, 30), (1, 1), (1, 7), (3, 2)]
)
def test_the_middle_is_torchvisions(size: tuple[int, int]) -> None:
    # An area of 9 pictures never fits.
    expected = RandomResizedCrop.get_params(torch.empty(3, *size), [9.0, 9.0], [3 / 4, 4 / 3])
    assert tuple(central_box(size)) == expected


@pytest.mark.parametrize(
    ("size", "scale"), [((375, 500), FULL), ((500, 333), (0.25, 0.4)), ((64, 64), FULL), ((90, 400), (0.8, 1.0))]
)
def test_boxes_fall_as_torchvisions_do(size: tuple[int, int], scale: tuple[float, float]) -> None:
    ours, theirs = boxes(size, scale, 4000), torchvision_boxes(size, scale, 2500)

    def features(found: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        top, left, height, width = found.T
        # Where a box has no room its place says nothing.
        roomy = [(top / (size[0] - height + 1)), left / (size[1] - width + 1)]
        return {"area": height * width, "shape": width / height, "row": roomy[0], "column": roomy[1]}

    for name, values in features(ours).items():
        assert ks_2samp(values, features(theirs)[name]).pvalue > 1e-3, name


def test_all_places_are_equally_likely() -> None:
    # A 100-pixel square of 104 × 106: 5 rows by 7 columns.
    rng = np.random.default_rng(3)
    squares = [[[100 * 100 / (104 * 106), 0.5, *rng.random(2)]] for _ in range(7000)]
    found = np.array([crop_box((104, 106), attempts, (0.0, 1.0)) for attempts in squares])
    assert set(found[:, 2].tolist()) == set(found[:, 3].tolist()) == {100}
    assert chisquare(np.bincount(found[:, 0] * 7 + found[:, 1], minlength=35)).pvalue > 1e-3


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    scale=st.tuples(st.floats(0.001, 1.0), st.floats(0.001, 1.0)).map(lambda pair: (min(pair), max(pair))),
    attempts=st.lists(st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=4, max_size=4), max_size=10),
)
def test_a_box_is_always_inside(size: tuple[int, int], scale: tuple[float, float], attempts: list[list[float]]) -> None:
    top, left, height, width = crop_box(size, attempts, scale)
    assert top >= 0
    assert left >= 0
    assert 1 <= height <= size[0] - top
    assert 1 <= width <= size[1] - left


def torchvision_cut(
    path: Path, attempts: NDArray[np.float64], mirrored: bool, scale: tuple[float, float], side: int
) -> NDArray[np.uint8]:
    """Decode all of it, cut, resize."""
    picture = Image.open(path).convert("RGB")
    box = crop_box((picture.height, picture.width), attempts.tolist(), scale)
    cut = transforms.resized_crop(picture, *box, [side, side], antialias=True)
    return np.asarray(transforms.hflip(cut) if mirrored else cut)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "png"), ("L", "png"), ("P", "png")]
)
def test_pixels_are_torchvisions(tmp_path: Path, mode: str, suffix: str, mirrored: bool) -> None:
    path = tmp_path / f"a.{suffix}"
    picture = Image.fromarray(pictures(1, 12, 1)[0]).resize((301, 222), Image.Resampling.BICUBIC)
    picture.convert(mode).save(path)
    for seed in range(4):
        attempts = uniforms(1, seed)[0]
        found = cut_file(path, attempts, mirrored, FULL, 112)
        np.testing.assert_array_equal(found, torchvision_cut(path, attempts, mirrored, FULL, 112))


@pytest.mark.parametrize(
    ("edge", "reduction"), [(127, 1), (128, 2), (255, 2), (256, 4), (511, 4), (512, 8), (5000, 8), (3, 1)]
)
def test_a_jpeg_is_never_decoded_at_less_than_twice_the_output(edge: int, reduction: int) -> None:
    out = BytesIO()
    Image.new("RGB", (700, 601)).save(out, "JPEG")
    with Image.open(out) as picture:
        assert draft(picture, Box(0, 0, edge, 5000), 32) == reduction
        assert picture.size == (-(-700 // reduction), -(-601 // reduction))


def test_other_formats_are_decoded_as_they_are(tmp_path: Path) -> None:
    Image.fromarray(pictures(1, 300, 1)[0]).save(tmp_path / "a.JPEG", "PNG")  # ImageNet has one of these
    attempts = uniforms(1)[0]
    found = cut_file(tmp_path / "a.JPEG", attempts, False, (0.9, 1.0), 16)
    np.testing.assert_array_equal(found, torchvision_cut(tmp_path / "a.JPEG", attempts, False, (0.9, 1.0), 16))


@pytest.mark.parametrize("size", [(401, 303), (399, 350)])
def test_what_was_decoded_small_lies_where_it_should(tmp_path: Path, size: tuple[int, int]) -> None:
    # A ramp of 0.6 levels a pixel, decoded at an eighth: half a pixel too far would be 2.5 levels.
    width, height = size
    across, down = np.arange(width) * 255 / width, np.arange(height)[:, None] * 255 / height
    ramp = np.stack(np.broadcast_arrays(across, down, (across + down) / 2), 2).round().astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "a.JPEG", quality=100, subsampling=0)
    for seed in range(5):
        attempts = uniforms(1, seed)[0]
        found = cut_file(tmp_path / "a.JPEG", attempts, False, (0.5, 1.0), 16).astype(int)
        expected = torchvision_cut(tmp_path / "a.JPEG", attempts, False, (0.5, 1.0), 16)
        assert abs((found - expected).mean((0, 1))).max() < 0.4


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> list[Path]:
    """Two hundred pictures of ImageNet whose shorter side is 256."""
    folder = tmp_path_factory.mktemp("samples")
    with zipfile.ZipFile(reference / "data/imagenet_samples.zip") as archive:
        archive.extractall(folder)
    return sorted(folder.rglob("*.JPEG"))


def test_decoding_at_a_fraction_moves_levels_as_little_as_the_docstring_says(samples: list[Path]) -> None:
    off = []
    for path, attempts in zip(samples, uniforms(len(samples)), strict=True):
        found = cut_file(path, attempts, False, (0.8, 1.0), 64).astype(int)
        off.append(abs(found - torchvision_cut(path, attempts, False, (0.8, 1.0), 64)))
    reduced = [each for each in off if each.any()]
    assert len(samples) == 200
    assert 60 < len(reduced) < 85
    assert 0.4 < np.mean(reduced) < 0.6
    assert max(each.max() for each in reduced) < 30


@pytest.mark.parametrize(
    ("content", "told"), [(b"no picture", "not recognised"), (b"", "not recognised"), (b"\xff\xd8\xff\xe0", "")]
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.JPEG").write_bytes(content)
    with refused(DamagedData, f"{tmp_path / 'a.JPEG'}: expected a picture (", told):
        cut_file(tmp_path / "a.JPEG", uniforms(1)[0], False, FULL, 8)


def test_half_a_picture_and_one_that_is_gone_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.JPEG"
    Image.fromarray(pictures(1, 200, 1)[0]).save(path)
    path.write_bytes(path.read_bytes()[:9000])
    with refused(DamagedData, f"{path}: expected a picture (image file is truncated"):
        cut_file(path, uniforms(1)[0], False, FULL, 8)
    path.unlink()
    with refused(DamagedData, f"{path}: expected a picture ("):
        cut_file(path, uniforms(1)[0], False, FULL, 8)
