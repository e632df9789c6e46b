"""What is said of a stranger's checkpoint before it is evaluated: small networks on digits, wrong in known ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hub_cache import empty_caches, publish
from hypothesis import given
from hypothesis import strategies as st
from networks import saved
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest
from torch import Tensor, nn

from robustbench_msda import verbs
from robustbench_msda.cli.main import status
from robustbench_msda.data import digits
from robustbench_msda.data.datasets import DATASETS, open_dataset
from robustbench_msda.errors import DamagedData
from robustbench_msda.evaluation import Place
from robustbench_msda.opening import Foreign
from robustbench_msda.preflight import Look, Normalisation, clearly_better, findings, lines

NETWORK = """
from torch import nn

def plain(num_classes):
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, num_classes))

class Inside(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = plain(num_classes)
    def forward(self, images):
        return self.net((images - 0.1) / 0.5)

class Wary(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = plain(num_classes)
    def forward(self, images):
        return self.net(images) / (images.amin() < 0)

class Picky(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = plain(num_classes)
    def forward(self, images):
        if images.shape[-1] != 64:
            raise ValueError("only 64 pixels")
"""
OWN = (0.3051, 0.3229)
State = dict[str, Tensor]
Said = list[str]
Evaluate = Callable[..., Said]


def trained(mean: float, std: float, order: Sequence[int] = range(10)) -> State:
    """Return the weights of ``plain``, trained on digits as (x − mean) / std, with the classes in another order."""
    dataset = open_dataset("digits", Path())
    images = torch.from_numpy(np.array(dataset.images("train"))).permute(0, 3, 1, 2).float() / 255
    targets = torch.tensor(order)[torch.from_numpy(np.array(dataset.labels("train")))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10)]
    inputs = nn.Sequential(*layers[:2])((images - mean) / std)
    head = nn.Sequential(*layers[2:])
    optimiser = torch.optim.Adam(head.parameters(), 0.02)
    for _ in range(80):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(inputs), targets).backward()
        optimiser.step()
    return nn.Sequential(*layers).state_dict()


@pytest.fixture(scope="module")
def states() -> Mapping[str, State]:
    """The weights of networks that want their images otherwise, or know the classes by other numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    return {
        "own": trained(*OWN),
        "raw": trained(0, 1),
        "centred": trained(0.5, 0.5),
        "inside": trained(0.1, 0.5),
        "swapped": trained(*OWN, order=(3, 1, 2, 0, 4, 5, 6, 7, 8, 9)),
        "raw and shifted": trained(0, 1, order=(1, 2, 3, 4, 5, 6, 7, 8, 9, 0)),
        "untrained": untrained.state_dict(),
    }


@pytest.fixture
def evaluate(states: Mapping[str, State], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Evaluate the weights ``kind`` on the command line and return what was said of them before."""

    def run(kind: str, *options: object, network: str = "plain", left: int = 0) -> Said:
        (tmp_path / "net.py").write_text(NETWORK)
        inner = {f"net.{name}": tensor for name, tensor in states[kind].items()}
        weights = tmp_path / "w.pth"
        torch.save(states[kind] if network == "plain" else inner, weights)
        words = ("evaluate", weights, "--model", f"{tmp_path}/net.py:{network}", "--dataset", "digits")
        rest = ("--benchmarks", "clean", "--results", tmp_path / "results")
        assert status([str(word) for word in (*words, *rest, *options)]) == left
        return said(capsys, weights)

    return run


def said(capsys: pytest.CaptureFixture[str], argument: object) -> Said:
    """Return what stderr says of ``argument``, without the count of cells."""
    told = capsys.readouterr().err.splitlines()
    own = [line.removeprefix(f"{argument}: ") for line in told if line.startswith((f"{argument}: ", "error: "))]
    return [line for line in own if not line.startswith("cells done: ")]


def wrong(state: State, mean: float, std: float) -> float:
    """Return the share of all test digits that ``plain`` gets wrong: the oracle of every error."""
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    network.load_state_dict(state)
    dataset = open_dataset("digits", Path())
    images = torch.from_numpy(np.array(dataset.images("test"))).permute(0, 3, 1, 2).float() / 255
    answers = network((images - mean) / std).argmax(1).numpy()
    return float((answers != dataset.labels("test")).mean())


RAW = ("--mean", "0,0,0", "--std", "1,1,1")


def test_all_is_well(evaluate: Evaluate, states: Mapping[str, State]) -> None:
    (line,) = evaluate("own")
    assert line == (
        f"clean error {wrong(states['own'], *OWN):.1%} on 500 test images with mean 0.3051, 0.3051, 0.3051 and "
        "std 0.3229, 0.3229, 0.3229 (the data set's, for want of --mean and --std)"
    )
    (line,) = evaluate("raw", *RAW)
    expected = f"clean error {wrong(states['raw'], 0, 1):.1%} on 500 test images with mean 0, 0, 0 and std 1, 1, 1 (as "
    assert line == f"{expected}given)"


def test_the_options_it_names_put_it_right(evaluate: Evaluate, states: Mapping[str, State]) -> None:
    for kind, mean, std in (("raw", 0.0, 1.0), ("centred", 0.5, 0.5)):
        first, second = evaluate(kind)
        assert f"clean error {wrong(states[kind], *OWN):.1%} " in first
        share = f"{wrong(states[kind], mean, std):.1%} instead of {wrong(states[kind], *OWN):.1%} wrong"
        assert f"another normalisation is clearly better, {share}: give --mean " in second
        options = second.partition(": give ")[2].split()
        assert [float(value) for value in options[1].split(",")] == [mean] * 3
        assert [float(value) for value in options[3].split(",")] == [std] * 3
        (line,) = evaluate(kind, *options)
        assert f"clean error {wrong(states[kind], mean, std):.1%} " in line


def test_the_data_sets_own_where_others_were_given(evaluate: Evaluate) -> None:
    first, second = evaluate("own", "--mean", "0.9,0.9,0.9")
    assert "mean 0.9, 0.9, 0.9 and std 0.3229, 0.3229, 0.3229 (the data set's, for want of --std)" in first
    assert second.endswith("wrong: leave out --mean and --std")


def test_a_network_that_normalises_inside(evaluate: Evaluate, states: Mapping[str, State]) -> None:
    first, second = evaluate("inside", network="Inside")
    assert second.endswith(": give --mean 0,0,0 --std 1,1,1")
    assert f"{wrong(states['inside'], 0.1, 0.5):.1%} instead of {first.split()[2]} wrong" in second


def test_classes_in_another_order(evaluate: Evaluate, states: Mapping[str, State]) -> None:
    first, second = evaluate("swapped")
    assert f"clean error {wrong(states['swapped'], *OWN):.1%} " in first
    assert second.startswith("the classes seem to be in another order: class ")
    assert set(re.findall(r"(\d) for (\d)", second)) == {("0", "3"), ("3", "0")}
    rest = float(re.search(r"; in that order (\S+)% are wrong", second)[1])  # type: ignore[index]
    assert rest < 5


def test_another_order_and_another_normalisation(evaluate: Evaluate) -> None:
    first, second, third = evaluate("raw and shifted")
    assert float(first.split()[2].rstrip("%")) > 90
    assert second.endswith("wrong in its own order of classes: give --mean 0,0,0 --std 1,1,1")
    assert "and so on for 10 of 10; " in third
    found = re.findall(r"(\d) for (\d)", third)
    assert len(found) == 3
    assert all(int(own) == (int(meant) + 1) % 10 for own, meant in found)


def test_an_untrained_network(evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, second = evaluate("untrained")
    assert second.startswith("hardly better than chance with any usual normalisation: its classes may be in another")
    command = second.partition("; see: robustbench-msda ")[2].split()
    assert status(command) == 0
    assert "fits" in capsys.readouterr().out


def test_nothing_is_said_where_nothing_is_done(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("raw", "--dry-run") == []
    assert not (tmp_path / "results").exists()
    assert len(evaluate("raw")) == 2
    assert evaluate("raw") == []


def test_few_images_are_enough_where_few_are_evaluated(evaluate: Evaluate) -> None:
    for limit, images in ((30, 50), (80, 80)):
        first, second = evaluate("raw", "--limit", limit)
        assert f" on {images} test images " in first
        assert second.endswith(": give --mean 0,0,0 --std 1,1,1")


def test_our_own_checkpoints_know_their_normalisation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved(tmp_path / "run")
    words = ["--benchmarks", "clean", "--results", str(tmp_path / "results")]
    assert status(["evaluate", str(run), *words]) == 0
    assert said(capsys, run) == []


def test_it_changes_nothing(evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate("raw")
    kept = {path.relative_to(tmp_path): path.read_bytes() for path in (tmp_path / "results").rglob("*.npz")}
    for path in kept:
        (tmp_path / path).unlink()
    monkeypatch.setattr("robustbench_msda.preflight.findings", lambda *_: ())
    assert evaluate("raw") == []
    assert len(kept) == 1
    assert {path: (tmp_path / path).read_bytes() for path in kept} == kept


def test_a_network_that_answers_under_one_normalisation_only(evaluate: Evaluate) -> None:
    """Infinite where no value is negative: what cannot be tried is left out, and the assumed one is evaluation's."""
    assert len(evaluate("own", network="Wary")) == 1
    (line,) = evaluate("own", *RAW, network="Wary", left=1)
    assert line.startswith("error: the network answers NaN or infinity")


def test_a_network_of_another_size_is_refused_at_once(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not cell by cell: that takes hours where there are thousands."""
    monkeypatch.setattr("robustbench_msda.verbs.carry_out", lambda *_: pytest.fail("was evaluated"))
    for options in ((), ("--dry-run",)):
        (line,) = evaluate("own", *options, network="Picky", left=1)
        assert line.startswith("error: the network refuses images of 32×32 (only 64 pixels)")


def test_clean_images_that_cannot_be_read_are_evaluations_to_tell(
    states: Mapping[str, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    torch.save(states["own"], tmp_path / "w.pth")
    foreign = Foreign(f"{tmp_path}/net.py:plain", "digits")
    planned = verbs.plan(tmp_path / "w.pth", {"clean": 0}, foreign=foreign, place=Place(results=tmp_path / "results"))
    assert len(findings(planned, foreign)) == 1

    def damaged() -> None:
        raise DamagedData("a picture is damaged")

    monkeypatch.setattr(digits, "load", damaged)
    with pytest.raises(DamagedData):
        open_dataset("digits", Path()).labels("test")
    assert findings(planned, foreign) == ()


def test_progress_counts_the_images_of_every_normalisation(states: Mapping[str, State], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    torch.save(states["own"], tmp_path / "w.pth")
    foreign = Foreign(f"{tmp_path}/net.py:plain", "digits")
    planned = verbs.plan(tmp_path / "w.pth", {"clean": 0}, foreign=foreign, place=Place(results=tmp_path / "r"))
    told: list[tuple[int, int]] = []
    findings(planned, foreign, lambda done, total, note="": told.append((done, total)))  # noqa: ARG005
    assert told == [(done, 1500) for done in range(250, 1501, 250)]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=120))
def test_clearly_better_is_mcnemars_exact_test(images: list[tuple[bool, bool]]) -> None:
    these, those = np.array(images).T
    more, fewer = int((these & ~those).sum()), int((those & ~these).sum())
    p = binomtest(more, more + fewer).pvalue if more + fewer else 1.0
    assert clearly_better(these, those) == (more > fewer and p < 0.001)


def test_eleven_images_are_enough_and_ten_are_not() -> None:
    none = np.zeros(500, np.bool_)
    assert clearly_better(np.arange(500) < 11, none)
    assert not clearly_better(np.arange(500) < 10, none)
    assert not clearly_better(none, np.arange(500) < 11)


def look(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> Look:
    return Look(Normalisation((0.0,), (1.0,)), labels.astype(np.int16), answers.astype(np.int16), classes)


@pytest.mark.parametrize(
    ("right", "classes", "by_chance"),
    [(0.1, 10, True), (0.17, 10, True), (0.2, 10, False), (0.5, 2, True), (0.64, 2, True), (0.7, 2, False)],
)
def test_chance_is_twice_its_odds(right: float, classes: int, by_chance: bool) -> None:
    """Odds of chance are 1/9 and 1: twice that is a share of 0.18 and of 0.67."""
    labels = np.arange(1000) % classes
    wrong = np.arange(1000) // classes >= right * 1000 / classes
    # The wrong answers are spread over the other classes, so that none of them is another class's.
    answers = np.where(wrong, (labels + 1 + np.arange(1000) // classes % (classes - 1)) % classes, labels)
    assert (answers == labels).mean() == pytest.approx(right, abs=0.01)
    assert look(labels, answers, classes).by_chance == by_chance


def test_one_answer_to_everything_is_chance_where_most_images_are_of_that_class() -> None:
    labels = np.repeat([0, 1, 2], [900, 50, 50])
    assert look(labels, np.zeros(1000, np.int64), 3).by_chance
    assert not look(labels, np.zeros(1000, np.int64), 3).in_another_order


def test_a_weak_link_is_no_other_order() -> None:
    """Untrained networks have some: 0.3 of the answers are right in the best order, and none in the one at hand."""
    labels = np.arange(1000) % 10
    answers = np.where(np.arange(1000) // 10 % 10 < 3, (labels + 1) % 10, 0)
    found = look(labels, answers, 10)
    assert 0.25 < found.reordered.mean() < 0.5
    assert clearly_better(found.reordered, found.in_order)
    assert not found.in_another_order


@pytest.fixture
def planned(tmp_path: Path) -> verbs.Planned:
    return verbs.plan(saved(tmp_path / "run"), {"clean": 0}, place=Place(results=tmp_path / "results"))


def looks_right(share: float, mean: int) -> Look:
    """Return how a network looks that gets ``share`` of 1000 digits right under the normalisation ``mean``, 1."""
    labels = np.arange(1000) % 10
    answers = np.where(np.arange(1000) // 10 < 100 * share, labels, (labels + 1 + np.arange(1000) // 10 % 9) % 10)
    normalisation = Normalisation((mean,) * 3, (1.0,) * 3, f"give --mean {mean}")
    return Look(normalisation, labels.astype(np.int16), answers.astype(np.int16), 10)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.9, 0.2, 0.3), ["clean"]),
        (
            (0.3, 0.9, 0.5),
            ["clean", "another normalisation is clearly better, 10.0% instead of 70.0% wrong: give --me"],
        ),
        # Better than nothing is not yet right.
        ((0.02, 0.15, 0.1), ["clean", "hardly better than chance"]),
        ((0.1, 0.1, 0.25), ["clean", "another normalisation is clearly better, 75.0% instead of 90.0% wrong"]),
    ],
)
def test_the_best_of_several_is_named_if_it_knows_anything(
    shares: Sequence[float], expected: Said, planned: verbs.Planned
) -> None:
    looks = [looks_right(share, k) for k, share in enumerate(shares)]
    told = list(lines(looks, planned, Foreign("small_cnn", "digits"), open_dataset("digits", Path())))
    assert len(told) == len(expected)
    assert all(line.startswith(start) for line, start in zip(told, expected, strict=True))


def test_published_weights_take_no_options(planned: verbs.Planned) -> None:
    published = replace(planned, path=Path("timm/resnet18"))
    looks = [looks_right(share, k) for k, share in enumerate((0.3, 0.9))]
    _, line = lines(looks, published, Foreign(), open_dataset("digits", Path()))
    assert line.endswith("wrong: get the file of its weights and evaluate that with --model small_cnn; give --mean 1")


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_caches(tmp_path / "caches", monkeypatch)


@pytest.fixture
def published(caches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Evaluate a network of timm's from the hub, whose config says ``said``, and return what was said before."""

    def run(architecture: str, dataset: str, *options: str, left: int = 0, **config: object) -> Said:
        classes = DATASETS[dataset].classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = timm.create_model(architecture, num_classes=len(classes))
        source = publish(caches, "me/mine", network, architecture, classes, **config)
        words = ["evaluate", source, "--dataset", dataset, "--benchmarks", "clean", "--data-dir", str(tmp_path)]
        words += ["--results", str(tmp_path / "results"), *options]
        assert status(words) == left
        return said(capsys, source)

    return run


NORMALISED = {"mean": [0.4, 0.4, 0.4], "std": [0.2, 0.2, 0.2]}


def test_published_weights_keep_their_normalisation(published: Evaluate) -> None:
    first, second = published("test_resnet", "digits", input_size=[3, 32, 32], **NORMALISED)
    assert first.endswith(" with mean 0.4, 0.4, 0.4 and std 0.2, 0.2, 0.2 (as published)")
    assert second.endswith("; look for its classes where it was published")


def test_published_weights_refuse_another_normalisation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "hf-hub:me/mine", "--dataset", "digits", *RAW, "--results", str(tmp_path)]
    assert status(words) == 1
    assert "hf-hub:me/mine: --mean and --std are of a weights file" in capsys.readouterr().err


def test_published_for_other_images(published: Evaluate) -> None:
    first, second, *_ = published("test_resnet", "digits", input_size=[3, 160, 160], crop_pct=0.95, **NORMALISED)
    assert first == (
        "published with 160 px out of a shorter side of 168 px, bicubic; evaluated with the images of digits as they "
        "are, 32 px: its clean error is not the published one"
    )
    assert second.startswith("clean error ")
    assert published("test_resnet", "digits", input_size=[3, 160, 160], crop_pct=0.95, **NORMALISED) == []


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ImageNet of two classes, two pictures each, in ``tmp_path``."""
    classes = ("n01440764", "n01443537")
    monkeypatch.setitem(DATASETS, "imagenet", replace(DATASETS["imagenet"], classes=classes, test=4))
    for k, name in enumerate(classes):
        folder = tmp_path / "imagenet" / "val" / name
        folder.mkdir(parents=True)
        for i in range(2):
            pixels = np.full((230, 240, 3), 100 * k + 50 * i, np.uint8)
            Image.fromarray(pixels).save(folder / f"ILSVRC2012_val_{2 * i + k:08d}.JPEG")


OFFICIAL = (
    "224 px out of a shorter side of 256 px, bilinear, as the images of the official benchmarks are made, for every "
    "network: its clean error is not the published one"
)


@pytest.mark.usefixtures("imagenet")
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "224 px out of a shorter side of 256 px, bicubic"),
        ({"crop_pct": 0.875, "interpolation": "bilinear"}, ""),
        ({"crop_pct": 1.0, "interpolation": "bilinear"}, "224 px out of a shorter side of 224 px, bilinear"),
        (
            {"input_size": [3, 160, 160], "test_input_size": [3, 288, 288], "test_crop_pct": 1.0},
            "288 px out of a shorter side of 288 px, bicubic",
        ),
        ({"interpolation": "bilinear", "crop_mode": "squash"}, "224 px out of both sides of 256 px, bilinear"),
        ({"interpolation": "bilinear", "crop_mode": "border"}, "224 px out of a longer side of 256 px, bilinear"),
    ],
)
def test_published_with_images_made_otherwise(published: Evaluate, config: dict[str, object], told: str) -> None:
    found = published("test_resnet", "imagenet", **config)
    other = [line for line in found if line.startswith("published with ")]
    assert other == ([f"published with {told}; evaluated with {OFFICIAL}"] if told else [])
    # Four images tell nothing of chance.
    (line,) = (line for line in found if line not in other)
    assert line.startswith("clean error ")
    assert " on 4 test images " in line


@pytest.mark.usefixtures("imagenet")
def test_a_network_that_cannot_take_224_pixels(published: Evaluate) -> None:
    first, second = published("test_vit3", "imagenet", input_size=[3, 160, 160], fixed_input_size=True, left=1)
    assert first.startswith("published with 160 px ")
    assert second.startswith("error: the network refuses images of 224×224 (Input height (224) doesn't match model")
