from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import contents, fresh_checkpoint, saved

from robustbench_msda import evaluation, verbs
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.benchmarks.adversarial import UnderAttack
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.evaluation.run import ahead, record_of
from robustbench_msda.models.checkpoints import network
from robustbench_msda.records import Cell, level_value, limited
from robustbench_msda.results.store import read_predictions, read_sidecar

LIMITS = {"clean": 0, "digits_c_made": 20, "fgsm": 20, "pgd": 6}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder and the results of an evaluation that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run = saved(folder / "run")
    verbs.evaluate(run, LIMITS, place=Place(results=folder / "results"))
    return run, folder / "results"


def test_every_cell_is_predicted_and_nothing_is_done_twice(whole: tuple[Path, Path]) -> None:
    run, results = whole
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*.npz")}
    assert len(before) == 1 + 19 * 5 + 4 + 4
    planned = verbs.evaluate(run, LIMITS, place=Place(results=results))
    assert planned.cells.missing == ()
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*.npz")} == before


def test_clean_predictions_equal_a_loop_over_the_images(whole: tuple[Path, Path]) -> None:
    _, results = whole
    dataset = open_dataset("digits", Path())
    model = network(fresh_checkpoint(), "cpu")
    path = next((results / "predictions").glob("*/clean@*/*.npz"))
    predictions = read_predictions(path)
    for row in (0, 7, 499):
        image = torch.from_numpy(np.array(dataset.images("test")[row])).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            logits = model(image)[0].double()
        probs = logits.softmax(0)
        assert predictions.label[row] == dataset.labels("test")[row]
        assert predictions.top5[row, 0] == int(logits.argmax())
        assert predictions.confidence[row] == pytest.approx(float(probs.max()), rel=1e-5)
        assert predictions.label_probability[row] == pytest.approx(float(probs[predictions.label[row]]), rel=1e-5)
        assert predictions.sum_p2[row] == pytest.approx(float((probs**2).sum()), rel=1e-5)
        assert predictions.logits is not None
        np.testing.assert_allclose(predictions.logits[row], logits.numpy(), rtol=1e-4, atol=1e-6)


def test_a_lost_cell_comes_back_with_the_same_bytes(whole: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = whole
    before = contents(results)
    lost = [path for path in results.rglob("*.npz") if "shot_noise" in path.name or "pgd" in path.name][::3]
    for path in lost:
        path.unlink()
    planned = verbs.evaluate(run, LIMITS, place=Place(results=results))
    assert len(planned.cells.missing) == len(lost)
    assert contents(results) == before


def test_predictions_do_not_depend_on_the_batch_size(whole: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = whole
    verbs.evaluate(run, LIMITS, place=Place(results=tmp_path, batch_size=7))
    assert contents(tmp_path / "predictions") == contents(results / "predictions")


def test_limited_predictions_are_rows_of_the_full_ones_and_live_apart(whole: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = whole
    verbs.evaluate(run, {"clean": 50}, place=Place(results=tmp_path))
    some = read_predictions(next(tmp_path.rglob("clean@*/*.npz")))
    full = read_predictions(next(results.rglob("clean@*/*.npz")))
    np.testing.assert_array_equal(some.index, limited(500, 50))
    np.testing.assert_array_equal(some.top5_logit, full.top5_logit[some.index])
    worlds = {path.parent.name for path in (*tmp_path.rglob("clean@*/*.npz"), *results.rglob("clean@*/*.npz"))}
    assert len(worlds) == 2


@pytest.mark.parametrize("name", ["clean", "digits_c_made", "fgsm"])
def test_two_networks_see_the_same_stimuli_unless_they_are_attacked(name: str) -> None:
    dataset = open_dataset("digits", Path())
    setting = Setting(dataset, Path(), torch.device("cpu"), limit=12, batch_size=5)
    benchmark = benchmarks_of("digits")[name]
    cell = next(iter(benchmark.cells("0" * 12, setting)))
    first, second = (
        torch.cat([batch.images for batch in benchmark.stimuli(cell, setting, network(fresh_checkpoint(s), "cpu"))])
        for s in (0, 1)
    )
    assert torch.equal(first, second) == (name != "fgsm")


def test_attacks_stay_in_their_ball_and_differ_by_level(whole: tuple[Path, Path]) -> None:
    _, results = whole
    seen = 0
    for path in (*results.rglob("fgsm@*/*.npz"), *results.rglob("pgd@*/*.npz")):
        predictions, cell = read_predictions(path), read_sidecar(path).cell
        assert predictions.delta_max is not None
        assert (predictions.delta_max <= level_value(cell.level) + 1e-6).all()
        assert (predictions.delta_max > 0.9 * level_value(cell.level)).all()
        seen += 1
    assert seen == 8


def test_an_attack_that_leaves_its_ball_is_refused() -> None:
    from robustbench_msda.attacks.base import check_ball

    images = torch.full((2, 3, 4, 4), 0.5)
    assert check_ball(images, images + 0.01, 0.01).max() == pytest.approx(0.01)
    with pytest.raises(ValueError, match=r"within 0\.01, got a change of 0\.02"):
        check_ball(images, images + 0.02, 0.01)


def test_the_plan_names_what_cannot_run(tmp_path: Path) -> None:
    dataset = replace(open_dataset("digits", Path()), side=33)
    setting = Setting(dataset, tmp_path, torch.device("cpu"))
    missing = benchmarks_of("digits")["digits_c_made"].needs(setting)
    assert missing is not None
    assert "33 px" in missing.reason
    assert missing.remedy


def test_an_unknown_benchmark_is_named_with_the_known_ones(whole: tuple[Path, Path]) -> None:
    with pytest.raises(UnknownName, match="digits_c_made"):
        verbs.plan(whole[0], {"digits_c_mad": 0})


def test_a_checkpoint_of_other_classes_is_refused(tmp_path: Path) -> None:
    checkpoint = fresh_checkpoint()
    other = replace(checkpoint, classes=(*checkpoint.classes[:-1], "ten"))
    with pytest.raises(UserError, match="class 9 is 'ten'"):
        evaluation.plan(other, 0, Place(tmp_path, tmp_path))


def test_parts_split_large_test_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = saved(tmp_path / "run")
    verbs.evaluate(run, {"clean": 0}, place=Place(results=tmp_path / "one"))
    for module in ("records", "benchmarks.base"):
        monkeypatch.setattr(f"robustbench_msda.{module}.PART_SIZE", 200)
    verbs.evaluate(run, {"clean": 0}, place=Place(results=tmp_path / "three"))
    parts = sorted((tmp_path / "three").rglob("*.npz"))
    assert [read_sidecar(path).n for path in parts] == [200, 200, 100]
    joined = np.concatenate([read_predictions(path).top5_logit for path in parts])
    np.testing.assert_array_equal(joined, read_predictions(next((tmp_path / "one").rglob("*.npz"))).top5_logit)
    one = verbs.score(place=Place(results=tmp_path / "one"))
    three = verbs.score(place=Place(results=tmp_path / "three"))
    assert one.equals(three)
    parts[1].unlink()
    assert verbs.score(place=Place(results=tmp_path / "three")).empty


def test_ahead_keeps_order_and_passes_errors_on() -> None:
    assert list(ahead(iter([1, 2, 3]))) == [1, 2, 3]  # type: ignore[list-item]

    def broken() -> object:
        yield 1
        raise UserError("the disk is gone")

    batches = ahead(broken())  # type: ignore[arg-type]
    assert next(batches) == 1
    with pytest.raises(UserError, match="the disk is gone"):
        next(batches)


def test_pgd_is_no_weaker_than_its_own_start() -> None:
    dataset = open_dataset("digits", Path())
    setting = Setting(dataset, Path(), torch.device("cpu"), limit=20)
    model = network(fresh_checkpoint(), "cpu")
    losses = []
    for attack in ("pgd(steps=1, rel_stepsize=0.0001)", "pgd(steps=10, rel_stepsize=0.25)"):
        benchmark = UnderAttack("pgd", (attack,))
        (batch,) = benchmark.stimuli(Cell("", "pgd", attack, "8/255"), setting, model)
        losses.append(float(torch.nn.functional.cross_entropy(model(batch.images), batch.targets)))
    assert losses[1] > losses[0] + 0.01


def evaluate_in_a_process(run: Path, results: Path) -> subprocess.Popen[bytes]:
    code = (
        "import torch; torch.set_num_threads(1); from robustbench_msda import Place, verbs; from pathlib import Path;"
        f"verbs.evaluate({str(run)!r}, {LIMITS!r}, place=Place(results=Path({str(results)!r})))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)


def wait_for_cells(results: Path, n: int) -> None:
    give_up = time.monotonic() + 120
    while sum(1 for _ in results.rglob("*.npz")) < n:
        assert time.monotonic() < give_up, "no cell was written in two minutes"
        time.sleep(0.01)


def test_a_killed_evaluation_goes_on_to_the_same_bytes(whole: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = whole
    process = evaluate_in_a_process(run, tmp_path)
    wait_for_cells(tmp_path, 9)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = len(contents(tmp_path / "predictions"))
    assert 9 <= left < 59
    verbs.evaluate(run, LIMITS, place=Place(results=tmp_path))
    assert contents(tmp_path / "predictions") == contents(results / "predictions")


def test_two_processes_may_share_a_results_folder(whole: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = whole
    processes = [evaluate_in_a_process(run, tmp_path) for _ in range(2)]
    for process in processes:
        _, told = process.communicate(timeout=240)
        assert process.returncode == 0, told.decode()
    assert contents(tmp_path / "predictions") == contents(results / "predictions")
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("recipe", [{"dataset": 3}, {"dataset": "digits", "model": "small_cnn", "depth": 4}])
def test_a_checkpoint_whose_recipe_is_none_is_the_users_mistake(recipe: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"the recipe in .*weights\.safetensors"):
        record_of(fresh_checkpoint(0, recipe), Path("weights.safetensors"))
