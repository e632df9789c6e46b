"""Published weights of timm, torchvision and the Hugging Face hub, from the caches of those libraries."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple, cast

import timm
import torchvision
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import nn

from robustbench_msda.errors import UserError
from robustbench_msda.models.hub import downloaded, hub_folder, hub_weights, missing
from robustbench_msda.models.sources import one_line, split, timm_name, torchvision_name
from robustbench_msda.models.weights import read_weights


class Pretrained(NamedTuple):
    """A bare network with published weights, and what its images and answers mean.

    ``classes`` are WordNet ids where the network answers with ImageNet's classes: the names of ImageNet's folders.
    """

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]


def pretrained(source: str) -> Pretrained:
    """Return the network of ``source`` (``timm/…``, ``torchvision/…`` or ``hf-hub:…``) with its published weights.

    Raises:
        MissingData: they are not in the local cache; nothing is downloaded.
        UserError: the source has no published weights, has several, or its cached file is damaged.
    """
    kind, name = split(source)
    loaders = {"timm": _timm, "torchvision": _torchvision, "hf-hub": _hf_hub}
    if kind not in loaders:
        raise UserError(f"{source} has no published weights: give a checkpoint or a file of weights")
    try:
        return loaders[kind](name)
    except (AttributeError, LookupError, OSError, pickle.PickleError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"cannot read the cached weights of {source}: {one_line(error)}; delete them") from error


def _timm(name: str) -> Pretrained:
    try:
        config = timm.get_pretrained_cfg(timm_name(name))
    except RuntimeError as error:
        raise UserError(f"unknown weights timm/{name}: {error}") from None
    if config is None or not config.has_weights:
        raise UserError(f"timm/{name} has no published weights: choose another of timm.list_pretrained()")
    path = hub_weights(config.hf_hub_id, config.hf_hub_filename) if config.hf_hub_id else None
    path = path or (downloaded(config.url) if isinstance(config.url, str) else None)
    if path is None:
        raise missing(f"timm/{name}", f"timm.create_model('{name}', pretrained=True)")
    return _described(timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}))


def _hf_hub(name: str) -> Pretrained:
    folder = hub_folder(name)
    if hub_weights(name, None) is None:
        raise missing(f"hf-hub:{name}", f"timm.create_model('hf-hub:{name}', pretrained=True)")
    return _described(timm.create_model(f"local-dir:{folder}", pretrained=True))


def _described(network: nn.Module) -> Pretrained:
    config = cast(dict[str, Any], network.pretrained_cfg)
    subset = infer_imagenet_subset(network)
    indices = (str(number) for number in range(config["num_classes"]))
    classes = config.get("label_names") or (ImageNetInfo(subset).label_names() if subset else indices)
    return Pretrained(network, tuple(config["mean"]), tuple(config["std"]), tuple(classes))


def _torchvision(name: str) -> Pretrained:
    architecture = torchvision_name(name)
    published = torchvision.models.get_model_weights(architecture)
    tags = [weights.name for weights in published]
    tag = name.partition(".")[2] or (tags[0] if len(tags) == 1 else "")
    if tag not in tags:
        # IMAGENET1K_V1 and _V2 of one architecture differ by five points: the choice is the user's.
        choices = ", ".join(f"torchvision/{architecture}.{each}" for each in tags)
        raise UserError(f"torchvision/{name} must name its weights: one of {choices}")
    weights = published[tag]
    path = downloaded(weights.url)
    if path is None:
        raise missing(f"torchvision/{name}", f"torchvision.models.get_model('{architecture}', weights='{tag}')")
    # torchvision itself unpickles the file without restriction.
    read_weights(path)
    network = torchvision.models.get_model(architecture, weights=weights)
    if getattr(network, "transform_input", False):
        raise UserError(
            f"torchvision/{name} normalises its input once more, which checkpoints do not record: use timm's"
        )
    transform = weights.transforms()
    return Pretrained(network, tuple(transform.mean), tuple(transform.std), tuple(ImageNetInfo().label_names()))
