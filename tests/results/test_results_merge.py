"""Results folders of two labs come together through the command line; what they say otherwise is refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustbench_msda.cli.main import status
from robustbench_msda.errors import UserError
from robustbench_msda.records import COLUMNS, Cell, Predictions, World
from robustbench_msda.results import merge
from robustbench_msda.results.scores import read_scores, write_scores
from robustbench_msda.results.store import Results, Sidecar, read_predictions, world_facts

WORLD = World("da7a", 1)


def predictions(seed: int, n: int = 20) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        index=np.arange(n, dtype=np.int32),
        frame=np.zeros(n, np.int16),
        label=rng.integers(0, 5, n).astype(np.int16),
        top5=np.tile(np.arange(5, dtype=np.int16), (n, 1)),
        top5_logit=rng.normal(size=(n, 5)).astype(np.float32),
        label_logit=np.where(np.arange(n) % 5, 1.0, np.nan).astype(np.float32),
        logsumexp=np.ones(n, np.float32),
        sum_p2=np.ones(n, np.float32),
    )


def write_cell(folder: Path, cell: Cell, seed: int, host: str = "one") -> Path:
    sidecar = Sidecar(
        cell=cell, world=world_facts(WORLD), n=20, parts=1, seconds=1.0, batch_size=10, device="cpu", threads=1,
        host=host, created="", versions={},
    )  # fmt: skip
    Results(folder).write(WORLD, predictions(seed), sidecar)
    return Results(folder).path(cell, WORLD)


def write_record(folder: Path, fingerprint: str, dataset: str = "digits", path: str = "runs/a") -> None:
    record = {"fingerprint": fingerprint, "source": "resnet20", "dataset": dataset, "classes": ["a", "b"]}
    record |= {"mean": [0.5], "std": [0.5], "path": path}
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints" / f"{fingerprint}.json").write_text(json.dumps(record), encoding="utf-8")


def write_rows(folder: Path, values: dict[str, float], name: str = "all") -> None:
    row = dict.fromkeys(COLUMNS, "") | {"benchmark": "clean", "world": "w", "subset": "all", "metric": "error", "n": 20}
    ends = {"low": math.nan, "high": math.nan}
    frame = pd.DataFrame([{**row, **ends, "fingerprint": who, "value": value} for who, value in values.items()])
    write_scores(frame, folder / "scores" / f"{name}.csv.gz")


@pytest.fixture
def labs(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders that share one cell, one checkpoint and one row."""
    first, second = tmp_path / "a", tmp_path / "b"
    write_cell(first, Cell("aaaa", "clean"), 1)
    write_cell(first, Cell("cccc", "clean"), 3)
    write_cell(second, Cell("bbbb", "pgd", "pgd(steps=10)", "8/255"), 2)
    write_cell(second, Cell("cccc", "clean"), 3, host="another")
    write_record(first, "aaaa")
    write_record(first, "cccc")
    write_record(second, "bbbb")
    write_record(second, "cccc", path="elsewhere")
    write_rows(first, {"aaaa": 0.1, "cccc": 0.3})
    write_rows(second, {"bbbb": 0.2, "cccc": 0.3})
    return first, second


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_folders_become_one(labs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "c"
    assert status(["results", "merge", *map(str, labs), "--into", str(into)]) == 0
    told = capsys.readouterr().out
    assert "predictions: 3 written, 1 there already" in told
    assert "checkpoints: 3 written, 1 there already" in told
    store = Results(into)
    assert set(store.checkpoints()) == {"aaaa", "bbbb", "cccc"}
    found = read_predictions(store.path(Cell("bbbb", "pgd", "pgd(steps=10)", "8/255"), WORLD))
    assert np.array_equal(found.top5_logit, predictions(2).top5_logit)
    assert all(path.with_suffix(".json").exists() for path in into.rglob("*.npz"))
    values = read_scores(into / "scores" / "all.csv.gz").set_index("fingerprint")["value"]
    assert values.to_dict() == {"aaaa": 0.1, "bbbb": 0.2, "cccc": 0.3}
    # Again, and into one of the two, nothing changes.
    before = files(into)
    assert status(["results", "merge", *map(str, labs), str(into), "--into", str(into)]) == 0
    assert files(into) == before
    assert "predictions: 0 written, 4 there already" in capsys.readouterr().out


def test_other_predictions_for_one_cell_are_refused_with_both_sources(
    labs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_cell(labs[1], Cell("aaaa", "clean"), 99)
    assert status(["results", "merge", *map(str, labs), "--into", str(tmp_path / "c")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(other) in told
    assert str(Results(labs[0]).path(Cell("aaaa", "clean"), WORLD)) in told
    assert not (tmp_path / "c").exists()


def test_what_is_there_already_is_a_side_too(labs: tuple[Path, Path], tmp_path: Path) -> None:
    there = write_cell(tmp_path / "c", Cell("bbbb", "pgd", "pgd(steps=10)", "8/255"), 99)
    with pytest.raises(UserError, match="say otherwise") as failure:
        merge.merge_results(labs, tmp_path / "c")
    assert str(there) in str(failure.value)
    assert len(files(tmp_path / "c")) == 2


def test_the_same_predictions_in_other_bytes_are_the_same(labs: tuple[Path, Path], tmp_path: Path) -> None:
    path = write_cell(labs[1], Cell("aaaa", "clean"), 1)
    np.savez_compressed(path, **{name: value for name, value in vars(predictions(1)).items() if value is not None})
    assert path.read_bytes() != Results(labs[0]).path(Cell("aaaa", "clean"), WORLD).read_bytes()
    assert merge.merge_results(labs, tmp_path / "c").alike["predictions"] == 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: write_record(folder, "aaaa", dataset="cifar10"), "say otherwise"),
        (lambda folder: write_rows(folder, {"aaaa": 0.4}), "two values"),
        (lambda folder: write_cell(folder, Cell("dddd", "clean"), 4).write_bytes(b"PK"), "not a file of predictions"),
        (lambda folder: write_cell(folder, Cell("dddd", "clean"), 4).with_suffix(".json").unlink(), "missing or dam"),
        (lambda folder: shutil.rmtree(folder), "no results folder"),
        (lambda folder: [shutil.rmtree(each) for each in folder.iterdir()], "no results folder"),
    ],
)
def test_contradictions_and_damage_are_one_line_and_nothing_is_written(
    labs: tuple[Path, Path], tmp_path: Path, damage: object, told: str
) -> None:
    damage(labs[1])  # type: ignore[operator]
    with pytest.raises(UserError, match=told) as failure:
        merge.merge_results(labs, tmp_path / "c")
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "c").exists()


def test_a_killed_merge_goes_on(labs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copyfile, copied = shutil.copyfile, []

    def dying(source: Path, path: Path) -> None:
        if len(copied) == 3:
            raise KeyboardInterrupt
        copied.append(path)
        copyfile(source, path)

    monkeypatch.setattr(merge.shutil, "copyfile", dying)
    with pytest.raises(KeyboardInterrupt):
        merge.merge_results(labs, tmp_path / "c")
    monkeypatch.undo()
    assert len(list((tmp_path / "c").rglob("*.npz"))) == 1
    assert all(path.with_suffix(".json").exists() for path in (tmp_path / "c").rglob("*.npz"))
    merge.merge_results(labs, tmp_path / "c")
    assert len(list((tmp_path / "c").rglob("*.npz"))) == 3


def test_a_study_that_differs_is_kept_and_named(
    labs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in labs:
        (folder / "mine.json").write_text(json.dumps({"by": folder.name}), encoding="utf-8")
    assert status(["results", "merge", *map(str, labs), "--into", str(tmp_path / "c")]) == 0
    assert json.loads((tmp_path / "c" / "mine.json").read_text(encoding="utf-8")) == {"by": "a"}
    told = capsys.readouterr().err
    assert str(labs[1] / "mine.json") in told
    assert told.count("\n") == 1
