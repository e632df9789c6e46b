"""How the images were made that published weights were published with: what their source's own metadata say."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import timm
import torch
import torchvision
from timm.data.config import resolve_data_config

from robustbench_msda.models.sources import build, split, timm_name, torchvision_name

# Any number: only the description of the network is asked for.
CLASSES = 2


class PublishedView(NamedTuple):
    """How a picture becomes an image: resized, then cut out of the centre.

    Attributes:
        side: height and width of the image.
        short: what the shorter side of the picture is resized to.
        interpolation: ``bilinear``, ``bicubic`` …
        mode: ``center`` keeps the picture's shape in resizing; timm's ``squash`` and ``border`` do otherwise.
    """

    side: int
    short: int
    interpolation: str
    mode: str = "center"


def published_view(source: str) -> PublishedView | None:
    """Return how the images of ``source`` were made where its weights were tested; None where it has none published.

    Args:
        source: ``timm/…``, ``torchvision/…`` or ``hf-hub:…``, whose weights ``pretrained`` found; another has none.
    """
    kind, name = split(source)
    if kind == "torchvision":
        return _torchvision(name)
    if kind == "timm":
        config = timm.get_pretrained_cfg(timm_name(name))
        return _timm(config.to_dict()) if config else None
    if kind == "hf-hub":
        with torch.device("meta"):
            network = build(source, CLASSES, {})
        return _timm(cast(dict[str, Any], network.pretrained_cfg))
    return None


def _timm(config: dict[str, Any]) -> PublishedView:
    # timm's tables of results are made at the test size where a model has one; transforms_factory.py rounds down.
    said = resolve_data_config(pretrained_cfg=config, use_test_size=True)
    side = int(said["input_size"][-1])
    return PublishedView(side, math.floor(side / said["crop_pct"]), said["interpolation"], said["crop_mode"])


def _torchvision(name: str) -> PublishedView:
    published = torchvision.models.get_model_weights(torchvision_name(name))
    tag = name.partition(".")[2] or next(weights.name for weights in published)
    transform = published[tag].transforms()
    return PublishedView(transform.crop_size[0], transform.resize_size[0], transform.interpolation.value)
