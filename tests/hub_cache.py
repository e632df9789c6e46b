"""Caches of timm, the hub and torch with what nobody downloaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import torch
from torch import nn


def empty_caches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return ``folder``, in which the libraries' caches now are, empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(folder / "torch"))
    return folder


def fill_hub(caches: Path, repository: str, files: dict[str, bytes]) -> None:
    """Keep ``files`` as the only revision of ``repository``."""
    folder = caches / "hub" / f"models--{repository.replace('/', '--')}"
    for name, content in files.items():
        path = folder / "snapshots" / "0123" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("0123")


def publish(
    caches: Path, repository: str, network: nn.Module, architecture: str, classes: Sequence[str], **said: object
) -> str:
    """Return the source of a network of timm's, kept as if downloaded; ``said`` is what its config says of images."""
    meaning = {"label_names": list(classes), "num_classes": len(classes), **said}
    config = {"architecture": architecture, "num_classes": len(classes), "pretrained_cfg": meaning}
    weights = safetensors.torch.save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": weights}
    fill_hub(caches, repository, files)
    return f"hf-hub:{repository}"
