from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from hub_cache import empty_caches, fill_hub
from torch import nn

from robustbench_msda.errors import MissingData, UnknownName, UserError
from robustbench_msda.models.pretrained import pretrained
from robustbench_msda.models.sources import build, runs_code, split

NETWORK_FILE = """
from dataclasses import dataclass
from torch import nn

@dataclass
class Widths:
    hidden: int = 4

class Counted(nn.Module):
    def __init__(self, num_classes, hidden=4):
        super().__init__()
        self.trunk = nn.Conv2d(3, Widths(hidden).hidden, 3)
        self.head = nn.Linear(hidden, num_classes)
    def forward(self, x):
        return self.head(self.trunk(x).amax((2, 3)))

def fixed(hidden=4):
    return Counted(3, hidden)

def anything(**options):
    return Counted(**options)

def wrong():
    return 42

CONSTANT = 1
"""


@dataclass(frozen=True)
class Touch:
    """Unpickled without restriction, it creates a file."""

    path: Path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    path = tmp_path / "network.py"
    path.write_text(NETWORK_FILE)
    return path


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        ("resnet20", "ours", "resnet20"),
        ("timm/resnet50.a1_in1k", "timm", "resnet50.a1_in1k"),
        ("torchvision/resnet50", "torchvision", "resnet50"),
        ("hf-hub:owner/name", "hf-hub", "owner/name"),
        ("nets/mine.py:Net", "file", "nets/mine.py:Net"),
        ("C:\\nets\\mine.py:Net", "file", "C:\\nets\\mine.py:Net"),
    ],
)
def test_split(source: str, kind: str, name: str) -> None:
    assert split(source) == (kind, name)
    assert runs_code(source) == (kind == "file")


@pytest.mark.parametrize("source", ["timm/resnet18", "timm/resnet18.a1_in1k", "torchvision/squeezenet1_1"])
def test_libraries_build_with_our_classes(source: str) -> None:
    with torch.device("meta"):
        network = build(source, 7, {})
        assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_options_reach_the_architecture() -> None:
    with torch.device("meta"):
        assert build("timm/resnet18", 7, {"in_chans": 1})(torch.zeros(2, 1, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "options", "classes", "hidden"),
    [("Counted", {}, 5, 4), ("Counted", {"hidden": 6}, 5, 6), ("fixed", {}, 3, 4), ("anything", {"hidden": 2}, 5, 2)],
)
def test_a_callable_in_a_file(
    network_file: Path, name: str, options: dict[str, int], classes: int, hidden: int
) -> None:
    network = build(f"{network_file}:{name}", 5, options)
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, classes)
    assert network.get_parameter("trunk.weight").shape[0] == hidden


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder, width in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"from torch import nn\ndef net(): return nn.Linear({width}, 1)\n")
    before = set(sys.modules)
    widths = [build(f"{tmp_path / folder}/net.py:net", 1, {}).in_features for folder in "aba"]
    assert widths == [2, 3, 2]
    assert len(set(sys.modules) - before) == 2
    assert "net" not in sys.modules


def test_relative_paths_start_at_the_working_folder(network_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(network_file.parent)
    assert isinstance(build("network.py:Counted", 5, {}), nn.Module)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet_20", "unknown model 'resnet_20'. Did you mean resnet20"),
        ("wrn-40-2", "Did you mean wrn_40_2"),
        ("resnet50", "write timm/resnet50"),
        ("timm/resnet50x", "Did you mean timm/resnet50"),
        ("timm/resnet20", "write resnet20 for timm/resnet20"),
        ("torchvision/resnet5", "Did you mean torchvision/resnet50"),
        ("torchvision/fasterrcnn_resnet50_fpn", "unknown model 'torchvision/fasterrcnn_resnet50_fpn'"),
    ],
)
def test_unknown_names_are_met_with_a_suggestion(source: str, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        build(source, 10, {})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_file_can_get_wrong_is_one_line(network_file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def net(:\n")
    (tmp_path / "needy.py").write_text("import no_such_module_at_all\n")
    cases = {
        f"{tmp_path}/absent.py:net": "no file",
        f"{network_file}:Counter": "Did you mean Counted",
        f"{network_file}:CONSTANT": "unknown callable",
        f"{network_file}:wrong": "must return a torch.nn.Module, found int",
        f"{tmp_path}/broken.py:net": "SyntaxError",
        f"{tmp_path}/needy.py:net": "No module named 'no_such_module_at_all'",
    }
    for source, message in cases.items():
        with pytest.raises(UserError) as caught:
            build(source, 5, {})
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["resnet20", "timm/resnet18", "torchvision/resnet18", "FILE"])
def test_unknown_options_are_named(source: str, network_file: Path) -> None:
    with pytest.raises(UserError, match="depht"):
        build(source.replace("FILE", f"{network_file}:Counted"), 10, {"depht": 3})


@pytest.mark.parametrize("option", ["pretrained", "checkpoint_path", "weights", "num_classes"])
def test_options_cannot_bring_in_weights(option: str) -> None:
    with pytest.raises(UserError, match=f"{option} is no option"):
        build("timm/resnet18", 10, {option: 1})


def test_control_characters_never_reach_the_terminal() -> None:
    with pytest.raises(UserError, match="plain text") as caught:
        build("timm/a\n\x1b[2Jb", 10, {})
    assert str(caught.value).isprintable()


def test_classes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        build("resnet20", 0, {})


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of timm, the hub and torch in a folder of their own."""
    return empty_caches(tmp_path, monkeypatch)


def weights_of(network: nn.Module, path: Path) -> bytes:
    torch.save(network.state_dict(), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    "source",
    ["timm/test_resnet.r160_in1k", "torchvision/squeezenet1_1", "hf-hub:timm/test_resnet.r160_in1k"],
)
def test_weights_that_are_not_cached_are_one_line(source: str, caches: Path) -> None:
    with pytest.raises(MissingData) as caught:
        pretrained(source)
    assert f"{source} is not in the local cache" in str(caught.value)
    assert "pretrained=True" in str(caught.value) or "weights='IMAGENET1K_V1'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cached_weights_of_timm(caches: Path) -> None:
    network = timm.create_model("test_resnet")
    fill_hub(caches, "timm/test_resnet.r160_in1k", {"pytorch_model.bin": weights_of(network, caches / "w.pth")})
    found = pretrained("timm/test_resnet.r160_in1k")
    assert torch.equal(found.network.state_dict()["fc.weight"], network.state_dict()["fc.weight"])
    assert (found.mean, found.std) == (network.pretrained_cfg["mean"], network.pretrained_cfg["std"])
    assert len(found.classes) == 1000
    assert found.classes[:2] == ("n01440764", "n01443537")


def test_cached_hub_model_needs_no_network(caches: Path) -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    images = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "input_size": [3, 64, 64]}
    meaning = images | {"label_names": ["a", "b", "c"], "num_classes": 3, "classifier": "fc", "first_conv": "conv1.0"}
    config = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": meaning}
    fill_hub(caches, "me/mine", {"config.json": json.dumps(config).encode()})
    with pytest.raises(MissingData, match="hf-hub:me/mine is not in the local cache"):
        pretrained("hf-hub:me/mine")
    fill_hub(caches, "me/mine", {"pytorch_model.bin": weights_of(network, caches / "w.pth")})
    found = pretrained("hf-hub:me/mine")
    assert torch.equal(found.network.state_dict()["fc.weight"], network.state_dict()["fc.weight"])
    assert found[1:] == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1), ("a", "b", "c"))
    assert build("hf-hub:me/mine", 5, {}).get_parameter("fc.weight").shape[0] == 5


def test_cached_weights_of_torchvision(caches: Path) -> None:
    network = torchvision.models.squeezenet1_1()
    path = caches / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(weights_of(network, caches / "w.pth"))
    found = pretrained("torchvision/squeezenet1_1")
    assert torch.equal(found.network.state_dict()["classifier.1.bias"], network.state_dict()["classifier.1.bias"])
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.classes[0] == "n01440764"
    path.write_bytes(b"half a download")
    with pytest.raises(UserError, match="squeezenet1_1-b8a52dc0.pth is damaged or no file of weights"):
        pretrained("torchvision/squeezenet1_1")


def test_several_published_weights_must_be_told_apart() -> None:
    with pytest.raises(UserError, match="torchvision/resnet50.IMAGENET1K_V1, torchvision/resnet50.IMAGENET1K_V2"):
        pretrained("torchvision/resnet50")


def test_torchvision_weights_that_want_to_run_code_do_not(caches: Path) -> None:
    path = caches / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    torch.save({"features.0.weight": Touch(caches / "touched")}, path)
    with pytest.raises(UserError, match="would run code"):
        pretrained("torchvision/squeezenet1_1")
    assert not (caches / "touched").exists()


def test_networks_that_normalise_twice_are_refused(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(1, 1)
    network.transform_input = True
    path = caches / "torch" / "checkpoints" / "inception_v3_google-0cc3c7bd.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(weights_of(network, caches / "w.pth"))
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: network)
    with pytest.raises(UserError, match="normalises its input once more"):
        pretrained("torchvision/inception_v3")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet20", "no published weights"),
        ("net.py:net", "no published weights"),
        ("timm/resnet18.nope", "unknown weights"),
        ("timm/coatnet_0_224", "no published weights"),
    ],
)
def test_sources_without_published_weights(source: str, message: str, caches: Path) -> None:
    with pytest.raises(UserError, match=message):
        pretrained(source)
