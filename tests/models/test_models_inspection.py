"""What is said of files of weights: good ones, bad ones and hostile ones."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from networks import fresh_checkpoint, saved
from torch import Tensor, nn

from robustbench_msda.errors import UserError
from robustbench_msda.models.checkpoints import METADATA, Checkpoint, load, load_foreign, network, save
from robustbench_msda.models.file_format import OLD, PICKLE, SAFETENSORS, UNKNOWN, ZIP, file_format
from robustbench_msda.models.inspection import Inspection, candidates, inspect
from robustbench_msda.models.layers import classes_of, first_layer, last_layer, numbered, parameters
from robustbench_msda.models.names import MODELS
from robustbench_msda.models.sources import build

State = dict[str, Tensor]
# Cheap to make: the whole table takes seconds.
FEW = ("small_cnn", "resnet20", "wrn_28_2", "preact_resnet18", "preact_resnet18_fmix")


@pytest.fixture
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(MODELS) - set(FEW):
        monkeypatch.delitem(MODELS, name)


pytestmark = pytest.mark.usefixtures("few_models")


def state_of(source: str = "small_cnn", classes: int = 10) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(build(source, classes, {}).state_dict())


def kept(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def changed(state: State, **tensors: Tensor) -> State:
    return state | {name.replace("__", "."): tensor for name, tensor in tensors.items()}


def assert_loads_as_it_says(found: Inspection, source: str, classes: int) -> None:
    """What is said to load must load, and the other way round."""
    names = tuple(str(number) for number in range(classes))
    arguments = {"dataset": "animals", "classes": names, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    if found.fault:
        with pytest.raises(UserError):
            load_foreign(found.path, source, **arguments)  # type: ignore[arg-type]
    else:
        load_foreign(found.path, source, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("classes", [10, 7])
def test_a_strangers_weights_are_those_of_one_of_our_models(tmp_path: Path, name: str, classes: int) -> None:
    state = {f"module.{key}": value for key, value in state_of(name, classes).items()}
    found = inspect(kept(tmp_path / "w.pth", {"net": state, "acc": 93.2, "epoch": 10}))
    assert (found.matches, found.classes, found.fault) == ((name,), classes, "")
    assert (found.container, found.beside, found.prefix) == ("net", ("acc", "epoch"), "module.")
    assert found.state.keys() == state_of(name).keys()
    assert first_layer(found.state) in ("features.0.weight", "conv1.weight")
    assert last_layer(found.state) in ("linear.weight", "fc.weight")
    if classes == 10:
        assert parameters(found.state) == MODELS[name].parameters


@pytest.mark.parametrize("name", FEW)
def test_only_one_of_ours_has_these_names_and_shapes(name: str) -> None:
    assert [each.name for each in candidates(state_of(name, 5)) if not each.problems] == [name]


def grey_state(name: str, classes: int = 10) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(build(name, classes, {"in_chans": 1}).state_dict())


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_strangers_network_of_grey_images(tmp_path: Path, name: str, suffix: str) -> None:
    path, state = tmp_path / f"w.{suffix}", grey_state(name, 7)
    safetensors.torch.save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    for found in (inspect(path), inspect(path, name), inspect(path, name, 7)):
        assert (found.matches or (found.source,), found.classes, found.fault) == ((name,), 7, "")
    assert "answers with 7 classes" in inspect(path, name, 10).fault
    arguments = {"dataset": "fashion_mnist", "classes": tuple("abcdefg")}
    assert load_foreign(path, name, mean=(0.5,), std=(0.25,), **arguments).options == {}
    with pytest.raises(UserError, match="of another shape"):
        load_foreign(path, name, mean=(0.5,) * 3, std=(0.25,) * 3, **arguments)


def test_one_of_ours_for_grey_images(tmp_path: Path) -> None:
    own = Checkpoint(grey_state("small_cnn"), "small_cnn", {}, (0.5,), (0.25,), tuple("0123456789"), "letters")
    save(own, tmp_path / "w.safetensors")
    found = inspect(tmp_path / "w.safetensors")
    assert (found.source, found.problems, found.fault) == ("small_cnn", {}, "")
    assert found.checkpoint is not None
    assert found.checkpoint.fingerprint == own.fingerprint
    coloured = replace(own, mean=(0.5,) * 3, std=(0.25,) * 3)
    save(coloured, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="does not fit the model"):
        network(load(tmp_path / "w.safetensors"), "cpu")


def test_one_of_ours_tells_all(tmp_path: Path) -> None:
    recipe = {"dataset": "digits", "model": "small_cnn", "augmentation": "mixup(alpha=1.0)", "epochs": 3}
    path = saved(tmp_path, recipe=dict(recipe)) / "checkpoint.safetensors"
    found = inspect(path)
    assert found.checkpoint is not None
    assert found.checkpoint.fingerprint == load(path).fingerprint
    assert (found.source, found.classes, found.problems, found.fault) == ("small_cnn", 10, {}, "")
    assert (found.format, found.size) == (SAFETENSORS, path.stat().st_size)
    assert list(found.state) == list(state_of()), "in the order of the network, not of the alphabet"


def test_one_of_ours_that_is_another_model(tmp_path: Path) -> None:
    found = inspect(saved(tmp_path) / "checkpoint.safetensors", "resnet20")
    assert found.source == "resnet20"
    assert "missing" in found.problems
    assert "it fits small_cnn: give that as --model" in found.fault


def metadata_of(path: Path) -> dict[str, object]:
    with safetensors.safe_open(path, framework="pt") as file:
        said: dict[str, object] = json.loads(file.metadata()[METADATA])
    return said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 2}, "metadata: version"),
        ({"\x1b[2J": 2}, "metadata: \\x1b[2J: Extra inputs"),
        ({"std": [0.0, 1.0, 1.0]}, "positive stds"),
        ({"recipe": {"dataset": "digits", "model": "small_cnn", "lr": -1}}, "recipe: lr"),
        ({"recipe": {"dataset": "digits", "model": "small_cnn", "speed": 1}}, "unknown field of a recipe"),
        ({"source": "no_such_model"}, "unknown model 'no_such_model'"),
        ({"source": "net.py:tiny"}, "wants to run the file net.py:tiny"),
        ({"classes": ["a", "b"]}, "answers with 10 classes, the data set has 2"),
        ({"options": {"width": 3}}, "cannot build small_cnn"),
    ],
)
def test_one_of_ours_that_says_what_cannot_be(tmp_path: Path, change: dict[str, object], expected: str) -> None:
    path = saved(tmp_path) / "checkpoint.safetensors"
    said = metadata_of(path) | change
    safetensors.torch.save_file(dict(fresh_checkpoint().state), path, {METADATA: json.dumps(said)})
    found = inspect(path)
    assert expected in found.fault
    assert len(found.state) == 20, "what could be read is told"


def test_a_file_that_a_checkpoint_names_is_run_only_where_it_is_trusted(tmp_path: Path) -> None:
    source = f"{tmp_path / 'net.py'}:tiny"
    (tmp_path / "net.py").write_text(
        "from pathlib import Path\nfrom torch import nn\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "def tiny(num_classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))\n"
    )
    state = {"1.weight": torch.zeros(3, 12), "1.bias": torch.zeros(3)}
    arguments = {"dataset": "animals", "classes": ("a", "b", "c"), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    checkpoint = load_foreign(kept(tmp_path / "w.pth", state), source, **arguments)  # type: ignore[arg-type]
    (tmp_path / "ran").unlink()
    save(checkpoint, tmp_path / "ours.safetensors")
    assert source in inspect(tmp_path / "ours.safetensors").fault
    assert not (tmp_path / "ran").exists()
    assert inspect(tmp_path / "ours.safetensors", source).fault == ""
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod.model."])
@pytest.mark.parametrize("container", ["", "state_dict", "state_dict_ema", "model_ema"])
def test_wrappers_are_named(tmp_path: Path, wrapper: str, container: str) -> None:
    state = {f"{wrapper}{key}": value for key, value in state_of().items()}
    path = kept(tmp_path / "w.pth", {container: state, "epoch": 1} if container else state)
    for source in ("", "small_cnn"):
        found = inspect(path, source)
        assert (found.container, found.prefix, found.fault) == (container, wrapper, "")
        assert found.beside == (("epoch",) if container else ())


def test_several_networks(tmp_path: Path) -> None:
    found = inspect(kept(tmp_path / "w.pth", {"state_dict": state_of(), "state_dict_ema": state_of()}))
    assert "several networks (state_dict, state_dict_ema)" in found.fault


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precision_loads(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state_of().items()}
    found = inspect(kept(tmp_path / "w.pth", state))
    assert (found.matches, found.fault) == (("small_cnn",), "")
    assert {tensor.dtype for tensor in found.state.values()} == {dtype, torch.int64}


MISFITS: dict[str, tuple[Callable[[State], State], str, str]] = {
    "wrong shape": (
        lambda s: changed(s, features__4__weight=torch.zeros(7, 7)),
        "1 of another shape (features.4.weight: expected (32, 16, 3, 3), found (7, 7))",
        "another width",
    ),
    "images of four channels": (
        lambda s: changed(s, features__0__weight=torch.zeros(16, 4, 3, 3)),
        "1 of another shape (features.0.weight: expected (16, 3, 3, 3), found (16, 4, 3, 3))",
        "images with other channels",
    ),
    "extra heads": (
        lambda s: changed(s, rotation__weight=torch.zeros(4, 64), rotation__bias=torch.zeros(4)),
        "2 unexpected (rotation.weight, rotation.bias)",
        "heads for training only",
    ),
    "a part": (
        lambda s: {key: value for key, value in s.items() if "linear" not in key},
        "2 missing (linear.weight, linear.bias)",
        "get the whole",
    ),
    "integers": (
        lambda s: changed(s, linear__bias=torch.zeros(10, dtype=torch.int64)),
        "linear.bias: expected torch.float32, found torch.int64",
        "convert its numbers",
    ),
    "odd prefix": (
        lambda s: {f"backbone.{key}": value for key, value in s.items()},
        "17 missing",
        "the missing names are there with 'backbone.' before them: remove that",
    ),
    "odd prefix and other names": (
        lambda s: {f"backbone.{key.replace('linear', 'out')}": value for key, value in s.items()},
        "17 missing",
        "another network",
    ),
    "other names": (
        lambda s: {key.replace("linear", "out"): value for key, value in s.items()},
        "2 missing (linear.weight, linear.bias); 2 unexpected (out.weight, out.bias)",
        "another network",
    ),
    "another of ours": (lambda _: state_of("resnet20"), "114 unexpected", "it fits resnet20: give that as --model"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_why_it_does_not_fit_and_what_to_do(tmp_path: Path, kind: str) -> None:
    change, reason, advice = MISFITS[kind]
    path = kept(tmp_path / "w.pth", change(state_of()))
    found = inspect(path, "small_cnn")
    assert reason in found.fault
    assert advice in found.fault
    assert found.fault.startswith(f"{path} does not fit the model: ")
    assert_loads_as_it_says(found, "small_cnn", 10)


def test_the_nearest_of_ours_is_named_where_little_lacks(tmp_path: Path) -> None:
    heads = changed(state_of(), rotation__weight=torch.zeros(4, 64), rotation__bias=torch.zeros(4))
    found = inspect(kept(tmp_path / "w.pth", heads))
    assert (found.matches, found.fault) == ((), "")
    assert found.nearest == "small_cnn but for 2 unexpected (rotation.weight, rotation.bias)"
    own = {"stem.weight": torch.zeros(8, 3, 3, 3), "10.weight": torch.zeros(6, 8), "9.weight": torch.zeros(5, 8)}
    safetensors.torch.save_file(own, tmp_path / "w.safetensors")
    found = inspect(tmp_path / "w.safetensors")
    assert (found.matches, found.nearest, found.classes, found.fault) == ((), "", 6, "")


@pytest.mark.parametrize("source", ["", "small_cnn"])
def test_the_classes_of_the_data_set(tmp_path: Path, source: str) -> None:
    path = kept(tmp_path / "w.pth", state_of(classes=7))
    assert inspect(path, source).fault == ""
    assert inspect(path, source, 7).fault == ""
    found = inspect(path, source, 100)
    assert "answers with 7 classes, the data set has 100" in found.fault
    assert_loads_as_it_says(found, "small_cnn", 100)


def test_a_model_of_timm_with_as_many_classes_as_the_file(tmp_path: Path) -> None:
    found = inspect(kept(tmp_path / "w.pth", state_of("timm/test_resnet", 12)), "timm/test_resnet")
    assert (found.classes, found.problems, found.fault) == (12, {}, "")


def test_a_network_that_answers_with_a_convolution(tmp_path: Path) -> None:
    path = kept(tmp_path / "w.pth", state_of("torchvision/squeezenet1_1", 12))
    assert inspect(path, "torchvision/squeezenet1_1").fault == ""
    assert inspect(path, "torchvision/squeezenet1_1").classes == 12
    assert "answers with 12 classes, the data set has 10" in inspect(path, "torchvision/squeezenet1_1", 10).fault


@pytest.mark.parametrize("source", ["", "small_cnn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_are_not_finite(tmp_path: Path, source: str, dtype: torch.dtype) -> None:
    state = changed(state_of(), linear__bias=torch.full((10,), float("nan"), dtype=dtype))
    found = inspect(kept(tmp_path / "w.pth", state), source)
    assert "tensor linear.bias holds NaN or infinity" in found.fault
    assert_loads_as_it_says(found, "small_cnn", 10)


@pytest.mark.parametrize("shape", [(1 << 50,), (1 << 44, 64)])
def test_a_tensor_larger_than_any_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    name = "linear.bias" if len(shape) == 1 else "linear.weight"
    path = kept(tmp_path / "w.pth", state_of() | {name: torch.zeros(1).expand(shape)})
    found = inspect(path)
    assert found.classes < 100
    assert (found.matches, found.fault) == ((), "")
    assert inspect(path, "small_cnn").fault != ""


class Run:
    """Unpickled without restriction, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (torch.save, ZIP),
        (lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False), OLD),
        (lambda value, path: path.write_bytes(pickle.dumps(value)), PICKLE),
    ],
)
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, write: Callable[[object, Path], object], kind: str
) -> None:
    path = tmp_path / "w.pth"
    write({"state_dict": {"linear.bias": Run(tmp_path / "ran")}}, path)
    found = inspect(path)
    assert found.format == kind
    assert "would run code (posix.mkdir)" in found.fault
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [nn.Linear(2, 2), {"model": {}, "args": argparse.Namespace(lr=1)}])
def test_objects_of_classes_are_code(tmp_path: Path, value: object) -> None:
    assert "would run code" in inspect(kept(tmp_path / "w.pth", value)).fault


@pytest.mark.parametrize("value", [torch.ones(3), {}, {"state_dict": {}}, {"epoch": 3}, {0: torch.ones(1)}, None])
def test_files_without_a_state_dict(tmp_path: Path, value: object) -> None:
    found = inspect(kept(tmp_path / "w.pth", value))
    assert "state dict" in found.fault
    assert (found.format, found.state) == (ZIP, {})


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty file"),
        (b"\0", UNKNOWN),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer in place of the file"),
        (b"PK\x03\x04", "zip archive, cut short or damaged"),
        (b"\x1f\x8b\x08", "gzip archive"),
        (b"\x89HDF\r\n", "HDF5, as Keras writes"),
        (b"\x02\0\0\0\0\0\0\0{}", SAFETENSORS),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = inspect(path)
    assert found.format == kind
    assert str(path) in found.fault


def test_a_program_of_torch_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(state_of(), tmp_path / "w.pth")
    assert file_format(tmp_path / "w.pth") == ZIP
    import zipfile

    with zipfile.ZipFile(tmp_path / "w.pth", "a") as archive:
        archive.writestr("w/constants.pkl", b"")
    found = inspect(tmp_path / "w.pth")
    assert found.format == "TorchScript archive, a program"
    assert found.fault


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_half_a_file(tmp_path: Path, name: str, share: float) -> None:
    whole = saved(tmp_path) / "checkpoint.safetensors" if name == "w.safetensors" else kept(tmp_path / "a", state_of())
    content = whole.read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    found = inspect(tmp_path / name)
    assert "damaged" in found.fault
    assert found.fault.isprintable()
    assert found.state == {}


def test_a_header_that_moves_the_cursor(tmp_path: Path) -> None:
    header = b'{"a": {"dtype": "\\u001b[2J", "shape": [1], "data_offsets": [0, 4]}}'
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    fault = inspect(path).fault
    assert "damaged" in fault
    assert fault.isprintable()


def test_a_name_that_belies_the_format(tmp_path: Path) -> None:
    kept(tmp_path / "w.safetensors", state_of())
    assert inspect(tmp_path / "w.safetensors").fault.endswith("rename it to .pth")
    safetensors.torch.save_file(state_of(), tmp_path / "w.pth")
    assert inspect(tmp_path / "w.pth").fault.endswith("rename it to .safetensors")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is there"):
        inspect(tmp_path / "w.pth")
    with pytest.raises(UserError, match="a folder is there"):
        inspect(tmp_path)


def test_numbers_in_names_are_numbers() -> None:
    names = ["10.weight", "9.weight", "layer1.2.a", "layer1.10.a", "fc", "a"]
    state = {name: torch.zeros(1) for name in names}
    assert list(numbered(state)) == ["9.weight", "10.weight", "a", "fc", "layer1.2.a", "layer1.10.a"]


@pytest.mark.parametrize(
    ("shapes", "last", "classes"),
    [
        ({"fc.weight": (5, 2), "zoom.weight": (3, 2)}, "fc.weight", 5),
        ({"a.weight": (5, 2), "b.weight": (3, 2)}, "b.weight", 3),
        ({"a.weight": (5, 2, 1, 1), "a.bias": (5,)}, "", 0),
        ({"head.weight": (200_000, 2)}, "head.weight", 0),
    ],
)
def test_the_last_layer(shapes: dict[str, tuple[int, ...]], last: str, classes: int) -> None:
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    assert (last_layer(state), classes_of(state)) == (last, classes)
