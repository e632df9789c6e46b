"""How published weights' images were made, against the libraries' own transforms."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torchvision
from hub_cache import empty_caches, publish
from timm.data.transforms_factory import create_transform

from robustbench_msda.models.pretrained import pretrained
from robustbench_msda.models.published import PublishedView, published_view


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("timm/resnet50.tv_in1k", PublishedView(224, 256, "bilinear")),
        # Tested at 288 px, whole: both are the test's, not those of training (224 px, 0.95).
        ("timm/resnet50.a1_in1k", PublishedView(288, 288, "bicubic")),
        ("timm/resnet50", PublishedView(288, 288, "bicubic")),
        ("timm/tf_efficientnet_b0.ns_jft_in1k", PublishedView(224, 256, "bicubic")),
        ("timm/vit_base_patch16_384.augreg_in21k_ft_in1k", PublishedView(384, 384, "bicubic")),
        ("torchvision/resnet50.IMAGENET1K_V1", PublishedView(224, 256, "bilinear")),
        ("torchvision/resnet50.IMAGENET1K_V2", PublishedView(224, 232, "bilinear")),
        ("torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1", PublishedView(384, 384, "bicubic")),
        ("torchvision/squeezenet1_1", PublishedView(224, 256, "bilinear")),
        ("resnet20", None),
        ("nets/mine.py:Net", None),
    ],
)
def test_known_sources(source: str, expected: PublishedView | None) -> None:
    assert published_view(source) == expected


@pytest.mark.parametrize("crop", [0.875, 0.9, 0.95, 0.965, 1.0])
@pytest.mark.parametrize("side", [160, 224, 299])
def test_the_shorter_side_is_that_of_the_transform_of_timm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, crop: float
) -> None:
    network = timm.create_model("test_resnet", num_classes=2)
    size = (3, side, side)
    caches = empty_caches(tmp_path, monkeypatch)
    said = {"input_size": size, "crop_pct": crop, "interpolation": "bilinear"}
    source = publish(caches, "me/mine", network, "test_resnet", "ab", **said)
    transform = create_transform(size, crop_pct=crop, interpolation="bilinear")
    resize, cut = transform.transforms[:2]
    assert published_view(source) == PublishedView(cut.size[0], resize.size, resize.interpolation.value)


def test_what_a_hub_model_does_not_say_is_as_the_library_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = timm.create_model("test_resnet", num_classes=2)
    source = publish(empty_caches(tmp_path, monkeypatch), "me/mine", network, "test_resnet", "ab")
    assert published_view(source) == PublishedView(224, 256, "bicubic")
    found = pretrained(source)
    assert (found.mean, found.std) == (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)
    squashed = {"input_size": [3, 64, 64], "crop_mode": "squash", "crop_pct": 0.5, "interpolation": "nearest"}
    source = publish(tmp_path, "me/mine", network, "test_resnet", "ab", **squashed)
    assert published_view(source) == PublishedView(64, 128, "nearest", "squash")


def test_every_published_classifier_of_torchvision_is_described() -> None:
    views = {
        published_view(f"torchvision/{name}.{weights.name}")
        for name in torchvision.models.list_models(module=torchvision.models)
        for weights in torchvision.models.get_model_weights(name)
    }
    assert None not in views
    assert len(views) > 20
