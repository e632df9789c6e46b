from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from stored_predictions import CELL, RECORD, WORLD, kept, made, same, sidecar

from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.records import Cell, World
from robustbench_msda.results.store import Results, check_writable, read_predictions, read_sidecar


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


WRITE_OFTEN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from stored_predictions import WORLD, Results, made, sidecar

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


def test_checkpoint_records_come_back_and_are_replaced(tmp_path: Path) -> None:
    results = Results(tmp_path)
    stranger = RECORD.model_copy(update={"fingerprint": "fedcba987654", "recipe": None, "seed": None})
    for record in (RECORD, stranger, moved := RECORD.model_copy(update={"path": "elsewhere"})):
        results.add_checkpoint(record)
    assert results.checkpoints() == {"0123456789ab": moved, "fedcba987654": stranger}


def test_no_results_are_no_checkpoints_and_no_worlds(tmp_path: Path) -> None:
    assert Results(tmp_path / "none").checkpoints() == {}
    assert list(Results(tmp_path / "none").worlds("0123456789ab")) == []


def test_a_folder_that_cannot_be_written_is_known_before_work_begins(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        check_writable(tmp_path / "file")
