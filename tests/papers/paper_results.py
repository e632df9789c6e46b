"""A results folder such as a user has: scores of a few networks of a paper's grid, made from a seeded generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robustbench_msda.records import COLUMNS, digest
from robustbench_msda.results.scores import write_scores

IMAGES, CLASSES = 100, tuple(f"class {k}" for k in range(8))


def network(dataset: str, model: str, augmentation: str, seed: int, recipe: str = "") -> dict[str, object]:
    who = [dataset, model, augmentation, recipe]
    return {
        "fingerprint": digest([*who, seed])[:12],
        "group": digest(who)[:12],
        "seed": str(seed),
        "dataset": dataset,
        "model": model,
        "augmentation": augmentation,
    }


def clean_rows(who: Mapping[str, object], rng: np.random.Generator, drop: float = 0.0) -> list[dict[str, object]]:
    """Error, correct answers and confidences of every class on the clean images."""
    correct = rng.integers(60, 90, len(CLASSES)) - np.arange(len(CLASSES)) * round(10 * drop)
    at = {**who, "benchmark": "clean", "world": "c1ea0000"}
    total = IMAGES * len(CLASSES)
    rows = [{**at, "subset": "all", "metric": "error", "value": 1 - correct.sum() / total, "n": total}]
    rows += [{**at, "subset": "all", "metric": "top5_error", "value": 0.02, "n": total}]
    for name, count in zip(CLASSES, correct, strict=True):
        rows.append({**at, "subset": name, "metric": "correct_count", "value": float(count), "n": IMAGES})
        rows.append(
            {**at, "subset": name, "metric": "class_top_confidence", "value": float(rng.uniform()), "n": IMAGES}
        )
    return rows


def value_row(
    who: Mapping[str, object], benchmark: str, metric: str, value: float, **more: object
) -> dict[str, object]:
    """One score over all classes."""
    return {
        **who,
        "benchmark": benchmark,
        "world": "0a0a0a0a",
        "subset": "all",
        "metric": metric,
        "value": value,
        "n": 15,
    } | more


def frame_of(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    text = [name for name in COLUMNS if name not in ("value", "n", "low", "high")]
    frame[text] = frame[text].astype(object).where(frame[text].notna(), "").astype(str)
    return frame.astype({"value": float, "n": int, "low": float, "high": float})


def write_study(folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    frame = frame_of(rows)
    write_scores(frame, folder / "scores" / f"{name}.csv.gz")
    return frame
