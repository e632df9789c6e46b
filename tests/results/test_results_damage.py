"""What is not as this package wrote it is named in one line, and runs nothing."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from stored_predictions import RECORD, kept, made, same

from robustbench_msda.errors import DamagedData
from robustbench_msda.files import write_text
from robustbench_msda.results.store import Results, read_predictions, read_sidecar
from robustbench_msda.streams import stream


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
        np.savez(file, **columns)
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
