"""Images that flipped: joined on the index, from stored predictions and the data set they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_reading import read
from PIL import Image

from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import MissingData, UserError
from robustbench_msda.page import Study, build_pages
from robustbench_msda.page.flipped import Flips, find_flips
from robustbench_msda.page.summary import summarise
from robustbench_msda.records import COLUMNS, Cell, Predictions, World
from robustbench_msda.results.aggregates import tidy
from robustbench_msda.results.store import Results, Sidecar

# Each method answers the first digits of the test set so; everything else is right.
METHODS = {"vanilla": ({0: 5}, {1: 5}), "cutmix": ({2: 7, 3: 7}, {2: 7}), "mixup": ({}, {0: 5, 1: 5})}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_dataset("digits", Path("nowhere"))


def answers_of(digits: Dataset, wrong: dict[int, int]) -> Predictions:
    labels = digits.labels("test").astype(np.int16)
    n = len(labels)
    # In another order than the data set's: only the index says which image is meant.
    order = np.arange(n)[::-1]
    given = labels.copy()
    for index, answer in wrong.items():
        assert labels[index] != answer
        given[index] = answer
    top5 = np.repeat(given[order, None], 5, axis=1)
    zeros = np.zeros(n, np.float32)
    frame = np.zeros(n, np.int16)
    return Predictions(
        order.astype(np.int32), frame, labels[order], top5, np.zeros((n, 5), np.float32), zeros, zeros, zeros
    )


def stored(results: Results, digits: Dataset, data: str) -> pd.DataFrame:
    """Keep the predictions of ``METHODS`` and return score rows that name their networks."""
    world, rows = World(data, 1), []
    for method, seeds in METHODS.items():
        for seed, wrong in enumerate(seeds):
            fingerprint = f"{method}{seed}".ljust(12, "0")
            predictions = answers_of(digits, wrong)
            cell = Cell(fingerprint, "clean")
            sidecar = Sidecar(
                cell=cell, world=vars(world), n=len(predictions), parts=1, seconds=1.0, batch_size=1, device="cpu",
                threads=1, host="h", created="now", versions={},
            )  # fmt: skip
            results.write(world, predictions, sidecar)
            who = {"fingerprint": fingerprint, "group": method, "seed": str(seed), "augmentation": method}
            row = dict.fromkeys(COLUMNS, "") | who | {"dataset": "digits", "model": "m", "benchmark": "clean"}
            row |= {"world": world.id, "n": len(predictions), "low": np.nan, "high": np.nan, "value": 0.5}
            rows += [row | {"subset": "all", "metric": "error"}]
            rows += [row | {"subset": name, "metric": "recall"} for name in digits.classes]
    return pd.DataFrame(rows)


def flips_of(scores: pd.DataFrame, results: Results) -> Flips:
    worlds = {"digits": scores["world"].iloc[0]}
    return find_flips(summarise(tidy(scores), pd.DataFrame()), worlds, results, Path("nowhere"))


def shown(flips: Flips, method: str, side: str) -> set[tuple[int, str, str]]:
    found: Sequence[object] = [
        p for (_, who), each in flips.found.items() if who[2] == method for p in getattr(each, side)
    ]
    return {(p.index, p.before, p.after) for p in found}  # type: ignore[attr-defined]


def test_an_image_is_lost_where_most_networks_of_one_side_alone_are_right(tmp_path: Path, digits: Dataset) -> None:
    results = Results(tmp_path)
    flips = flips_of(stored(results, digits, digits.fingerprint("test")), results)
    label = digits.classes[digits.labels("test")[2]]
    # Of image 3 one of two networks is wrong: no majority. Image 0 and 1: one of vanilla's is wrong.
    assert shown(flips, "cutmix", "lost") == {(2, f"{label} ×2", "7 ×2")}
    assert shown(flips, "cutmix", "won") == set()
    assert shown(flips, "mixup", "lost") == set()
    assert not any(who[2] == "vanilla" for _, who in flips.found)


def test_the_pictures_are_those_of_the_data_set(tmp_path: Path, digits: Dataset) -> None:
    results = Results(tmp_path / "results")
    scores = stored(results, digits, digits.fingerprint("test"))
    out = tmp_path / "report"
    study = Study("s", "T", scores, pd.DataFrame(), flips=flips_of(scores, results))
    build_pages(study, out, [], [])
    (path,) = (out / "images").glob("*.png")
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    expected = np.asarray(digits.images("test")[2:3])[0]
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))
    pages = {name for name in (out / "classes").glob("*.html") if path.name in name.read_text(encoding="utf-8")}
    assert [page.name for page in pages] == [f"digits.{digits.classes[digits.labels('test')[2]]}.html"]
    assert "Lost: 1" in read(pages.pop()).text
    # Without a data folder the next report shows none, and leaves none behind.
    build_pages(Study("s", "T", scores, pd.DataFrame()), out, [], [])
    assert list((out / "images").glob("*.png")) == []


def test_other_test_images_than_were_evaluated_are_refused(tmp_path: Path, digits: Dataset) -> None:
    results = Results(tmp_path)
    scores = stored(results, digits, "0" * 64)
    with pytest.raises(UserError, match=r"--data-dir: the test images of digits are not those that \w+ was evaluated"):
        flips_of(scores, results)


def test_missing_predictions_are_named(tmp_path: Path, digits: Dataset) -> None:
    scores = stored(Results(tmp_path / "there"), digits, digits.fingerprint("test"))
    with pytest.raises(MissingData, match="no predictions of .* evaluate it again, or leave --data-dir out"):
        flips_of(scores, Results(tmp_path / "elsewhere"))
