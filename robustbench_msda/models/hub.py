"""What the caches of timm and torchvision hold: nothing here opens a connection.

An evaluation that starts to download is one that hangs on a cluster node: without a network, the hub client retries for
half a minute. So weights are looked for on this disk, and the error says how to get them there.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from robustbench_msda.errors import MissingData, UserError

WEIGHTS = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")


def hub_folder(model_id: str) -> Path:
    """Return the cached folder of ``hf-hub:model_id`` (``owner/name`` or ``owner/name@revision``), with its config.

    Raises:
        MissingData: it is not in the cache.
        UserError: ``model_id`` is not of that form.
    """
    config = hub_file(model_id, "config.json")
    if config is None:
        raise missing(f"hf-hub:{model_id}", f"timm.create_model('hf-hub:{model_id}', pretrained=True)")
    return config.parent


def hub_file(model_id: str, name: str) -> Path | None:
    """Return the cached file ``name`` of ``model_id``, or None."""
    repository, _, revision = model_id.partition("@")
    try:
        found = try_to_load_from_cache(repository, name, revision=revision or None)
    except HFValidationError:
        raise UserError(f"hf-hub:{model_id} must be hf-hub:owner/name or hf-hub:owner/name@revision") from None
    return Path(found) if isinstance(found, str) else None


def hub_weights(model_id: str, name: str | None) -> Path | None:
    """Return the cached weights of ``model_id``: the file ``name``, or the first of the usual ones; None without."""
    candidates = (hub_file(model_id, candidate) for candidate in ((name,) if name else WEIGHTS))
    return next((path for path in candidates if path is not None), None)


def downloaded(url: str) -> Path | None:
    """Return where torch keeps what it downloaded from ``url``, or None where it did not."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    return path if path.is_file() else None


def missing(source: str, command: str) -> MissingData:
    """Return the exception for pretrained weights that are not on this disk; ``command`` is Python that gets them."""
    library = command.partition(".")[0]
    return MissingData(
        f"{source} is not in the local cache: on a machine with a network run python -c "
        f'"import {library}; {command}", or give a file of weights'
    )
