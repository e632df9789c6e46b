"""The work of a study: trainings, and pieces of evaluations that need them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from networks import contents

from robustbench_msda import running
from robustbench_msda.engines import Outcome, Workers, run_items
from robustbench_msda.evaluation import Place, pieces
from robustbench_msda.recipes import make_recipe
from robustbench_msda.results.store import check_writable
from robustbench_msda.studies import Trial

SETTINGS = {"dataset": "digits", "model": "small_cnn", "epochs": 1, "batch_size": 256}
LIMITS = {"clean": 0, "fgsm": 10}


def trial(**changes: object) -> Trial:
    return Trial(make_recipe({**SETTINGS, **changes}, "a test"), LIMITS)


def test_a_small_evaluation_is_one_item_and_seeds_are_outermost(tmp_path: Path) -> None:
    trials = [trial(seed=1), trial(seed=0), trial(seed=1, epochs=2), trial(seed=0, epochs=2)]
    items = running.work_items(trials, Place(), tmp_path)
    order = [trials[k].recipe.folder for k in (1, 3, 0, 2)]
    assert [item.id for item in items] == [f"{verb} {name}" for name in order for verb in ("train", "evaluate")]
    assert [item.needs for item in items[:2]] == [(), (f"train {order[0]}",)]


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1), ("cuda:1", 0)])
def test_items_ask_for_a_gpu_where_any_will_do(device: str, gpus: int, tmp_path: Path) -> None:
    assert {item.gpus for item in running.work_items([trial()], Place(device=device), tmp_path)} == {gpus}


def test_a_data_set_that_is_not_here_is_the_trainings_to_report(tmp_path: Path) -> None:
    items = running.work_items([trial(dataset="cifar10"), trial()], Place(data_dir=tmp_path), tmp_path)
    assert len(items) == 4
    outcomes = run_items(items[:1], Workers(threads=1))
    assert "cifar10" in outcomes[0].error


def test_a_long_evaluation_is_pieces_that_need_the_training_and_leave_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, runs = trial(), tmp_path / "runs"
    name = chosen.recipe.folder
    place = Place(results=tmp_path / "whole")
    whole = running.work_items([chosen], place, runs)
    assert run_items(whole, Workers(threads=1)) == [Outcome(f"train {name}"), Outcome(f"evaluate {name}")]
    monkeypatch.setattr(running, "pieces", partial(pieces, most=100))
    split = Place(results=tmp_path / "split")
    items = running.work_items([chosen], split, runs)
    assert [item.id for item in items[1:]] == [f"evaluate {name} {k}/3" for k in (1, 2, 3)]
    assert {item.needs for item in items[1:]} == {(f"train {name}",)}
    outcomes = run_items(items, Workers(threads=1))
    assert [outcome.error for outcome in outcomes] == [""] * 4
    assert contents(split.results) == contents(place.results)
    assert len(contents(split.results)) == 5


def test_items_may_ask_at_once_whether_the_results_can_be_written(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(check_writable, [tmp_path] * 400)) == [None] * 400
