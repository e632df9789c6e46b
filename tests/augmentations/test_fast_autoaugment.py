from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch import Tensor, nn

from robustbench_msda import expressions
from robustbench_msda.augmentations import fast_autoaugment
from robustbench_msda.augmentations.fast_autoaugment import FILL, FastAutoAugment, columns, cut
from robustbench_msda.augmentations.operations import apply
from robustbench_msda.errors import UserError
from robustbench_msda.streams import stream

TABLE = {"fast_autoaugment": FastAutoAugment}


def method(folder: Path, policy: list[list[list[str | float]]]) -> FastAutoAugment:
    path = folder / "policy.json"
    path.write_text(json.dumps(policy))
    return FastAutoAugment(str(path))


def noise(n: int = 10, channels: int = 3, height: int = 16, width: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("name", "ours", "magnitude"),
    [
        ("Solarize", "solarize", 64.0),
        ("Posterize", "posterize", 5.0),
        ("Contrast", "contrast", 0.55),
        ("Color", "color", 0.55),
        ("Brightness", "brightness", 0.55),
        ("Sharpness", "sharpness", 0.55),
        ("AutoContrast", "autocontrast", 0.0),
        ("Equalize", "equalize", 0.0),
        ("Invert", "invert", 0.0),
    ],
)
def test_a_level_of_a_quarter(tmp_path: Path, name: str, ours: str, magnitude: float) -> None:
    images = noise()
    changed = method(tmp_path, [[[name, 1, 0.25]]]).change(images, stream("test"))
    assert torch.equal(changed, apply(images, [ours] * 10, np.full(10, magnitude)))


@pytest.mark.parametrize(
    ("name", "ours", "magnitude"),
    [
        ("ShearX", "shear_x", 0.15),
        ("ShearY", "shear_y", 0.15),
        ("TranslateX", "translate_x", 4.5),
        ("TranslateY", "translate_y", 3.6),
        ("Rotate", "rotate", 15.0),
    ],
)
def test_geometry_goes_either_way(tmp_path: Path, name: str, ours: str, magnitude: float) -> None:
    images = noise(60)
    changed = method(tmp_path, [[[name, 1, 0.25]]]).change(images, stream("test"))
    ways = [apply(images, [ours] * 60, np.full(60, sign * magnitude)) for sign in (1, -1)]
    hits = [(changed == way).flatten(1).all(1) for way in ways]
    assert bool((hits[0] ^ hits[1]).all())
    assert all(12 < int(hit.sum()) < 48 for hit in hits)


def test_operations_of_a_sub_policy_follow_each_other_and_short_ones_end_early(tmp_path: Path) -> None:
    images = noise(40)
    policy: list[list[list[str | float]]] = [[["Solarize", 1, 0.5], ["Equalize", 1, 0]], [["Invert", 1, 0]]]
    changed = method(tmp_path, policy).change(images, stream("test"))
    solarized = apply(images, ["solarize"] * 40, np.full(40, 128.0))
    both = apply(solarized, ["equalize"] * 40, np.zeros(40))
    inverted = apply(images, ["invert"] * 40, np.zeros(40))
    hits = [(changed == one).flatten(1).all(1) for one in (both, inverted)]
    assert bool((hits[0] ^ hits[1]).all())
    assert 8 < int(hits[0].sum()) < 32


def test_probabilities_count(tmp_path: Path) -> None:
    images = noise(3000, 1, 4, 4)
    changed = method(tmp_path, [[["Invert", 0.3, 0.5]]]).change(images, stream("test"))
    assert float((changed != images).flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.03)


@given(
    n=st.integers(1, 4),
    height=st.integers(8, 20),
    width=st.integers(8, 20),
    channels=st.sampled_from([1, 3]),
    data=st.data(),
)
def test_a_hole_is_pillows_rectangle(n: int, height: int, width: int, channels: int, data: st.DataObject) -> None:
    images = noise(n, channels, height, width)
    rows, cols, sides = (
        np.array([data.draw(st.floats(0, top, exclude_max=True)) for _ in range(n)])
        for top in (height, width, 0.2 * width)
    )
    holed = cut(images, rows, cols, sides)
    for image, row, column, side, ours in zip(images, rows, cols, sides, holed, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy().squeeze())
        left, top = int(max(0, column - side / 2)), int(max(0, row - side / 2))
        corners = (left, top, min(width, left + side), min(height, top + side))
        fill = FILL if channels == 3 else Image.new("RGB", (1, 1), FILL).convert("L").getpixel((0, 0))
        if side > 0:
            ImageDraw.Draw(picture).rectangle(corners, fill)
        np.testing.assert_array_equal(ours.permute(1, 2, 0).numpy().squeeze(), np.asarray(picture))


def test_cutout_makes_a_hole_of_the_published_size(tmp_path: Path) -> None:
    images = torch.zeros(500, 3, 40, 40, dtype=torch.uint8)
    changed = method(tmp_path, [[["Cutout", 1, 0.5]]]).change(images, stream("test"))
    filled = changed[:, 0] == FILL[0]
    assert int(filled.flatten(1).sum(1).max()) == 25  # a side of 4, both ends filled
    assert bool(filled.any(0).all())
    assert set(changed[:, 2].unique().tolist()) == {0, FILL[2]}


def test_no_cutout_no_hole(tmp_path: Path) -> None:
    images = noise()
    assert torch.equal(method(tmp_path, [[["Cutout", 1, 0]]]).change(images, stream("test")), images)
    assert torch.equal(method(tmp_path, [[["Cutout", 0, 1]]]).change(images, stream("test")), images)


def test_the_text_holds_the_digest_and_reads_back(tmp_path: Path) -> None:
    made = method(tmp_path, [[["Cutout", 1, 0]]])
    text = expressions.canonical(made, TABLE)
    assert f"digest='{made.digest}'" in text
    assert expressions.parse(text, TABLE, "augmentation") == made


def test_another_content_is_refused(tmp_path: Path) -> None:
    made = method(tmp_path, [[["Cutout", 1, 0]]])
    other = method(tmp_path, [[["Cutout", 1, 0.1]]])
    assert other.digest != made.digest
    with pytest.raises(ValueError, match=f"expected the policy 0{made.digest[1:]}"):
        replace(made, digest=f"0{made.digest[1:]}")


def test_a_result_can_be_read_where_the_policy_is_not_but_not_trained(tmp_path: Path) -> None:
    moved = FastAutoAugment(str(tmp_path / "gone.json"), "0123456789ab")
    with pytest.raises(ValueError, match=r"cannot read the policy .*gone.json: No such file"):
        moved.change(noise(), stream("test"))
    assert re.match(r"cannot read the policy .*gone.json: No such", moved.refusal(nn.Identity(), (32, 32)) or "")


def test_a_policy_that_is_here_is_not_refused(tmp_path: Path) -> None:
    assert method(tmp_path, [[["Cutout", 1, 0]]]).refusal(nn.Identity(), (32, 32)) is None


def test_the_bare_name_asks_for_a_policy_in_one_line() -> None:
    with pytest.raises(
        UserError, match=r"policy='archive.py:fa_reduced_cifar10'.*kakaobrain/fast-autoaugment"
    ) as caught:
        expressions.parse("fast_autoaugment", TABLE, "augmentation")
    assert "\n" not in str(caught.value)


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = method(tmp_path, [[["Invert", 1, 0]]])
    columns(made.policy, made.digest)
    monkeypatch.setattr(fast_autoaugment, "policy_of", None)
    assert torch.equal(made.change(noise(), stream("test")), 255 - noise())
