"""Studies of several grids through the command line: all parts, one part, scales, and the grid of a dry run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from robustbench_msda.cli.main import status
from robustbench_msda.results.scores import read_scores

STUDY = """
claim = "Two tables on digits, as small as can be"
override = [{ augmentation = "mixup", set = { lr = 0.05 } }]
[recipe]
dataset = "digits"
model = "small_cnn"
epochs = 1
batch_size = 128
flip = 0.0
[grid]
seed = [0]
augmentation = ["vanilla", "cutmix"]
[benchmarks]
clean = 0
[part.T1]
feeds = ["mine.T1"]
[part.T2]
feeds = ["mine.T2"]
stands = { cifar10 = "digits" }
grid = { augmentation = ["vanilla", "mixup"] }
benchmarks = { fgsm = 10 }
[part.T3]
grid = { augmentation = ["vanilla"], label_smoothing = [0.0, 0.1] }
[part.far]
recipe = { dataset = "cifar100" }
[transfer]
sources = [{ augmentation = "cutmix" }]
benchmarks = ["fgsm"]
[scale.smoke]
grid = { seed = [1] }
[scale.smoke.part.T1]
"""


def run(folder: Path, *more: str) -> int:
    (folder / "mine.toml").write_text(STUDY)
    places = [f"--{name}={folder / name}" for name in ("runs", "results", "reports", "data-dir")]
    return status(["run", str(folder / "mine.toml"), *places, "--threads=1", *more])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was run once: all of it but one part, whose data are not there."""
    folder = tmp_path_factory.mktemp("study")
    assert run(folder) == 3
    return folder


def test_parts_are_trained_once_and_put_to_their_own_benchmarks(done: Path) -> None:
    assert len(list((done / "runs").glob("*/checkpoint.safetensors"))) == 4
    scores = read_scores(done / "results" / "scores" / "mine.csv.gz")
    # What training cost stands beside the benchmarks.
    found = {name: set(rows["benchmark"]) - {"training"} for name, rows in scores.groupby("augmentation")}
    assert found == {"vanilla": {"clean", "fgsm"}, "cutmix": {"clean"}, "mixup": {"clean", "fgsm"}}
    said = json.loads((done / "results" / "mine.json").read_text())
    assert said["feeds"] == ["mine.T1", "mine.T2"]
    assert said["stands"] == {"cifar10": "digits"}
    assert said["benchmarks"] == {"clean": 0, "fgsm": 10}
    assert len(said["recipes"]) == 4
    assert {recipe["lr"] for recipe in said["recipes"].values()} == {0.1, 0.05}
    # Two trainings, their evaluations, and what one of them was to make for the other.
    assert len(said["failed"]) == 5
    assert all("cifar100" in name for name in said["failed"])


def test_each_part_is_compared_with_its_own_baseline(done: Path) -> None:
    comparison = pd.read_csv(done / "results" / "comparisons" / "mine.csv", keep_default_na=False)
    pairs = comparison[["baseline", "treatment", "flags"]].drop_duplicates().to_numpy().tolist()
    told = {
        (before, after): [name for name in ("lr", "label_smoothing") if name in flags] for before, after, flags in pairs
    }
    # Both recipes without a method are told apart by their digests, as they are among the scores.
    baseline, smooth = dict.fromkeys(before for before, _ in told), [after for _, after in told if "vanilla" in after]
    assert len(baseline) == len(smooth) == 1
    (name,) = baseline
    assert name.startswith("vanilla · ")
    assert smooth[0].startswith("vanilla · ")
    assert smooth[0] != name
    assert told == {(name, "cutmix"): [], (name, "mixup"): ["lr"], (name, smooth[0]): ["label_smoothing"]}
    assert (comparison["metric"] == "recall_change").sum() == 3 * 10


def test_one_part_is_kept_under_its_own_name_and_trains_nothing_twice(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (done / "results" / "scores" / "mine.csv.gz").read_bytes()
    assert run(done, "--part", "T2") == 0
    assert "mine-T2: Two tables" in (told := capsys.readouterr().err)
    assert "2/2 networks trained" in told
    assert "about 0 min of all cores" in told
    scores = read_scores(done / "results" / "scores" / "mine-T2.csv.gz")
    assert set(scores["augmentation"]) == {"vanilla", "mixup"}
    assert (done / "results" / "scores" / "mine.csv.gz").read_bytes() == whole
    assert json.loads((done / "results" / "mine-T2.json").read_text())["feeds"] == ["mine.T2"]


def test_a_dry_run_prints_the_grid_and_what_is_not_there(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(done, "--dry-run") == 0
    printed = capsys.readouterr()
    header, *rows = printed.out.splitlines()
    assert header.split() == ["part", "dataset", "model", "augmentation", "epochs", "trained", "cells", "left", "also"]
    columns = [row.split() for row in rows]
    assert [row[0] for row in columns] == ["T1", "T1", "T2", "T2", "T3", "T3", "far", "far"]
    assert [row[5] for row in columns] == ["1/1"] * 6 + ["0/1"] * 2
    assert [row[7] for row in columns] == ["0"] * 6 + ["?"] * 2
    assert columns[3][-1] == "lr=0.05"
    assert columns[5][-1] == "label_smoothing=0.1"
    assert "4/6 networks trained" in printed.err
    assert "without 2 networks" in printed.err
    assert "robustbench-msda data fetch cifar100" in printed.err


def test_a_dry_run_without_any_data_still_prints_the_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--part", "far", "--dry-run") == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 + 2
    assert "0/2 networks trained, 0/0 cells predicted; for the rest nothing was measured" in printed.err
    assert not (tmp_path / "runs").exists()
    assert run(tmp_path, "--part", "far") == 1
    assert "robustbench-msda data fetch cifar100" in capsys.readouterr().err


def test_scales_and_parts_that_do_not_exist_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, message in (
        (("--part", "T4"), "unknown part of study mine 'T4'"),
        (("--scale", "smal"), "unknown scale of study mine 'smal'"),
        (("--scale", "smoke", "--part", "T2"), "unknown part of study mine-smoke 'T2'"),
    ):
        assert run(tmp_path, "--dry-run", *more) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert run(tmp_path, "--dry-run", "--scale", "smoke", "--part", "T1") == 0
    assert "mine-smoke-T1: " in capsys.readouterr().err
    assert run(tmp_path, "--dry-run", "--scale", "paper", "--part", "T1") == 0
    assert "mine-T1: " in capsys.readouterr().err
