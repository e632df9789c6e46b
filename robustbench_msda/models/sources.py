"""Model sources: the text that says where an architecture comes from, and the network it builds.

A source is a name of ours (``resnet20``), ``timm/NAME``, ``torchvision/NAME``, ``hf-hub:ID`` or
``path/to/file.py:callable``. The last is the user's own code, and building it runs that file.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType

import timm
import torchvision
from torch import nn

from robustbench_msda.errors import UnknownName, UserError, unknown
from robustbench_msda.models import (
    allconvnet,
    cifar_densenet,
    cifar_resnet,
    cifar_resnext,
    preact_resnet,
    preact_resnet_fmix,
    projection_resnet,
    pyramidnet,
    small_cnn,
    wide_resnet,
    wide_resnet_snu,
)
from robustbench_msda.models.hub import hub_folder
from robustbench_msda.models.names import MODELS

Options = Mapping[str, int | float | str]

# Arguments of the libraries' factories that bring in weights, files or caches.
RESERVED = frozenset(
    {"num_classes", "weights", "weights_backbone", "checkpoint_path"}
    | {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
    | {"scriptable", "exportable", "no_jit"}
)

# Importing these files is what puts our names into timm's registry.
FAMILIES = (
    small_cnn,
    cifar_resnet,
    wide_resnet,
    preact_resnet,
    pyramidnet,
    projection_resnet,
    wide_resnet_snu,
    preact_resnet_fmix,
    cifar_resnext,
    cifar_densenet,
    allconvnet,
)


def build(source: str, classes: int, options: Options) -> nn.Module:
    """Return the bare network of ``source`` with fresh weights, on the CPU, in training mode.

    It takes normalised images (B, C, H, W) and returns logits (B, ``classes``). Initial weights are drawn from torch's
    generator as the caller left it: seed it inside ``torch.random.fork_rng``.

    Args:
        source: a model source; never pretrained weights.
        classes: how many classes there are; a callable in a file gets it as ``num_classes`` if it takes that.
        options: keyword arguments of the architecture, such as ``{"in_chans": 1}``.

    Raises:
        UnknownName: no architecture has this name.
        UserError: the file, its callable or an option is not there, or the callable does not return a network.
        ValueError: ``classes`` is not positive.
    """
    if classes < 1:
        raise ValueError(f"expected at least one class, got {classes}")
    if reserved := sorted(RESERVED & set(options)):
        raise UserError(f"{source}: {reserved[0]} is no option of an architecture; the command decides it")
    kind, name = split(source)
    try:
        network = BUILDERS[kind](name, classes, options)
    except (AssertionError, ImportError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "none"
        raise UserError(f"cannot build {source} (options: {given}): {one_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{source} must return a torch.nn.Module, found {type(network).__name__}")
    return network


def split(source: str) -> tuple[str, str]:
    """Return the kind of ``source`` (``ours``, ``timm``, ``torchvision``, ``hf-hub``, ``file``) and what it names.

    Raises:
        UserError: it holds line breaks or control characters, which a stranger's checkpoint would print.
    """
    if not source.isprintable():
        raise UserError(f"the model source {source!r} must be plain text, such as resnet20")
    for kind, prefix in (("timm", "timm/"), ("torchvision", "torchvision/"), ("hf-hub", "hf-hub:")):
        if source.startswith(prefix):
            return kind, source.removeprefix(prefix)
    if source.rpartition(":")[0].endswith(".py"):
        return "file", source
    return "ours", source


def runs_code(source: str) -> bool:
    """Return whether building ``source`` runs a file that is neither ours nor a library's."""
    return split(source)[0] == "file"


def one_line(error: BaseException) -> str:
    """Return the kind of ``error`` and its message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def timm_name(name: str) -> str:
    """Return ``name``, which is ``ARCHITECTURE`` or ``ARCHITECTURE.TAG``, if timm has the architecture.

    Raises:
        UnknownName: timm does not have it, or it is one of ours, which has one name only.
    """
    architecture = name.partition(".")[0]
    if architecture in MODELS:
        raise UnknownName(f"{architecture} is not timm's: write {architecture} for timm/{architecture}")
    if not timm.is_model(architecture):
        raise _unknown_in("timm", architecture, timm.list_models())
    return name


def torchvision_name(name: str) -> str:
    """Return the architecture of ``name``, which is ``ARCHITECTURE`` or ``ARCHITECTURE.WEIGHTS``.

    Raises:
        UnknownName: torchvision has no such classifier.
    """
    architecture = name.partition(".")[0]
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        raise _unknown_in("torchvision", architecture, known)
    return architecture


def _unknown_in(library: str, name: str, known: Collection[str]) -> UnknownName:
    near = [f"{library}/{match}" for match in difflib.get_close_matches(name, known, n=3, cutoff=0.6)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return UnknownName(f"unknown model '{library}/{name}'.{hint} See the {len(known)} names of its list_models()")


def _ours(name: str, classes: int, options: Options) -> object:
    if name not in MODELS:
        if timm.is_model(name):
            raise UnknownName(f"unknown model {name!r}: for timm's, write timm/{name}")
        forms = "timm/NAME, torchvision/NAME, hf-hub:ID or path/to/file.py:callable"
        raise UnknownName(f"{unknown(name, MODELS, 'model')}, or give {forms}")
    return _from_timm(name, classes, options)


def _timm(name: str, classes: int, options: Options) -> object:
    return _from_timm(timm_name(name), classes, options)


def _from_timm(name: str, classes: int, options: Options) -> object:
    create: Callable[..., nn.Module] = timm.create_model
    return create(name, num_classes=classes, **options)


def _torchvision(name: str, classes: int, options: Options) -> object:
    return torchvision.models.get_model(torchvision_name(name), weights=None, num_classes=classes, **options)


def _hf_hub(name: str, classes: int, options: Options) -> object:
    return _from_timm(f"local-dir:{hub_folder(name)}", classes, options)


def _file(name: str, classes: int, options: Options) -> object:
    text, _, attribute = name.rpartition(":")
    module = _import(Path(text))
    make = getattr(module, attribute, None)
    if not callable(make):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise unknown(attribute, public or ["(none)"], f"callable of {text}:")
    parameters = inspect.signature(make).parameters
    counts = "num_classes" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    arguments = {**options, "num_classes": classes} if counts else dict(options)
    network: object = make(**arguments)
    return network


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"no file {path}: a model source is path/to/file.py:callable, from the working folder")
    name = f"robustbench_msda_source_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles in the file look their module up by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


BUILDERS: dict[str, Callable[[str, int, Options], object]] = {
    "ours": _ours,
    "timm": _timm,
    "torchvision": _torchvision,
    "hf-hub": _hf_hub,
    "file": _file,
}
