from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.files import write_text
from robustbench_msda.records import Cell, Predictions, World
from robustbench_msda.results.store import (
    CheckpointRecord,
    Results,
    Sidecar,
    check_writable,
    read_predictions,
    read_sidecar,
    world_facts,
)
from robustbench_msda.streams import stream

WORLD = World("d" * 64, 1, limit=100)
CELL = Cell("0123456789ab", "digits_adversarial", "pgd(steps=40, rel_stepsize=0.0333)", "8/255", "", 0)


def made(n: int = 7, seed: int = 0) -> Predictions:
    """Return predictions with every column."""
    rng = stream("test", "predictions", seed)
    logits = rng.normal(size=(n, 6)).astype(np.float32)
    return Predictions(
        index=np.arange(n, dtype=np.int32),
        frame=np.zeros(n, np.int16),
        label=rng.integers(-1, 6, n).astype(np.int16),
        top5=np.argsort(-logits, axis=1)[:, :5].astype(np.int16),
        top5_logit=-np.sort(-logits, axis=1)[:, :5],
        label_logit=np.where(np.arange(n) % 2, np.float32(np.nan), np.float32(1)),
        logsumexp=np.log(np.exp(logits).sum(1)),
        sum_p2=rng.random(n).astype(np.float32),
        logits=logits,
        targets=rng.random((n, 6)).astype(np.float32),
        delta_max=rng.random(n).astype(np.float32),
    )


def sidecar(cell: Cell = CELL, world: World = WORLD) -> Sidecar:
    return Sidecar(
        cell=cell,
        world=world_facts(world),
        n=7,
        parts=1,
        seconds=0.5,
        batch_size=250,
        device="cpu",
        threads=1,
        host="here",
        created="2026-01-01T00:00:00+00:00",
        versions={"torch": "2.0"},
    )


def same(a: Predictions, b: Predictions) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(Predictions)]
    return all(
        (ours is None) == (theirs is None)
        and (ours is None or (ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()))
        for ours, theirs in pairs
    )


def kept(folder: Path) -> Path:
    """Keep predictions in ``folder`` and return their file."""
    results = Results(folder)
    results.write(WORLD, made(), sidecar())
    return results.path(CELL, WORLD)


def test_predictions_come_back_bit_for_bit(tmp_path: Path) -> None:
    results = Results(tmp_path)
    assert not results.has(CELL, WORLD)
    results.write(WORLD, made(), sidecar())
    assert results.has(CELL, WORLD)
    assert same(read_predictions(results.path(CELL, WORLD)), made())
    assert read_sidecar(results.path(CELL, WORLD)) == sidecar()


def test_optional_columns_stay_absent(tmp_path: Path) -> None:
    few = dataclasses.replace(made(), logits=None, targets=None, delta_max=None)
    results = Results(tmp_path)
    results.write(WORLD, few, sidecar())
    assert same(read_predictions(results.path(CELL, WORLD)), few)


def test_the_path_says_what_was_evaluated(tmp_path: Path) -> None:
    path = Results(tmp_path).path(CELL, WORLD)
    assert path.relative_to(tmp_path).as_posix() == (
        f"predictions/0123456789ab/digits_adversarial@{WORLD.id}/pgd%28steps=40%2C%20rel_stepsize=0.0333%29~8%2F255~~0.npz"
    )
    assert Results(tmp_path).path(CELL, World("d" * 64, 1)) != path


CELLS = [
    CELL,
    Cell("0123456789ab", "digits_c_made", "fog", "3", "", 1),
    Cell("0123456789ab", "clean"),
    Cell("0123456789ab", "transfer ~ é", "a~b/../../.x y%7E", "0.03", "ba9876543210", 12),
    Cell("fedcba987654", "clean"),
]


def test_cells_are_found_again_whatever_is_in_their_names(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for cell in CELLS:
        results.write(WORLD, made(), sidecar(cell))
    found = {
        cell: path
        for fingerprint in ("0123456789ab", "fedcba987654")
        for _, world, cells in results.worlds(fingerprint)
        for cell, path in cells.items()
        if world == WORLD.id
    }
    assert found == {cell: results.path(cell, WORLD) for cell in CELLS}
    assert all(tmp_path in path.resolve().parents for path in found.values())


def test_worlds_are_kept_apart(tmp_path: Path) -> None:
    results, other = Results(tmp_path), World("d" * 64, 1)
    results.write(WORLD, made(), sidecar())
    results.write(other, made(), sidecar(world=other))
    assert {(name, world) for name, world, _ in results.worlds(CELL.fingerprint)} == {
        ("digits_adversarial", WORLD.id),
        ("digits_adversarial", other.id),
    }


def test_a_file_that_is_under_way_is_no_cell(tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.with_name(f".{path.name}.1234.tmp").write_bytes(b"half")
    (_, _, cells), *rest = Results(tmp_path).worlds(CELL.fingerprint)
    assert list(cells) == [CELL]
    assert rest == []


@pytest.mark.parametrize("name", ["copy.npz", "a~b~c~d.npz", "a~b~c~1~2.npz", "fog~3~~0 (1).npz"])
def test_a_stray_file_is_named(tmp_path: Path, name: str) -> None:
    kept(tmp_path).with_name(name).write_bytes(b"")
    with pytest.raises(DamagedData, match="is not named as predictions are"):
        list(Results(tmp_path).worlds(CELL.fingerprint))


def test_the_same_predictions_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (kept(tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    # The bytes hold no time: NumPy writes zipfile's earliest.
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def complaint(path: Path) -> str:
    with pytest.raises(DamagedData) as caught:
        read_predictions(path)
    return str(caught.value)


def test_a_file_cut_short_anywhere_is_damaged(tmp_path: Path) -> None:
    path = kept(tmp_path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        text = complaint(path)
        assert text.startswith(f"{path} is not a file of predictions")
        assert text.endswith("delete it and evaluate again")
        assert "\n" not in text


def test_a_flipped_bit_in_an_array_is_seen(tmp_path: Path) -> None:
    """A zip archive has checksums of its members, not of the directory at its end."""
    path = kept(tmp_path)
    whole, rng = path.read_bytes(), stream("test", "flips")
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    damaged = 0
    for position in range(0, directory, 7):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            assert same(read_predictions(path), made())
        except DamagedData:
            damaged += 1
    assert damaged > 0.75 * directory / 7


def saved(path: Path, **changes: object) -> Path:
    columns = {**vars(made()), **changes}
    with path.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": np.zeros(6, np.int16)}, "columns of different lengths"),
        ({"label": np.int16(3)}, "columns of different lengths"),
        ({"label": np.zeros(7, np.int64)}, "label is int64"),
        ({"logits": np.zeros((7, 6))}, "logits is float64"),
        ({"surprise": np.zeros(7, np.float32)}, "is not a file of predictions"),
        ({"label": np.array([None] * 7)}, "is not a file of predictions"),
    ],
)
def test_columns_that_cannot_be_are_damaged(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    assert said in complaint(saved(tmp_path / "a~b~c~0.npz", **changes))


def test_an_absent_column_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a~b~c~0.npz"
    np.savez(path, index=np.zeros(7, np.int32))
    assert "is not a file of predictions (TypeError)" in complaint(path)


def test_no_file_holds_code(tmp_path: Path) -> None:
    """Arrays of objects are pickles, which run what they hold when they are read."""
    trace = tmp_path / "trace"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(trace),)  # type: ignore[return-value]

    complaint(saved(tmp_path / "a~b~c~0.npz", label=np.array([Hostile()] * 7)))
    assert not trace.exists()


@pytest.mark.parametrize("text", [None, "", "{", "{}", "\xff"])
def test_a_damaged_sidecar_is_named(tmp_path: Path, text: str | None) -> None:
    path = kept(tmp_path)
    if text is None:
        path.with_suffix(".json").unlink()
    else:
        path.with_suffix(".json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedData, match=r"\.json is missing or damaged"):
        read_sidecar(path)


WRITE_OFTEN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_results_store import WORLD, Results, made, sidecar

for _ in range(40):
    Results(Path(sys.argv[1])).write(WORLD, made(seed=int(sys.argv[3])), sidecar())
"""


def test_processes_that_write_one_cell_at_once_leave_a_readable_one(tmp_path: Path) -> None:
    path, here = kept(tmp_path), str(Path(__file__).parent)
    writers = [subprocess.Popen([sys.executable, "-c", WRITE_OFTEN, str(tmp_path), here, seed]) for seed in "12"]
    wholes = [made(seed=seed) for seed in range(3)]
    while any(writer.poll() is None for writer in writers):
        now = read_predictions(path)
        assert any(same(now, whole) for whole in wholes)
    assert [writer.wait() for writer in writers] == [0, 0]
    assert any(same(read_predictions(path), whole) for whole in wholes[1:])
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".json", ".npz"]


RECORD = CheckpointRecord(
    fingerprint="0123456789ab",
    source="resnet20",
    options={"in_chans": 1, "rate": 0.5},
    dataset="digits",
    classes=("zero", "one"),
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.5, 0.5),
    path="runs/a",
    recipe={"lr": 0.1, "milestones": [0.5]},
    seed=0,
)


def test_checkpoint_records_come_back_and_are_replaced(tmp_path: Path) -> None:
    results = Results(tmp_path)
    stranger = RECORD.model_copy(update={"fingerprint": "fedcba987654", "recipe": None, "seed": None})
    for record in (RECORD, stranger, moved := RECORD.model_copy(update={"path": "elsewhere"})):
        results.add_checkpoint(record)
    assert results.checkpoints() == {"0123456789ab": moved, "fedcba987654": stranger}


def test_no_results_are_no_checkpoints_and_no_worlds(tmp_path: Path) -> None:
    assert Results(tmp_path / "none").checkpoints() == {}
    assert list(Results(tmp_path / "none").worlds("0123456789ab")) == []


@pytest.mark.parametrize("text", ["", "{}", '{"fingerprint": 3}', "[" * 1000])
def test_a_damaged_record_is_named_in_one_line(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "checkpoints" / "0123456789ab.json", text)
    with pytest.raises(DamagedData, match=r"0123456789ab.json is not a checkpoint record") as caught:
        Results(tmp_path).checkpoints()
    assert "\n" not in str(caught.value)


def test_a_record_from_a_later_version_is_refused(tmp_path: Path) -> None:
    later = {**RECORD.model_dump(mode="json"), "colour": "blue"}
    write_text(tmp_path / "checkpoints" / "0123456789ab.json", json.dumps(later))
    with pytest.raises(DamagedData):
        Results(tmp_path).checkpoints()


def test_a_folder_that_cannot_be_written_is_known_before_work_begins(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        check_writable(tmp_path / "file")
