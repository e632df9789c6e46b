from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from robustbench_msda import augmentations, preview
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear").mul(255).round().div(255)


@pytest.mark.parametrize(
    "text", ["mixup", "cutmix", "fmix", "gmix", "dcutmix", "saliencymix", "saliency_dcutmix", "puzzlemix"]
)
def test_masks_are_the_shares_of_the_labels(images: Tensor, text: str) -> None:
    """The mean of every mask is that picture's share of the label, and the masks of an image sum to 1."""
    shown = preview.show(text, images, 0)
    assert shown.masks is not None
    np.testing.assert_allclose(shown.masks.mean((2, 3)), shown.targets, atol=2e-3)
    np.testing.assert_allclose(shown.masks.sum(1), np.ones((6, 32, 32)), atol=2e-3)
    assert 0.15 < shown.targets[0].max() < 0.85


def test_hidden_features_are_shown_where_the_input_is_mixed(images: Tensor) -> None:
    shown = preview.show("manifold_mixup", images, 0)
    assert shown.masks is not None
    np.testing.assert_allclose(shown.masks[0, 0], np.full((32, 32), shown.targets[0, 0]), atol=2e-3)


def test_a_mask_rebuilds_the_mixed_image(images: Tensor) -> None:
    shown = preview.show("cutmix", images, 3)
    assert shown.masks is not None
    rebuilt = sum(shown.masks[0, k, :, :, None] * images[k].permute(1, 2, 0).numpy() for k in range(6))
    np.testing.assert_allclose(shown.images[0, 0], rebuilt, atol=1e-3)
    assert set(np.unique(shown.masks[0].round(2))) == {0.0, 1.0}


def test_methods_that_leave_labels_alone_show_what_is_fed(images: Tensor) -> None:
    shown = preview.show("cutout(size=8)", images, 0)
    assert shown.masks is None
    assert shown.images.shape == (1, 6, 32, 32, 3)
    changed = (shown.images[0] != images.permute(0, 2, 3, 1).numpy()).any(3)
    assert 16 <= changed[0].sum() <= 64
    views = preview.show("augmix", images, 0)
    assert views.images.shape == (3, 6, 32, 32, 3)
    np.testing.assert_array_equal(views.images[0], images.permute(0, 2, 3, 1).numpy())


def test_what_is_shown_is_a_draw_of_the_method(images: Tensor) -> None:
    batch = Batch(images, torch.eye(6), torch.arange(6))
    key, _ = preview.mixing_draw(augmentations.parse("mixup"), batch, 5)
    expected = augmentations.parse("mixup").mix(batch, stream("preview", 5, key))
    shown = preview.show("mixup", images, 5)
    np.testing.assert_allclose(shown.images[0], expected.images.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(shown.targets, expected.targets.numpy())


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_pictures_are_shown_as_a_network_of_one_channel_is_fed(tmp_path: Path, mode: str) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(files):
        levels = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(levels).convert(mode).save(path)
    images = preview.opened(files, 28)
    assert images.shape == (3, 1, 28, 28)
    for text in ("cutmix", "cutout", "augmix", "manifold_mixup", "puzzlemix", "adversarial_training"):
        shown = preview.show(text, images, 0)
        assert shown.images.shape[2:] == (28, 28, 1)
    preview.preview(["cutmix", "augmix"], files, tmp_path / "grid.png", size=28)
    with Image.open(tmp_path / "grid.png") as drawn:
        assert drawn.size[0] > 100
    # One coloured picture among them makes all of them RGB.
    assert preview.opened([*files, red(tmp_path)], 28).shape == (4, 3, 28, 28)


def red(folder: Path) -> Path:
    picture = np.zeros((28, 28, 3), np.uint8)
    picture[..., 0] = 255
    Image.fromarray(picture).save(folder / "red.png")
    return folder / "red.png"


def test_a_picture_is_cut_to_the_middle_square(tmp_path: Path) -> None:
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 200, 200, 201
    Image.fromarray(picture).save(tmp_path / "wide.png")
    Image.fromarray(picture.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    cut = preview.opened([tmp_path / "wide.png", tmp_path / "tall.png"], 20)
    assert cut.shape == (2, 3, 20, 20)
    assert float(cut.min()) == pytest.approx(200 / 255)
    assert float(cut[:, 2].min()) == pytest.approx(201 / 255)
    assert preview.opened([], 24).shape == (2, 3, 24, 24)
