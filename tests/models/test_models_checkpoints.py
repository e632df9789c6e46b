from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.models import checkpoints
from robustbench_msda.models.checkpoints import Checkpoint, load, load_foreign, load_pretrained, network, save
from robustbench_msda.models.pretrained import Pretrained
from robustbench_msda.models.sources import build

# What `tiny()` is known by. It may change only with the contract on identity, which makes every old file a stranger.
GOLDEN_FINGERPRINT = "8fa68b7128c1"


def tiny() -> Checkpoint:
    return Checkpoint(
        state={
            "b": torch.tensor([[1.0, -2.0], [0.5, 0.25]]),
            "a": torch.tensor([3, 4], dtype=torch.int64),
            "half": torch.tensor([1.5], dtype=torch.bfloat16),
            "n": torch.tensor(7),
            "empty": torch.zeros(0, 3),
        },
        source="resnet20",
        options={"in_chans": 1, "rate": 1.0, "act": "relu"},
        mean=(0.5,),
        std=(0.25,),
        classes=("cat", "dög"),
        dataset="pets",
        recipe={"lr": 0.1, "milestones": [0.5, 1 / 3], "preset": None},
    )


def trained(seed: int = 0, source: str = "small_cnn", classes: int = 3) -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build(source, classes, {}).state_dict()
    names = tuple(f"class {number}" for number in range(classes))
    return Checkpoint(state, source, {}, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), names, "digits")


def same_state(one: Checkpoint, two: Checkpoint) -> bool:
    return one.state.keys() == two.state.keys() and all(
        torch.equal(one.state[name], two.state[name]) and one.state[name].dtype is two.state[name].dtype
        for name in one.state
    )


def test_golden_fingerprint() -> None:
    assert tiny().fingerprint == GOLDEN_FINGERPRINT


def test_fingerprint_is_its_description() -> None:
    checkpoint = tiny()
    identity = hashlib.sha256()
    for name, tensor in sorted(checkpoint.state.items()):
        kind = {torch.float32: "float32", torch.int64: "int64", torch.bfloat16: "bfloat16"}[tensor.dtype]
        identity.update(json.dumps([name, kind, list(tensor.shape)]).encode() + b"\n")
        raw = tensor.view(torch.int16) if kind == "bfloat16" else tensor
        identity.update(raw.numpy().tobytes())
    meaning = ["resnet20", {"act": "relu", "in_chans": 1, "rate": 1.0}, [0.5], [0.25], ["cat", "dög"]]
    identity.update(json.dumps(meaning).encode())
    assert checkpoint.fingerprint == identity.hexdigest()[:12]


def changed(**fields: object) -> Checkpoint:
    return dataclasses.replace(tiny(), **fields)  # type: ignore[arg-type]


def with_tensor(name: str, tensor: Tensor) -> Checkpoint:
    return changed(state={**tiny().state, name: tensor})


DIFFERENT = {
    "a value": with_tensor("b", torch.tensor([[1.0, -2.0], [0.5, 0.2500001]])),
    "an integer": with_tensor("n", torch.tensor(8)),
    "a dtype": with_tensor("b", tiny().state["b"].double()),
    "a dtype of equal bytes": with_tensor("half", torch.tensor([1.5], dtype=torch.bfloat16).view(torch.int16)),
    "a shape of equal bytes": with_tensor("b", tiny().state["b"].reshape(4)),
    "an empty shape": with_tensor("empty", torch.zeros(3, 0)),
    "a new tensor": with_tensor("c", torch.zeros(0)),
    "a name": changed(state={("B" if key == "b" else key): value for key, value in tiny().state.items()}),
    "two tensors swapped": changed(state=tiny().state | {"half": tiny().state["n"], "n": tiny().state["half"]}),
    "source": changed(source="resnet32"),
    "options": changed(options={"in_chans": 1, "rate": 1.0}),
    "the kind of an option": changed(options={"in_chans": 1, "rate": 1, "act": "relu"}),
    "mean": changed(mean=(0.50000001,)),
    "std": changed(std=(0.5,)),
    "classes": changed(classes=("dög", "cat")),
}
SAME = {
    "order of tensors": changed(state=dict(sorted(tiny().state.items()))),
    "order of options": changed(options={"rate": 1.0, "act": "relu", "in_chans": 1}),
    "memory layout": with_tensor("b", tiny().state["b"].T.contiguous().T),
    "parameters": with_tensor("b", nn.Parameter(tiny().state["b"])),
    "the recipe": changed(recipe=None),
    "the name of the data set": changed(dataset="animals"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_fingerprint_changes_with(what: str) -> None:
    assert DIFFERENT[what].fingerprint != tiny().fingerprint


def test_all_these_fingerprints_differ() -> None:
    assert len({checkpoint.fingerprint for checkpoint in DIFFERENT.values()}) == len(DIFFERENT)


@pytest.mark.parametrize("what", SAME)
def test_fingerprint_does_not_change_with(what: str) -> None:
    assert SAME[what].fingerprint == tiny().fingerprint


@settings(max_examples=50)
@given(st.permutations(list(tiny().state)), st.integers(0, 31), st.integers(0, 3))
def test_fingerprint_sees_every_bit_and_no_order(order: list[str], bit: int, position: int) -> None:
    shuffled = changed(state={name: tiny().state[name] for name in order})
    assert shuffled.fingerprint == tiny().fingerprint
    flipped = tiny().state["b"].clone()
    word = flipped.view(torch.int32).view(-1)
    word[position] ^= torch.tensor(1 << bit, dtype=torch.int64).to(torch.int32)
    assert with_tensor("b", flipped).fingerprint != tiny().fingerprint


def test_file_gives_back_all_that_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "checkpoint.safetensors"
    save(tiny(), path)
    found = load(path)
    assert same_state(found, tiny())
    for field in dataclasses.fields(Checkpoint)[1:]:
        assert getattr(found, field.name) == getattr(tiny(), field.name)
    assert [type(value) for value in found.options.values()] == [str, int, float]
    assert found.fingerprint == GOLDEN_FINGERPRINT
    assert [entry.name for entry in path.parent.iterdir()] == ["checkpoint.safetensors"]


def test_equal_checkpoints_are_equal_files_in_every_process(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "one.safetensors")
    save(SAME["order of tensors"], tmp_path / "two.safetensors")
    save(load(tmp_path / "one.safetensors"), tmp_path / "three.safetensors")
    save(SAME["memory layout"], tmp_path / "four.safetensors")
    code = (
        "import sys, pathlib; from robustbench_msda.models.checkpoints import load, save; "
        "save(load(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]))"
    )
    arguments = [str(tmp_path / "one.safetensors"), str(tmp_path / "five.safetensors")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    assert len(list(tmp_path.iterdir())) == 5
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    one = torch.arange(6.0)
    checkpoint = changed(state={"a": one, "b": one, "c": one[:3]})
    save(checkpoint, tmp_path / "c.safetensors")
    assert same_state(load(tmp_path / "c.safetensors"), checkpoint)


def test_loaded_weights_outlive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save(tiny(), path)
    found = load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert same_state(found, tiny())


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    save(tiny(), path)
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        write(self, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        save(DIFFERENT["mean"], path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.safetensors"]
    assert load(path).fingerprint == GOLDEN_FINGERPRINT


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write") as caught:
        save(tiny(), tmp_path / "file" / "c.safetensors")
    assert "\n" not in str(caught.value)


def test_checkpoints_must_make_sense() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        changed(classes=())
    with pytest.raises(ValueError, match="positive stds"):
        changed(std=(0.0,))


def test_network_is_the_saved_one_normalised_and_frozen(tmp_path: Path) -> None:
    checkpoint = trained()
    save(checkpoint, tmp_path / "c.safetensors")
    bare = build("small_cnn", 3, {})
    bare.load_state_dict(checkpoint.state)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    expected = bare.eval()((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    model = network(load(tmp_path / "c.safetensors"), "cpu")
    assert torch.equal(model(images), expected)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert same_state(dataclasses.replace(checkpoint, state=model.network.state_dict()), checkpoint)


def test_opening_a_network_draws_nothing_from_the_callers_generator() -> None:
    checkpoint = trained()
    before = torch.random.get_rng_state()
    network(checkpoint, "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_network_refuses_weights_of_another_architecture() -> None:
    with pytest.raises(UserError, match="does not fit the model.*missing"):
        network(dataclasses.replace(trained(), source="resnet20"), "cpu")


def test_a_file_named_by_a_checkpoint_runs_only_if_the_user_named_it(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("import pathlib\nfrom torch import nn\npathlib.Path(__file__).with_name('ran').touch()\n"
                    "def net(num_classes): return nn.Linear(2, num_classes)\n")  # fmt: skip
    source = f"{file}:net"
    checkpoint = dataclasses.replace(trained(), state=nn.Linear(2, 3).state_dict(), source=source)
    save(checkpoint, tmp_path / "c.safetensors")
    found = load(tmp_path / "c.safetensors")
    with pytest.raises(UserError, match="wants to run the file"):
        network(found, "cpu")
    assert not (tmp_path / "ran").exists()
    assert torch.equal(network(found, "cpu", [source]).network.get_parameter("weight"), checkpoint.state["weight"])


def test_published_weights_become_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    published = build("timm/test_resnet", 3, {})
    monkeypatch.setattr(
        checkpoints, "pretrained", lambda _: Pretrained(published, (0.5,) * 3, (0.2,) * 3, tuple("abc"))
    )
    checkpoint = load_pretrained("timm/test_resnet", dataset="letters")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(network(checkpoint, "cpu")(images), published.eval()((images - 0.5) / 0.2))
    assert (checkpoint.dataset, checkpoint.classes) == ("letters", ("a", "b", "c"))


METADATA = {
    "version": 1,
    "source": "small_cnn",
    "options": {},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "classes": ["a", "b"],
    "dataset": "letters",
    "recipe": None,
}


def write(path: Path, metadata: dict[str, str] | None, state: dict[str, Tensor] | None = None) -> Path:
    safetensors.torch.save_file(state or {"w": torch.ones(2)}, path, metadata)
    return path


def test_these_metadata_are_ours(tmp_path: Path) -> None:
    found = load(write(tmp_path / "c.safetensors", {"robustbench_msda": json.dumps(METADATA)}))
    assert found.classes == ("a", "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version"),
        ({"source": 3}, "source"),
        ({"options": {"a": [1]}}, "options"),
        ({"options": {"a": True}}, "options"),
        ({"mean": "0.5"}, "mean"),
        ({"mean": [0.5]}, "one mean and one std"),
        ({"std": [0.0, 0.5, 0.5]}, "positive stds"),
        ({"classes": []}, "at least one class"),
        ({"classes": [1, 2]}, "classes"),
        ({"recipe": "resnet"}, "recipe"),
        ({"extra": 1}, "extra"),
    ],
)
def test_damaged_metadata_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = write(tmp_path / "c.safetensors", {"robustbench_msda": json.dumps(METADATA | change)})
    with pytest.raises(DamagedData, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"mean": [NaN]}', "{}", '"\\ud800"'])
def test_metadata_that_are_no_object(tmp_path: Path, text: str) -> None:
    with pytest.raises(DamagedData, match="metadata"):
        load(write(tmp_path / "c.safetensors", {"robustbench_msda": text}))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_that_is_not_ours_says_what_to_add(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    with pytest.raises(DamagedData, match="--model, --dataset, --mean and --std"):
        load(write(tmp_path / "c.safetensors", metadata))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    bad = torch.ones(4, 4, dtype=dtype)
    bad[2, 3] = value
    save(with_tensor("layer.weight", bad), tmp_path / "c.safetensors")
    with pytest.raises(DamagedData, match=r"tensor layer\.weight holds NaN or infinity"):
        load(tmp_path / "c.safetensors")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is there"):
        load(tmp_path / "c.safetensors")
    with pytest.raises(UserError, match="a folder is there"):
        load(tmp_path)


def test_every_truncation_is_damage(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "c.safetensors"
    for length in [*range(12), *range(12, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedData) as caught:
            load(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedData):
        load(path)


def test_foreign_weights_give_the_fingerprint_of_our_own(tmp_path: Path) -> None:
    ours = trained()
    torch.save(ours.state, tmp_path / "w.pth")
    found = load_foreign(
        tmp_path / "w.pth",
        ours.source,
        dataset=ours.dataset,
        classes=list(ours.classes),
        mean=list(ours.mean),
        std=list(ours.std),
    )
    assert found.fingerprint == ours.fingerprint
    assert found.recipe is None
    assert same_state(found, ours)


def test_foreign_normalisation_must_make_sense(tmp_path: Path) -> None:
    torch.save(trained().state, tmp_path / "w.pth")
    with pytest.raises(UserError, match="--mean and --std: expected finite means and positive stds"):
        load_foreign(
            tmp_path / "w.pth", "small_cnn", dataset="d", classes=("a", "b", "c"), mean=(0.5,) * 3, std=(0.0,) * 3
        )
