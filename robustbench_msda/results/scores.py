"""The tidy table of scores: read, written, and its columns."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pandas as pd

from robustbench_msda.errors import DamagedData, MissingData
from robustbench_msda.files import write_whole
from robustbench_msda.records import COLUMNS

NUMBERS = {"value": "float64", "n": "int64", "low": "float64", "high": "float64"}


def write_scores(frame: pd.DataFrame, path: Path) -> None:
    """Write ``frame``, whose columns are ``COLUMNS``, as gzipped CSV; the same frame gives the same bytes."""
    data = frame.to_csv(index=False, columns=list(COLUMNS), float_format="%.9g").encode()
    if path.suffix == ".gz":
        # Neither the time nor the temporary name belongs into the header: the file is committed.
        data = gzip.compress(data, mtime=0)
    write_whole(path, lambda temporary: temporary.write_bytes(data))


def read_scores(path: Path) -> pd.DataFrame:
    """Return the scores at ``path``; text columns hold '' where there is nothing.

    Raises:
        MissingData: there is no such file.
        DamagedData: it is not a table of scores.
    """
    text = {name: str for name in COLUMNS if name not in NUMBERS}
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={name: ["", "nan"] for name in NUMBERS})
        return frame[list(COLUMNS)].astype(NUMBERS)
    except FileNotFoundError:
        raise MissingData(f"no scores at {path}; make them with: robustbench-msda score") from None
    except (KeyError, ValueError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())[:100]
        raise DamagedData(
            f"{path} is not a table of scores ({reason}); make it again: robustbench-msda score"
        ) from None


def write_comparison(frame: pd.DataFrame, path: Path) -> None:
    """Write a comparison as CSV, whole."""
    write_whole(path, lambda temporary: frame.to_csv(temporary, index=False, float_format="%.9g"))
