"""Gray and black boxes: what an attack makes of one network, shown to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import contents, fresh_checkpoint, saved
from torch import Tensor, nn

from robustbench_msda import attacks, verbs
from robustbench_msda.attacks.gradient import PGD
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.cli.main import status
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import Checkpoint, network, save
from robustbench_msda.models.sources import build
from robustbench_msda.opening import Foreign
from robustbench_msda.records import Batch, Cell
from robustbench_msda.results.store import Results, read_predictions
from robustbench_msda.scoring import boxes_of
from robustbench_msda.transfers import transfer

SOURCE, TARGET = "a" * 12, "b" * 12
PGD_10 = benchmarks_of("digits")["pgd"]
CONDITION = "pgd(steps=10, rel_stepsize=0.25)"


def other_model() -> Checkpoint:
    """Return a digits classifier of another architecture."""
    dataset = open_dataset("digits", Path())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = build("resnet20", 10, {}).state_dict()
    return Checkpoint(state, "resnet20", {}, dataset.mean, dataset.std, dataset.classes, "digits", None)


@pytest.fixture(scope="module")
def attacked() -> nn.Module:
    return network(fresh_checkpoint(1), "cpu")


@pytest.fixture(scope="module")
def answering() -> nn.Module:
    return network(fresh_checkpoint(0), "cpu")


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Run folders: two networks of one model, and one of another."""
    save(other_model(), tmp_path / "c" / "checkpoint.safetensors")
    return [str(saved(tmp_path / "a", 0)), str(saved(tmp_path / "b", 1)), str(tmp_path / "c")]


def setting(model: nn.Module, adversarial: Path | None = None) -> Setting:
    dataset = open_dataset("digits", Path())
    return Setting(
        dataset, Path(), torch.device("cpu"), 12, 5, adversarial=adversarial, substitutes={SOURCE: lambda: model}
    )


def images(batches: Sequence[Batch]) -> Tensor:
    return torch.cat([batch.images for batch in batches])


def test_the_images_are_those_of_the_substitutes_own_white_box(
    attacked: nn.Module, answering: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    white = Cell(SOURCE, "pgd", CONDITION, "8/255")
    boxed = white._replace(fingerprint=TARGET, source=SOURCE)
    expected = images(list(PGD_10.stimuli(white, replace(setting(attacked), substitutes={}), attacked)))
    anew = images(list(PGD_10.stimuli(boxed, setting(attacked), answering)))
    assert torch.equal(anew, expected)
    ran = []
    run = PGD.run
    monkeypatch.setattr(PGD, "run", lambda *arguments: ran.append(1) or run(*arguments))
    kept = setting(attacked, tmp_path)
    for model, cell in ((answering, boxed), (answering, boxed._replace(fingerprint="c" * 12)), (attacked, white)):
        assert torch.equal(images(list(PGD_10.stimuli(cell, kept, model))), expected)
    # Three batches of five, once for two targets and for the source's own white box.
    assert len(ran) == 3
    (path,) = tmp_path.rglob("*.npy")
    assert path.relative_to(tmp_path).parts[0] == SOURCE
    assert np.load(path)["images"].dtype == np.float32
    # Other strengths are other images.
    assert not torch.equal(images(list(PGD_10.stimuli(boxed._replace(level="4/255"), kept, answering))), expected)


def test_there_is_a_cell_for_every_other_substitute_and_none_at_epsilon_zero(attacked: nn.Module) -> None:
    given = replace(setting(attacked), substitutes={SOURCE: lambda: attacked, TARGET: lambda: attacked})
    own = list(PGD_10.cells(TARGET, replace(given, substitutes={})))
    assert list(PGD_10.cells(TARGET, given)) == own + [cell._replace(source=SOURCE) for cell in own]
    suite = benchmarks_of("digits")["fmix_attacks"]
    assert "0" not in {cell.level for cell in suite.cells(TARGET, given) if cell.source}


def test_an_image_costs_the_attack_until_its_set_is_kept(attacked: nn.Module, tmp_path: Path) -> None:
    kept, cell = setting(attacked, tmp_path), Cell(TARGET, "pgd", CONDITION, "8/255", SOURCE)
    assert PGD_10.passes(cell, kept) == attacks.parse(CONDITION).passes == 31
    list(PGD_10.stimuli(cell, kept, attacked))
    assert PGD_10.passes(cell, kept) == 1
    # Its own white box reads the same.
    assert PGD_10.passes(Cell(SOURCE, "pgd", CONDITION, "8/255"), kept) == 1
    assert PGD_10.passes(cell._replace(level="4/255"), kept) == 31


def test_the_matrix_holds_every_pair_and_goes_on_where_it_was(runs: list[str], tmp_path: Path) -> None:
    place = Place(results=tmp_path / "results")
    named = transfer(runs[:2], runs, {"pgd": 10}, place=place)
    store = Results(tmp_path / "results")
    pairs = {(cell.fingerprint, cell.source) for f in named for _, _, cells in store.worlds(f) for cell in cells}
    a, b, c = named
    assert pairs == {(a, ""), (b, ""), (b, a), (a, b), (c, a), (c, b)}
    # The set is deletable, and made again where a cell wants it.
    whole = contents(tmp_path / "results")
    lost = next(path for path in (tmp_path / "results" / "predictions" / c).rglob("*.npz") if a in path.name)
    lost.unlink()
    for path in (tmp_path / "results" / "adversarial").rglob("*.npy"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.npz")}
    transfer(runs[:2], runs, {"pgd": 10}, place=place)
    assert contents(tmp_path / "results") == whole
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    # The same cell by the other command.
    elsewhere = tmp_path / "elsewhere"
    verbs.evaluate(runs[2], {"pgd": 10}, place=Place(results=elsewhere), sources=[runs[0]])
    ours = {name: data for name, data in contents(elsewhere).items() if a in Path(name).name}
    assert len(ours) == 4
    assert ours.items() <= whole.items()


def test_boxes_are_scored_by_the_model_of_the_substitute(runs: list[str], tmp_path: Path) -> None:
    place = Place(results=tmp_path / "results")
    a, b, c = transfer(runs, runs, {"pgd": 10}, place=place)
    scores = verbs.score([a, b, c], place=place)
    store = Results(tmp_path / "results")
    records = store.checkpoints()
    assert boxes_of(records[a], records.values()) == {a: "gray_box", b: "gray_box", c: "black_box"}

    def wrong(target: str, source: str) -> float:
        (path,) = (
            path
            for _, _, cells in store.worlds(target)
            for cell, path in cells.items()
            if (cell.source, cell.level) == (source, "8/255")
        )
        return 1 - float(read_predictions(path).correct.mean())

    def value(target: str, metric: str) -> list[tuple[float, int, str]]:
        at = (scores["fingerprint"] == target) & (scores["metric"] == metric) & (scores["level"] == "8/255")
        return [tuple(row) for row in scores.loc[at, ["value", "n", "flags"]].to_numpy()]

    assert value(a, "gray_box_error") == [(wrong(a, b), 10, "")]
    assert value(a, "black_box_error") == [(wrong(a, c), 10, "")]
    assert value(c, "gray_box_error") == []
    mean = (wrong(c, a) + wrong(c, b)) / 2
    assert value(c, "black_box_error") == [(pytest.approx(mean), 10, "mean over 2 substitutes")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmarks": {"clean": 5}}, "attack that is a benchmark: 'clean'"),
        ({"sources": ["augmentation=cutmix"]}, "no evaluated checkpoint matches 'augmentation=cutmix'"),
        ({"targets": ["no/such/run"]}, "no evaluated checkpoint matches 'no/such/run'"),
        ({"benchmarks": {"autoattack": 5}}, "^autoattack: the package autoattack is not installed; .*leave it out$"),
    ],
)
def test_mistakes_are_named(
    runs: list[str], tmp_path: Path, change: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustbench_msda.attacks.ensemble.is_installed", lambda: False)
    given = {"sources": runs[:1], "targets": runs[1:2], "benchmarks": {"pgd": 5}} | change
    with pytest.raises((UserError, UnknownName), match=message):
        transfer(**given, place=Place(results=tmp_path / "results"))  # type: ignore[arg-type]


def test_a_substitute_that_is_another_now_or_answers_otherwise_is_refused(runs: list[str], tmp_path: Path) -> None:
    place = Place(results=tmp_path / "results")
    verbs.evaluate(runs[0], {"clean": 5}, place=place)
    (first,) = Results(place.results).checkpoints()
    saved(Path(runs[0]), 7)
    with pytest.raises(UserError, match=f"it was {first} when it was evaluated; name the file"):
        transfer([first], runs[1:2], {"pgd": 5}, place=place)
    fewer = replace(other_model(), state=build("resnet20", 9, {}).state_dict(), classes=tuple("abcdefghi"))
    save(fewer, tmp_path / "nine" / "checkpoint.safetensors")
    with pytest.raises(UserError, match="--sources .*nine.*expected a network of digits .* 10 classes"):
        transfer([str(tmp_path / "nine")], runs[1:2], {"pgd": 5}, place=place)


def test_one_network_alone_is_refused_before_anything_is_done(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--benchmarks", "fgsm", "--limit", "5", "--results", str(tmp_path / "results")]
    assert status(["transfer", "--sources", runs[0], "--targets", runs[0], *options]) == 1
    assert capsys.readouterr().err.startswith("error: --sources and --targets: expected two networks, found ")
    assert not (tmp_path / "results").exists()


def test_a_source_that_cannot_be_attacked_leaves_the_others_to_be_done(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numb(checkpoint: Checkpoint, *given: object) -> nn.Module:
        model = network(checkpoint, "cpu")
        return nn.Sequential(Numb(), model).eval() if checkpoint.source == "resnet20" else model

    monkeypatch.setattr(verbs, "network", numb)
    place = Place(results=tmp_path / "results")
    with pytest.raises(UserError, match=r"^4 of 8 cells failed, first fgsm fgsm\(\) 1/255: .*cannot be attacked"):
        transfer([runs[2], runs[1]], runs[:1], {"fgsm": 5}, place=place)
    assert len(contents(place.results)) == 4


class Numb(nn.Module):
    """Lets no gradient through."""

    def forward(self, images: Tensor) -> Tensor:
        """Return ``images`` themselves."""
        return images.detach()


def test_a_source_that_is_shown_its_own_images_first_is_attacked_once(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    run = PGD.run
    monkeypatch.setattr(PGD, "run", lambda *arguments: ran.append(1) or run(*arguments))
    transfer(runs[:1], runs, {"pgd": 5}, place=Place(results=tmp_path))
    # One batch at each of four ε, its own white box among the three that read it.
    assert len(ran) == 4


def test_a_strangers_file_is_named_by_its_path_once_it_was_evaluated(runs: list[str], tmp_path: Path) -> None:
    place, path = Place(results=tmp_path / "results"), tmp_path / "weights.pth"
    torch.save(dict(fresh_checkpoint(5).state), path)
    with pytest.raises(UserError, match="weights.pth .*evaluate it first, with --model and --dataset$"):
        transfer([str(path)], runs[:1], {"fgsm": 5}, place=place)
    verbs.evaluate(path, {"clean": 5}, foreign=Foreign("small_cnn", "digits"), place=place)
    transfer([str(path)], runs[:1], {"fgsm": 5}, place=place)
    assert any(fresh_checkpoint(5).fingerprint in Path(name).name for name in contents(place.results))
    path.unlink()
    with pytest.raises(UserError, match=f"of {fresh_checkpoint(5).fingerprint} is not at .*weights.pth any more"):
        transfer([fresh_checkpoint(5).fingerprint], runs[:1], {"fgsm": 5}, place=place)


def test_the_command_prints_the_matrix(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--limit", "10", "--results", str(tmp_path / "results")]
    assert status(["transfer", "--sources", runs[0], *(x for run in runs for x in ("--targets", run)), *options]) == 0
    printed = capsys.readouterr().out
    assert "pgd, ε = 8/255, made of small\\_cnn" in printed
    assert printed.count("100.00\\*") + printed.count("0\\*") >= 1
    assert len([line for line in printed.splitlines() if line.startswith("| ")]) == 2 + 3
    assert status(["evaluate", runs[2], "--sources", runs[0], "--benchmarks", "pgd", *options]) == 0
    told = capsys.readouterr()
    # The substitute was shown to it above; its own white box was not done.
    assert "pgd 4/8" in told.err
    assert "black_box_error" in told.out


def test_one_network_is_held_at_a_time(runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(verbs, "network", lambda checkpoint, *_: opened.append(checkpoint.source) or partial(len, ()))
    planned = verbs.plan(runs[0], {"pgd": 5}, place=Place(results=tmp_path), sources=[runs[1], runs[2]])
    given = planned.cells.tasks[0].setting.substitutes
    for call in (*given.values(), *given.values()):
        call()
    assert opened == ["small_cnn", "resnet20"] * 2
