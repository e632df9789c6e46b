from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustbench_msda.errors import DamagedData, MissingData
from robustbench_msda.records import COLUMNS
from robustbench_msda.results.scores import read_scores, write_scores


def frame() -> pd.DataFrame:
    """Return two rows whose texts look like numbers and like nothing."""
    first = {**dict.fromkeys(COLUMNS, "x"), "fingerprint": "012345678901", "seed": "0", "level": "0.30", "flags": ""}
    second = {**first, "fingerprint": "1e10", "condition": "NA", "level": "", "subset": "cat>dog", "source": "None"}
    numbers = {"value": 1 / 3, "n": 10_000, "low": 0.25, "high": 0.5}
    unknown = {"value": 0.5, "n": 1, "low": float("nan"), "high": float("nan")}
    return pd.DataFrame([{**first, **numbers}, {**second, **unknown}])[list(COLUMNS)]


@pytest.mark.parametrize("name", ["scores.csv", "scores.csv.gz"])
def test_scores_come_back(tmp_path: Path, name: str) -> None:
    write_scores(frame(), tmp_path / name)
    again = read_scores(tmp_path / name)
    assert tuple(again.columns) == COLUMNS
    for column in COLUMNS:
        if column in ("value", "low", "high"):
            np.testing.assert_allclose(again[column], frame()[column], rtol=1e-8)
        else:
            assert again[column].tolist() == frame()[column].tolist()
    assert again["n"].dtype == np.int64


def test_the_same_scores_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        write_scores(frame(), tmp_path / name)
    first = (tmp_path / "a.csv.gz").read_bytes()
    assert first == (tmp_path / "b.csv.gz").read_bytes()
    assert first[3:8] == bytes(5), "the header holds a name or a time"
    write_scores(read_scores(tmp_path / "a.csv.gz"), tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_only_the_columns_are_written_in_their_order(tmp_path: Path) -> None:
    shuffled = frame()[list(reversed(COLUMNS))].assign(more=1)
    write_scores(shuffled, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a,b\n1,2\n",
        f"{HEADER}\n{',' * 17}\n".encode(),
        f"{HEADER}\n{'a,' * 17}a\n".encode(),
        b"\xff\xfe\xff",
    ],
)
def test_what_is_no_table_of_scores_is_named_in_one_line(tmp_path: Path, data: bytes) -> None:
    for path, content in ((tmp_path / "s.csv", data), (tmp_path / "s.csv.gz", gzip.compress(data))):
        path.write_bytes(content)
        with pytest.raises(DamagedData, match="is not a table of scores") as caught:
            read_scores(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_table_cut_short_or_overwritten_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "s.csv.gz"
    write_scores(frame(), path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 4, 7):
        for content in (whole[:length], whole[:length] + b"\0" * (len(whole) - length)):
            path.write_bytes(content)
            with pytest.raises(DamagedData):
                read_scores(path)


def test_missing_scores_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="make them with: robustbench-msda score"):
        read_scores(tmp_path / "none.csv.gz")
