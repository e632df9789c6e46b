"""A whole study through the command line: train, evaluate, score, compare, report; resume; partial failure."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from networks import contents

from robustbench_msda import verbs
from robustbench_msda.cli.main import status
from robustbench_msda.evaluation import Place
from robustbench_msda.results.scores import read_scores
from robustbench_msda.results.store import Results, read_sidecar
from robustbench_msda.running import seconds_evaluated

STUDY = """
claim = "Two methods on digits, as small as can be"
[recipe]
dataset = "digits"
epochs = 1
batch_size = 128
flip = 0.0
[grid]
model = ["small_cnn"]
seed = [0]
augmentation = ["vanilla", "cutmix"]
[benchmarks]
clean = 0
fgsm = 10
"""


def run(folder: Path, *more: str, study: str = STUDY) -> int:
    (folder / "tiny.toml").write_text(study)
    places = [f"--{name}={folder / name}" for name in ("runs", "results", "reports")]
    # Threads change the last bits of training, so every run here has one.
    return status(["run", str(folder / "tiny.toml"), *places, "--threads=1", *more])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was run once."""
    folder = tmp_path_factory.mktemp("study")
    assert run(folder) == 0
    return folder


def test_a_study_leaves_scores_a_comparison_a_description_and_a_report(done: Path) -> None:
    scores = read_scores(done / "results" / "scores" / "tiny.csv.gz")
    assert scores["fingerprint"].nunique() == 2
    assert set(scores["benchmark"]) == {"clean", "fgsm", "training"}
    comparison = pd.read_csv(done / "results" / "comparisons" / "tiny.csv")
    assert set(comparison["treatment"]) == {"cutmix"}
    assert (comparison["metric"] == "recall_change").sum() == 10
    said = json.loads((done / "results" / "tiny.json").read_text())
    assert said["failed"] == {}
    assert len(said["recipes"]) == 2
    assert said["benchmarks"] == {"clean": 0, "fgsm": 10}
    for key in ("machine", "commit", "command", "hours"):
        assert said[key]
    report = done / "reports" / "tiny"
    page = (report / "index.html").read_text()
    assert "Two methods on digits" in page
    overview = pd.read_csv(report / "tables" / "overview.csv")
    assert len(overview) >= 2
    for suffix in ("png", "svg"):
        assert list((report / "figures").glob(f"recall_change*.{suffix}"))


def test_again_does_nothing_and_gives_the_same_bytes(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(done / "results")
    scores = (done / "results" / "scores" / "tiny.csv.gz").read_bytes()
    assert run(done) == 0
    assert "2/2 networks trained, 10/10 cells predicted; about 0 min" in capsys.readouterr().err
    assert contents(done / "results") == before
    assert (done / "results" / "scores" / "tiny.csv.gz").read_bytes() == scores


def test_workers_give_the_same_predictions(done: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "--workers", "2") == 0
    assert contents(tmp_path / "results") == contents(done / "results")


def test_a_dry_run_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--dry-run") == 0
    assert "0/2 networks trained, 0/10 cells predicted; about" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "results").exists()


def test_reports_are_rebuilt_from_scores_alone(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = ["--results", str(done / "results"), "--reports", str(tmp_path)]
    assert status(["report", "tiny", *results]) == 0
    first, second = done / "reports" / "tiny", tmp_path / "tiny"
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path
    capsys.readouterr()
    assert status(["tables", "build", "tiny", "overview", *results]) == 0
    assert status(["figures", "build", "tiny", "attack_curves", *results]) == 0
    printed = capsys.readouterr().out
    assert "overview.tex" in printed
    assert "attack_curves" in printed
    assert status(["report", "nothing", *results]) == 1
    assert "robustbench-msda score" in capsys.readouterr().err


def test_what_fails_is_named_and_the_rest_is_done(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    broken = next(path.name for path in (done / "runs").iterdir() if "cutmix" in path.name)
    (tmp_path / "runs" / broken).write_text("a file where the run folder should be")
    assert run(tmp_path) == 3
    told = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"failed: train {broken}: ") for line in told)
    assert any(line.startswith(f"failed: evaluate {broken}: not begun: it needs train") for line in told)
    scores = read_scores(tmp_path / "results" / "scores" / "tiny.csv.gz")
    assert scores["fingerprint"].nunique() == 1
    assert len(json.loads((tmp_path / "results" / "tiny.json").read_text())["failed"]) == 2


def test_hours_are_those_of_the_study_alone(done: Path) -> None:
    store = Results(done / "results")
    record = next(iter(store.checkpoints().values()))
    limits = {"clean": 0, "fgsm": 10}
    before = seconds_evaluated(store, record, limits)
    paths = [path for name, _, cells in store.worlds(record.fingerprint) if name in limits for path in cells.values()]
    assert before == pytest.approx(sum(read_sidecar(path).seconds for path in paths))
    (run_folder,) = (done / "runs").glob(f"*{record.augmentation}*")
    verbs.evaluate(run_folder, {"clean": 7}, place=Place(results=done / "results"))
    assert seconds_evaluated(store, record, limits) == before
    assert seconds_evaluated(store, record, {"clean": 7}) > 0
