from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from robustbench_msda.augmentations.operations import IDENTITY, OPERATIONS, OVERLAPPING, apply
from robustbench_msda.errors import UnknownName

GOLDEN = Path(__file__).parents[1] / "golden" / "augmix_ops_32.npz"
PIL = Callable[[Image.Image, float], Image.Image]


def affine(matrix: Callable[[float], tuple[float, ...]]) -> PIL:
    return lambda image, v: image.transform(
        image.size, Image.Transform.AFFINE, matrix(v), resample=Image.Resampling.BILINEAR
    )


PILLOW: dict[str, PIL] = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "invert": lambda image, _: ImageOps.invert(image),
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
    "solarize": lambda image, v: ImageOps.solarize(image, v),
    "rotate": lambda image, v: image.rotate(v, resample=Image.Resampling.BILINEAR),
    "shear_x": affine(lambda v: (1, v, 0, 0, 1, 0)),
    "shear_y": affine(lambda v: (1, 0, 0, v, 1, 0)),
    "translate_x": affine(lambda v: (1, 0, v, 0, 1, 0)),
    "translate_y": affine(lambda v: (1, 0, 0, 0, 1, v)),
    "hflip": lambda image, _: ImageOps.mirror(image),
    "vflip": lambda image, _: ImageOps.flip(image),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
}
RANGES = {
    "posterize": (1.0, 8.99),
    "solarize": (0.0, 256.0),
    "rotate": (-400.0, 400.0),
    "shear_x": (-1.0, 1.0),
    "shear_y": (-1.0, 1.0),
    "translate_x": (-20.0, 20.0),
    "translate_y": (-20.0, 20.0),
}
# Pillow computes these in whole numbers, tables or float32, and so do we.
EXACT = {"equalize", "invert", "posterize", "solarize", "hflip", "vflip", "autocontrast", *OVERLAPPING}
SHAPES = [(32, 32, 3), (9, 13, 3), (8, 8, 1), (33, 20, 1), (50, 41, 3)]


def bounds(name: str) -> tuple[float, float]:
    return RANGES.get(name, (0.0, 2.5))


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return (B, H, W, C) bytes as (B, C, H, W), channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def as_array(images: Tensor) -> NDArray[np.uint8]:
    return images.permute(0, 2, 3, 1).numpy()


def by_pillow(image: NDArray[np.uint8], name: str, magnitude: float) -> NDArray[np.uint8]:
    squeezed = image[:, :, 0] if image.shape[2] == 1 else image
    return np.asarray(PILLOW[name](Image.fromarray(squeezed), float(magnitude))).reshape(image.shape)


def picture(shape: tuple[int, int, int], seed: int, n: int = 6) -> NDArray[np.uint8]:
    """Return ``n`` images: flat, of few values, dark, and of noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
    images[0] = 7
    images[1] = images[1] // 64 * 30 + 50
    images[2] = images[2] // 4 + 40
    return images


def apart(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> int:
    return int(np.abs(ours.astype(int) - theirs).max())


def test_every_operation_has_an_oracle() -> None:
    assert PILLOW.keys() == OPERATIONS.keys()
    assert OPERATIONS.keys() > OVERLAPPING


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=20)
@given(data=st.data())
def test_an_operation_is_pillows(name: str, data: st.DataObject) -> None:
    images = picture(data.draw(st.sampled_from(SHAPES)), data.draw(st.integers(0, 99)))
    magnitudes = np.array([data.draw(st.floats(*bounds(name))) for _ in images])
    ours = as_array(apply(as_tensor(images), [name] * len(images), magnitudes))
    theirs = np.stack([by_pillow(image, name, v) for image, v in zip(images, magnitudes, strict=True)])
    assert apart(ours, theirs) <= (0 if name in EXACT else 1)


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
@pytest.mark.parametrize("shape", [*SHAPES, (224, 200, 3)])
def test_warps_differ_from_pillow_in_few_pixels(name: str, shape: tuple[int, int, int]) -> None:
    images = picture(shape, 1)
    magnitudes = np.random.default_rng(2).uniform(*bounds(name), len(images))
    ours = as_array(apply(as_tensor(images), [name] * len(images), magnitudes))
    theirs = np.stack([by_pillow(image, name, v) for image, v in zip(images, magnitudes, strict=True)])
    assert apart(ours, theirs) <= 1
    assert (ours != theirs).mean() < 0.03


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "magnitude"), [("rotate", v) for v in (0, 90, 180, 270, -90, 45)])
def test_right_angles_are_pillows(name: str, magnitude: float, shape: tuple[int, int, int]) -> None:
    images = picture(shape, 3)
    ours = as_array(apply(as_tensor(images), [name] * len(images), np.full(len(images), float(magnitude))))
    theirs = np.stack([by_pillow(image, name, magnitude) for image in images])
    assert apart(ours, theirs) <= 1


@pytest.mark.parametrize("shift", [-31, -7, 0, 5, 32])
def test_whole_translations_move_every_pixel_unchanged(shift: int) -> None:
    images = picture((32, 32, 3), 4)
    expected = np.zeros_like(images)
    source, target = (slice(shift, None), slice(0, 32 - shift)) if shift >= 0 else (slice(0, shift), slice(-shift, 32))
    expected[:, :, target] = images[:, :, source]
    magnitudes = np.full(len(images), float(shift))
    np.testing.assert_array_equal(as_array(apply(as_tensor(images), ["translate_x"] * 6, magnitudes)), expected)
    turned = as_array(apply(as_tensor(images.swapaxes(1, 2)), ["translate_y"] * 6, magnitudes))
    np.testing.assert_array_equal(turned, expected.swapaxes(1, 2))


def magnitude_of(name: str, level: int, sign: int, side: int) -> float:
    """Return AugMix's magnitude of ``level``: google-research/augmix 9b9824c, augmentations.py."""
    if name == "rotate":
        return sign * int(level * 30 / 10)
    if name.startswith("shear"):
        return sign * level * 0.3 / 10
    if name.startswith("translate"):
        return sign * int(level * (side / 3) / 10)
    if name == "posterize":
        return 4 - int(level * 4 / 10)
    if name == "solarize":
        return 256 - int(level * 256 / 10)
    return level * 1.8 / 10 + 0.1


def check_gold(images: NDArray[np.uint8], outputs: dict[str, NDArray[np.uint8]]) -> set[str]:
    """Compare ``outputs``, keyed OPERATION_levelL_signS, and return the operations that were compared."""
    seen = set()
    for key, theirs in outputs.items():
        name, level, sign = key.rsplit("_", 2)
        magnitude = magnitude_of(name, int(level[5:]), int(sign[4:]), images.shape[1])
        ours = as_array(apply(as_tensor(images), [name] * len(images), np.full(len(images), float(magnitude))))
        assert apart(ours, theirs) <= (0 if name in EXACT else 1), key
        seen.add(name)
    return seen


def test_operations_are_augmixs() -> None:
    with np.load(GOLDEN) as gold:
        outputs = {key: gold[key][None] for key in gold.files if key != "image"}
        seen = check_gold(gold["image"][None], outputs)
    assert seen == OPERATIONS.keys() - {"invert", "hflip", "vflip"}
    assert len(outputs) == 19


@pytest.mark.parametrize(("file", "count"), [("augmix_ops.npz", 97), ("augmix_ops_224.npz", 10)])
def test_operations_are_augmixs_in_the_whole_reference(reference: Path, file: str, count: int) -> None:
    with np.load(reference / "data" / "gold" / "augment" / file) as gold:
        outputs = {key: gold[key] for key in gold.files if "level" in key}
        check_gold(gold["images"], outputs)
    assert len(outputs) == count


def mixed_batch(n: int, seed: int) -> tuple[Tensor, list[str], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.choice([*OPERATIONS, IDENTITY], n)]
    return as_tensor(picture((12, 10, 3), seed, n)), names, np.array([rng.uniform(*bounds(name)) for name in names])


@given(seed=st.integers(0, 50))
@settings(max_examples=20)
def test_a_row_depends_on_its_row_only(seed: int) -> None:
    images, names, magnitudes = mixed_batch(40, seed)
    whole = apply(images, names, magnitudes)
    order = np.random.default_rng(seed).permutation(40)
    shuffled = apply(images[order], [names[i] for i in order], magnitudes[order])
    assert torch.equal(shuffled, whole[order])
    for row in (0, 17):
        assert torch.equal(apply(images[row : row + 1], names[row : row + 1], magnitudes[row : row + 1])[0], whole[row])


def test_the_batch_is_left_untouched_and_the_layout_kept() -> None:
    images, names, magnitudes = mixed_batch(40, 1)
    before = images.clone()
    changed = apply(images, names, magnitudes)
    assert torch.equal(images, before)
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(changed, images)
    assert torch.equal(apply(images.contiguous(), names, magnitudes), changed)


def test_identity_leaves_the_row() -> None:
    images = as_tensor(picture((12, 10, 3), 1))
    same = apply(images, [IDENTITY] * 6, np.zeros(6))
    assert torch.equal(same, images)
    assert same.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", ["hflip", "vflip", "invert"])
def test_involutions(name: str) -> None:
    images = as_tensor(picture((12, 10, 3), 1))
    once = apply(images, [name] * 6, np.zeros(6))
    assert not torch.equal(once, images)
    assert torch.equal(apply(once, [name] * 6, np.zeros(6)), images)


def test_posterize_keeps_one_bit_at_least() -> None:
    images = as_tensor(picture((12, 10, 3), 1))
    assert torch.equal(apply(images, ["posterize"] * 6, np.zeros(6)), apply(images, ["posterize"] * 6, np.ones(6)))


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(UnknownName, match="unknown operation 'shear'"):
        apply(as_tensor(picture((8, 8, 3), 1)), ["shear"] * 6, np.zeros(6))


@pytest.mark.parametrize(("names", "magnitudes"), [(["invert"] * 5, np.zeros(6)), (["invert"] * 6, np.zeros(5))])
def test_lengths_must_agree(names: list[str], magnitudes: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="one name and one magnitude an image"):
        apply(as_tensor(picture((8, 8, 3), 1)), names, magnitudes)


def test_images_must_be_bytes() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 images.*torch.float32"):
        apply(torch.zeros(1, 3, 8, 8), ["invert"], np.zeros(1))
