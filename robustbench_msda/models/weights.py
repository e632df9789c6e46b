"""Weights in files that strangers made, and whether they fit a network. A file is hostile until it is read."""

from __future__ import annotations

import pickletools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from robustbench_msda.errors import DamagedData, UserError

# Where training programs keep the state dict in what they save.
CONTAINERS = ("state_dict", "model", "state_dict_ema", "model_state_dict", "model_ema", "net")
# What DataParallel, torch.compile and wrapper modules put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.")
# torch fills it in: files from before torch 0.4.1 lack it.
OPTIONAL = "num_batches_tracked"
# What torch.optim.swa_utils.AveragedModel, a wrapper too, counts beside the weights it averages.
AVERAGED = "n_averaged"
SHOWN = 3
SHAPE = "of another shape"


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weights file holds.

    Attributes:
        state: tensors by name, on the CPU.
        container: where in the file they lie, one of ``CONTAINERS``; empty where they are the whole of it.
        beside: what else lies there, such as ``optimizer``.
        metadata: texts of a safetensors file.
    """

    state: dict[str, Tensor]
    container: str = ""
    beside: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU; ``.safetensors``, else what ``torch.save`` writes.

    Raises:
        DamagedData: the file is truncated or is something else.
        UserError: it is not there, wants to run code, or holds no state dict or more than one.
    """
    return open_weights(path).state


def open_weights(path: Path) -> Weights:
    """Return what a weights file holds; see ``read_weights``."""
    if path.suffix != ".safetensors":
        return _state_dict(path, _read_pickle(path))
    state, metadata = read_safetensors(path)
    return Weights(state, metadata=metadata)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file by name, copied out of the file, and its metadata.

    Raises:
        DamagedData: the file is truncated or is something else.
        UserError: it is not there.
    """
    check_exists(path)
    try:
        with safe_open(path, framework="pt") as file:
            names: Iterable[str] = file.keys()
            state, metadata = {name: file.get_tensor(name).clone() for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        # It may quote the file, and so what moves a terminal's cursor.
        reason = " ".join(str(error).split()).encode("unicode_escape").decode("ascii")
        raise DamagedData(f"{path} is not a safetensors file, or is damaged ({reason}): get it again") from None
    _check_names(path, state)
    return state, metadata


def check_exists(path: Path) -> None:
    """Raise ``UserError`` unless ``path`` is a file."""
    if not path.is_file():
        found = "a folder is there" if path.is_dir() else "nothing is there"
        raise UserError(f"no weights at {path}: expected a .safetensors or .pth file, {found}")


def check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise ``DamagedData`` that names the first tensor of ``state`` with NaN or infinity."""
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise DamagedData(f"{where}: tensor {name} holds NaN or infinity: train the network again, or get it again")


def fit(network: nn.Module, state: Mapping[str, Tensor], where: str, classes: int) -> None:
    """Load ``state`` into ``network``: every name, shape and kind of number must be the network's own.

    Names may carry the prefixes of wrappers, if all do. Values are converted to the network's precision.

    Args:
        network: changed in place.
        state: tensors by name.
        where: the file, for messages.
        classes: how many classes the network was built with.

    Raises:
        DamagedData: a tensor holds NaN or infinity.
        UserError: the names, shapes or classes differ; the message says which.
    """
    expected = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    given = unprefixed(state, expected)
    if problem := misfit(given, expected, classes):
        raise UserError(f"{where} {problem}")
    network.load_state_dict(given)
    check_finite(network.state_dict(), where)


def misfit(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], classes: int) -> str:
    """Return on one line why ``given`` is not the state of a network of ``classes`` classes; empty where it is."""
    problems = differences(given, expected)
    answered = head_classes(given, expected, classes) if list(problems) == [SHAPE] else None
    if answered is not None:
        return f"answers with {answered} classes, the data set has {classes}: name its data set"
    return f"does not fit the model: {listed(problems)}" if problems else ""


def listed(problems: Mapping[str, list[str]]) -> str:
    """Return ``differences`` on one line: of each kind a count and the first names."""
    return "; ".join(f"{len(names)} {kind} ({first(names)})" for kind, names in problems.items())


def first(names: Sequence[str]) -> str:
    """Return the first of ``names`` between commas, and that there are more."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def unprefixed(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` without the prefixes that all its names share, as far as that brings it nearer ``expected``."""
    return max(readings(state), key=lambda reading: len(reading.keys() & expected.keys()))


def readings(state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return ``state`` as it is, then without the first of the ``PREFIXES`` that all its names share, and so on."""
    found = [dict(state)]
    while prefix := next((p for p in PREFIXES if _all_start(found[-1], p)), ""):
        found.append({name.removeprefix(prefix): tensor for name, tensor in found[-1].items() if name != AVERAGED})
    return found


def _all_start(state: Mapping[str, Tensor], prefix: str) -> bool:
    names = [name for name in state if name != AVERAGED]
    return bool(names) and all(name.startswith(prefix) for name in names)


def differences(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return what keeps ``given`` from being loaded as ``expected``: kinds of trouble, each with its tensors."""
    missing = [name for name in expected if name not in given and not name.endswith(OPTIONAL)]
    unexpected = [name for name in given if name not in expected]
    misshapen = [
        f"{name}: expected {tuple(tensor.shape)}, found {tuple(given[name].shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    mistyped = [
        f"{name}: expected {tensor.dtype}, found {given[name].dtype}"
        for name, tensor in expected.items()
        if name in given and _kind(given[name]) != _kind(tensor)
    ]
    kinds = {"missing": missing, "unexpected": unexpected, SHAPE: misshapen, "of another type": mistyped}
    return {kind: names for kind, names in kinds.items() if names}


def head_classes(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], classes: int) -> int | None:
    """Return how many classes ``given`` answers with, if nothing but that number differs; else None."""
    shapes = [(tuple(given[name].shape), tuple(own.shape)) for name, own in expected.items() if name in given]
    wrong = [(found, own) for found, own in shapes if found != own]
    rows_only = all(found and found[1:] == own[1:] and own[0] == classes for found, own in wrong)
    counts = {found[:1] for found, _ in wrong}
    return counts.pop()[0] if len(counts) == 1 and rows_only else None


def _state_dict(path: Path, loaded: object) -> Weights:
    if not isinstance(loaded, Mapping):
        raise UserError(f"{path} holds a {type(loaded).__name__}: expected a state dict, tensors by name")
    inner = tuple(name for name in CONTAINERS if isinstance(loaded.get(name), Mapping))
    if len(inner) > 1:
        raise UserError(
            f"{path} holds the weights of several networks ({', '.join(inner)}): save the one you mean alone"
        )
    state = loaded[inner[0]] if inner else loaded
    _check_names(path, state)
    for name, value in state.items():
        if not _is_plain(value):
            raise UserError(
                f"{path}: entry {name!r} is a {type(value).__name__}: expected a state dict, tensors by name"
            )
    tensors = {name: value.detach() for name, value in state.items()}
    beside = tuple(str(name) for name in loaded if name not in inner)
    return Weights(tensors, inner[0], beside) if inner else Weights(tensors)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _check_names(path: Path, names: Iterable[object]) -> None:
    for name in names:
        if not isinstance(name, str) or not name.isprintable():
            raise DamagedData(f"{path}: {name!r} is no name of a tensor: expected a state dict, tensors by name")


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not (value.is_quantized or value.is_meta)


def _read_pickle(path: Path) -> object:
    check_exists(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded: object = torch.load(path, map_location="cpu", weights_only=True)
            return loaded
    except Exception as error:  # Ten types of exception in 3,000 damaged files: a hostile pickle chooses its own.
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        code = wanted[1] if wanted else _code_in(path)
        if code:
            raise UserError(
                f"{path} is refused: opening it would run code ({code}); "
                "where you trust it, save its state dict as .safetensors"
            ) from None
        raise DamagedData(
            f"{path} is damaged or no file of weights ({type(error).__name__}): "
            "expected .safetensors, or a state dict written by torch.save"
        ) from None


def _code_in(path: Path) -> str:
    # torch names the code it refuses, but gives up on the opcodes of newer pickle protocols before it sees any.
    strings = ["", ""]
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                name = str(argument).replace(" ", ".") if opcode.name == "GLOBAL" else ""
                name = ".".join(strings) if opcode.name == "STACK_GLOBAL" else name
                if re.fullmatch(r"\w+(\.\w+)+", name) and not name.startswith(("collections.", "torch._utils.")):
                    return name
                strings = [strings[1], argument] if isinstance(argument, str) else strings
    except Exception:  # The rest of a damaged pickle says nothing.
        return ""
    return ""
