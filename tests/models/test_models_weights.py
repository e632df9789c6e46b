from __future__ import annotations

import argparse
import os
import pickle
import random
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.models.checkpoints import Checkpoint, load_foreign
from robustbench_msda.models.sources import build
from robustbench_msda.models.weights import read_weights

CLASSES = ("ant", "bee", "cat")
State = dict[str, Tensor]


def state_of(source: str = "small_cnn", classes: int = 3, seed: int = 0) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(build(source, classes, {}).state_dict())


def foreign(path: Path, source: str = "small_cnn", classes: tuple[str, ...] = CLASSES) -> Checkpoint:
    return load_foreign(path, source, dataset="animals", classes=classes, mean=(0.5,) * 3, std=(0.25,) * 3)


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def assert_holds(checkpoint: Checkpoint, state: State) -> None:
    assert checkpoint.state.keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(checkpoint.state[name], tensor, rtol=0, atol=0, check_dtype=False)


def refused(path: Path, kind: type[UserError] = UserError, **given: object) -> str:
    with pytest.raises(kind) as caught:
        foreign(path, **given)  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable(), "one line, no control characters"
    return message


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "bare": lambda state: state,
    "ordered": OrderedDict,
    "parameters": lambda state: {k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in state.items()},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "arch": "small_cnn", "optimizer": {"state": {}}},
    "model": lambda state: {"model": state, "args": {"lr": 0.1}},
    "state_dict_ema": lambda state: {"state_dict_ema": state},
    "model_ema": lambda state: {"model_ema": state, "epoch": 3},
    "averaged": lambda state: {"n_averaged": torch.tensor(7), **{f"module.{key}": v for key, v in state.items()}},
    "averaged, compiled": lambda state: {
        "model_ema": {"n_averaged": torch.tensor(7), **{f"module._orig_mod.{key}": v for key, v in state.items()}}
    },
    "model_state_dict": lambda state: {
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: torch.ones(1)}},
    },
    "net": lambda state: {"net": state, "acc": 93.2, "epoch": 10},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "lightning": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 1},
    "three deep": lambda state: {f"module._orig_mod.model.{key}": value for key, value in state.items()},
    "old torch": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    "float64": lambda state: {
        key: value.double() if value.is_floating_point() else value for key, value in state.items()
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_training_programs_wrap_weights_in_many_ways(tmp_path: Path, wrapping: str) -> None:
    state = state_of()
    assert_holds(foreign(saved(tmp_path / "w.pth", WRAPPINGS[wrapping](state))), state)


def test_averaged_weights_are_those_that_torch_averages(tmp_path: Path) -> None:
    network = build("small_cnn", 3, {})
    averaged = torch.optim.swa_utils.AveragedModel(network)
    averaged.update_parameters(network)
    assert_holds(foreign(saved(tmp_path / "w.pth", averaged.state_dict())), dict(network.state_dict()))


def test_a_count_alone_is_no_wrapper(tmp_path: Path) -> None:
    assert "17 missing" in refused(saved(tmp_path / "a.pth", {"n_averaged": torch.tensor(7)}))
    assert "1 unexpected (n_averaged)" in refused(
        saved(tmp_path / "b.pth", {"n_averaged": torch.tensor(7), **state_of()})
    )


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.pth.tar", "w.ckpt"])
def test_suffixes(tmp_path: Path, name: str) -> None:
    assert_holds(foreign(saved(tmp_path / name, state_of())), state_of())


def test_the_format_of_old_torch(tmp_path: Path) -> None:
    torch.save(state_of(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert_holds(foreign(tmp_path / "w.pth"), state_of())


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_others(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    state = {f"module.{key}": value for key, value in state_of().items()}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors", metadata)
    assert_holds(foreign(tmp_path / "w.safetensors"), state_of())


def test_half_precision_is_widened_exactly(tmp_path: Path) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in state_of().items()}
    checkpoint = foreign(saved(tmp_path / "w.pth", half))
    assert checkpoint.state["linear.weight"].dtype is torch.float32
    assert_holds(checkpoint, half)


OTHER_NAMES = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Linear(4, num_classes)
    def forward(self, x):
        return self.classifier(self.model(x).mean((2, 3)))

class Trunk(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.model = Net(num_classes)
"""


@pytest.mark.parametrize("attribute", ["Net", "Trunk"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module."])
def test_a_network_of_their_own(tmp_path: Path, attribute: str, prefix: str) -> None:
    (tmp_path / "net.py").write_text(OTHER_NAMES)
    source = f"{tmp_path}/net.py:{attribute}"
    state = state_of(source)
    path = saved(tmp_path / "w.pth", {"net": {f"{prefix}{key}": value for key, value in state.items()}})
    checkpoint = foreign(path, source)
    assert checkpoint.source == source
    assert_holds(checkpoint, state)


def test_a_prefix_of_some_names_stays(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in state_of().items()}
    state["linear.bias"] = state.pop("module.linear.bias")
    message = refused(saved(tmp_path / "w.pth", state))
    assert "missing (features.0.weight, features.1.weight, features.1.bias, …)" in message


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = state_of()
    state["extra.weight"] = state.pop("features.0.weight")
    state["features.4.weight"] = torch.zeros(7, 7)
    message = refused(saved(tmp_path / "w.pth", state))
    assert "1 missing (features.0.weight)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "1 of another shape (features.4.weight: expected (32, 16, 3, 3), found (7, 7))" in message


def test_heads_for_training_only_are_named(tmp_path: Path) -> None:
    heads = {"rotation.weight": torch.zeros(4, 64), "rotation.bias": torch.zeros(4)}
    message = refused(saved(tmp_path / "w.pth", state_of() | heads))
    assert message.endswith("does not fit the model: 2 unexpected (rotation.weight, rotation.bias)")


def test_long_lists_are_cut(tmp_path: Path) -> None:
    message = refused(saved(tmp_path / "w.pth", state_of("resnet20")))
    assert "15 missing (features.0.weight, features.1.weight, features.1.bias, …)" in message
    assert "114 unexpected (conv1.weight, bn1.weight, bn1.bias, …)" in message


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_numbers_of_another_kind(tmp_path: Path, dtype: torch.dtype) -> None:
    state = state_of() | {"linear.bias": torch.zeros(3, dtype=dtype)}
    assert f"linear.bias: expected torch.float32, found {dtype}" in refused(saved(tmp_path / "w.pth", state))


@pytest.mark.parametrize("source", ["small_cnn", "wrn_28_2", "timm/test_resnet"])
def test_another_number_of_classes_is_named(tmp_path: Path, source: str) -> None:
    message = refused(saved(tmp_path / "w.pth", state_of(source, 100)), source=source)
    assert "answers with 100 classes, the data set has 3" in message


@pytest.mark.parametrize(
    "change",
    [
        {"linear.bias": torch.tensor(1.0)},
        {"linear.weight": torch.zeros(5, 64), "linear.bias": torch.zeros(4)},
        {"linear.weight": torch.zeros(5, 64), "linear.bias": torch.tensor(1.0)},
        {"linear.weight": torch.zeros(3, 63)},
        {"features.1.weight": torch.zeros(5)},
        {"linear.weight": torch.zeros(5, 64), "linear.bias": torch.zeros(5), "features.0.weight": torch.zeros(1)},
    ],
)
def test_what_only_looks_like_another_number_of_classes(tmp_path: Path, change: State) -> None:
    first = next(name for name in state_of() if name in change)
    message = refused(saved(tmp_path / "w.pth", state_of() | change))
    assert f"{len(change)} of another shape ({first}: expected" in message
    assert "classes" not in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    state = state_of()
    state["features.1.running_var"][2] = value
    message = refused(saved(tmp_path / "w.pth", state), DamagedData)
    assert "tensor features.1.running_var holds NaN or infinity" in message


def test_weights_too_large_for_float32(tmp_path: Path) -> None:
    state = state_of() | {"linear.bias": torch.full((3,), 1e300, dtype=torch.float64)}
    assert "tensor linear.bias holds NaN or infinity" in refused(saved(tmp_path / "w.pth", state), DamagedData)


def test_weights_of_several_networks_are_not_guessed_between(tmp_path: Path) -> None:
    message = refused(saved(tmp_path / "w.pth", {"state_dict": state_of(), "state_dict_ema": state_of(seed=1)}))
    assert "several networks (state_dict, state_dict_ema)" in message


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], 3, "text", None])
def test_files_that_hold_no_state_dict(tmp_path: Path, value: object) -> None:
    assert "expected a state dict" in refused(saved(tmp_path / "w.pth", value))


@pytest.mark.parametrize(
    "entry",
    [
        {"epoch": 3},
        {0: torch.ones(1)},
        {"a\n\x1b[2J": torch.ones(1)},
        {"sparse": torch.ones(2, 2).to_sparse()},
        {"meta": torch.ones(2, device="meta")},
    ],
)
def test_state_dicts_with_entries_that_are_no_tensors(tmp_path: Path, entry: dict[object, object]) -> None:
    assert "expected a state dict" in refused(saved(tmp_path / "w.pth", {**state_of(), **entry}))


def test_a_tensor_larger_than_any_memory(tmp_path: Path) -> None:
    state = state_of() | {"linear.bias": torch.zeros(1).expand(1 << 50)}
    assert f"answers with {1 << 50} classes" in refused(saved(tmp_path / "w.pth", state))


class Run:
    """Unpickled without restriction, it calls ``function``."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


WRITERS: dict[str, Callable[[object, Path], object]] = {
    "zip": torch.save,
    "old torch": lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
    "pickle": lambda value, path: path.write_bytes(pickle.dumps(value)),
    "pickle 2": lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2)),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("function", "name"), [(os.mkdir, "posix.mkdir"), (exec, "exec"), (os.system, "posix.system")])
def test_a_pickle_that_wants_to_run_code(
    tmp_path: Path, writer: str, function: Callable[..., object], name: str
) -> None:
    target = tmp_path / "ran"
    argument = {"posix.mkdir": str(target), "posix.system": f"mkdir {target}"}.get(
        name, f"import os; os.mkdir({str(target)!r})"
    )
    path = tmp_path / "w.pth"
    WRITERS[writer]({"state_dict": {"linear.bias": Run(function, argument)}}, path)
    message = refused(path)
    assert name in message
    assert "would run code" in message
    assert ".safetensors" in message
    assert not target.exists()


def test_whole_modules_and_arguments_are_code_too(tmp_path: Path) -> None:
    assert "torch.nn.modules.linear.Linear" in refused(saved(tmp_path / "a.pth", nn.Linear(2, 2)))
    arguments = {"state_dict": state_of(), "args": argparse.Namespace(lr=0.1)}
    assert "argparse.Namespace" in refused(saved(tmp_path / "b.pth", arguments))


@pytest.mark.parametrize("content", [b"", b"\0", b"hello", b"<!DOCTYPE html><html>404</html>", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(path, DamagedData)


def test_a_pickle_named_safetensors_and_the_reverse(tmp_path: Path) -> None:
    refused(saved(tmp_path / "w.safetensors", state_of()), DamagedData)
    safetensors.torch.save_file(state_of(), tmp_path / "w.pth")
    refused(tmp_path / "w.pth", DamagedData)


def test_missing_files(tmp_path: Path) -> None:
    assert "nothing is there" in refused(tmp_path / "w.pth")
    assert "a folder is there" in refused(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_never_passes_for_something_else(tmp_path: Path, zipped: bool) -> None:
    whole, path = tmp_path / "whole.pth", tmp_path / "w.pth"
    torch.save({"a": torch.arange(30.0), "b": torch.ones(5)}, whole, _use_new_zipfile_serialization=zipped)
    content = whole.read_bytes()
    chance = random.Random(0)
    messages = []
    for _ in range(150):
        damaged = bytearray(content[: chance.choice([len(content), chance.randrange(len(content))])])
        for _ in range(min(len(damaged), 3)):
            damaged[chance.randrange(min(len(damaged), 400))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            found = read_weights(path)
        except UserError as error:
            messages.append(str(error))
        else:
            assert all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items())
    assert len(messages) > 75
    assert all(message.isprintable() and str(path) in message for message in messages)


def test_a_truncated_zip(tmp_path: Path) -> None:
    content = saved(tmp_path / "whole.pth", state_of()).read_bytes()
    path = tmp_path / "w.pth"
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        assert "is damaged or no file of weights" in refused(path, DamagedData)


def test_half_of_safetensors(tmp_path: Path) -> None:
    safetensors.torch.save_file(state_of(), tmp_path / "whole.safetensors")
    content = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "w.safetensors"
    for share in (0.001, 0.1, 0.5, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        assert "is not a safetensors file, or is damaged" in refused(path, DamagedData)
