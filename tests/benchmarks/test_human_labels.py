"""CIFAR-10H: the images it belongs to, and divergences from stored logits and answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from official_layouts import model_of, run_folder, setting_of, stored
from scipy.special import softmax
from scipy.stats import entropy

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Missing, benchmarks_of
from robustbench_msda.benchmarks.human_labels import normal_interval
from robustbench_msda.cli.main import status
from robustbench_msda.data.check_layouts import LAYOUTS
from robustbench_msda.data.classes import CIFAR10
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.data.human_labels import COUNTS, PROBS
from robustbench_msda.data.known import DATASETS
from robustbench_msda.data.prepare import prepare
from robustbench_msda.evaluation import Place

IMAGES = 40
LABELS = np.random.default_rng(4).permutation(np.arange(IMAGES) % 10)


def answers_to(labels: np.ndarray) -> np.ndarray:
    """Return the answers of 47 to 63 people, most of them right; to one image most are not."""
    rng = np.random.default_rng(1)
    counts = np.zeros((len(labels), 10), np.int64)
    for row, label in zip(counts, labels, strict=True):
        row[label] = rng.integers(40, 55)
        row[rng.integers(10)] += rng.integers(7, 9)
    counts[5] = np.roll(counts[5], 1)
    return counts


def prepared(data_dir: Path, name: str, labels: np.ndarray, seed: int = 0) -> Dataset:
    source = data_dir / f".{name}"
    for split in ("train", "test") if name in DATASETS else ("test",):
        (source / split).mkdir(parents=True)
        images = np.random.default_rng(seed).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
        np.save(source / split / "images.npy", images)
        np.save(source / split / "labels.npy", labels)
    (source / "classes.txt").write_text("\n".join(CIFAR10))
    return prepare(name, source, data_dir)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with CIFAR-10 made small, and people's answers to its test images."""
    for name in ("cifar10", "cifar10_40k"):
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], train=IMAGES, test=IMAGES, balanced=False))
    prepared(tmp_path / "data", "cifar10", LABELS)
    folder = tmp_path / "data/cifar10h"
    folder.mkdir()
    counts = answers_to(LABELS)
    np.save(folder / PROBS, counts / counts.sum(axis=1, keepdims=True))
    return tmp_path / "data"


def values_of(place: Place) -> dict[str, float]:
    frame = verbs.score(place=place)
    rows = frame[frame["benchmark"] == "cifar10h"]
    assert (rows["n"] == IMAGES).all()
    assert (rows["low"] < rows["value"]).all()
    assert (rows["value"] < rows["high"]).all()
    return dict(zip(rows["metric"], rows["value"], strict=True))


def missing(dataset: Dataset, data_dir: Path) -> Missing:
    found = benchmarks_of(dataset.name)["cifar10h"].needs(setting_of(dataset, data_dir))
    assert found is not None
    assert found.reason.isprintable()
    return found


def condition_of(place: Place) -> str:
    (path,) = place.results.glob("predictions/*/cifar10h@*/*.npz")
    return path.name.split("~")[0]


def test_divergences_equal_scipys_on_what_the_network_answers(data_dir: Path, tmp_path: Path) -> None:
    dataset = open_dataset("cifar10", data_dir)
    run, place = run_folder(tmp_path / "run", dataset), Place(data_dir, tmp_path / "results", batch_size=7)
    verbs.evaluate(run, {"cifar10h": 0}, place=place)
    found = stored(place.results, "cifar10h", condition_of(place))
    assert condition_of(place).startswith("cifar10=")
    assert found.label.tolist() == LABELS.tolist()
    assert found.targets is not None
    assert found.targets == pytest.approx(np.load(data_dir / "cifar10h" / PROBS), abs=1e-7)
    images = torch.from_numpy(np.array(dataset.images("test")[:])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        model = softmax(model_of(run, data_dir)(images).double().numpy(), axis=1)
    counts, values = answers_to(LABELS), values_of(place)
    assert values["kl_human_model"] == pytest.approx(entropy(counts, model, axis=1).mean(), rel=1e-4)
    extra = values["soft_cross_entropy"] - values["kl_human_model"]
    assert extra == pytest.approx(entropy(counts, axis=1).mean(), rel=1e-5)
    assert "kl_model_human_smoothed" not in values
    np.save(data_dir / "cifar10h" / COUNTS, counts)
    again = Place(data_dir, tmp_path / "again")
    verbs.evaluate(run, {"cifar10h": 0}, place=again)
    more = values_of(again)
    assert more["kl_human_model"] == pytest.approx(values["kl_human_model"], rel=1e-6)
    assert more["kl_model_human_smoothed"] == pytest.approx(entropy(model, counts + 1, axis=1).mean(), rel=1e-4)


def test_a_network_of_another_part_of_cifar10_is_shown_every_set_in_official_order(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = prepared(data_dir, "cifar10_40k", np.roll(LABELS, 3), seed=1)
    prepared(data_dir, "jpeg_copies", LABELS, seed=2)
    prepared(data_dir, "by_class", np.sort(LABELS), seed=2)
    prepared(data_dir, "few", LABELS[:30], seed=2)
    run, place = run_folder(tmp_path / "run", own), Place(data_dir, tmp_path / "results")
    places = ["--data-dir", str(data_dir), "--results", str(place.results), "--device", "cpu"]
    assert status(["evaluate", str(run), "--benchmarks", "cifar10h", *places]) == 0
    paths = sorted(place.results.glob("predictions/*/cifar10h@*/*.npz"))
    assert [path.name.split("=")[0] for path in paths] == ["cifar10", "jpeg_copies"]
    capsys.readouterr()
    shown = {
        cell.condition.split("=")[0] for cell in benchmarks_of(own.name)["shift"].cells("", setting_of(own, data_dir))
    }
    assert shown == {"cifar10", "jpeg_copies", "by_class", "few"}


def test_what_is_missing_is_said(data_dir: Path, tmp_path: Path) -> None:
    dataset = prepared(data_dir, "cifar10_40k", np.roll(LABELS, 3))
    probs = data_dir / "cifar10h" / PROBS
    answers = np.load(probs)
    np.save(probs, answers[::-1])
    told = missing(dataset, data_dir)
    assert "no prepared set has test images in the order of cifar10h-probs.npy: cifar10 agrees in" in told.reason
    np.save(probs, answers[:30])
    assert missing(dataset, data_dir).reason.endswith("none has as many")
    for bad, why in [
        (answers * 2, "shares that sum to 1"),
        (-answers, "at least 0"),
        (answers[0], "numbers (images, classes)"),
        (np.where(answers > 0.5, np.nan, answers), "at least 0"),
    ]:
        np.save(probs, bad)
        assert missing(dataset, data_dir).reason.startswith(f"{probs}: expected ")
        assert why in missing(dataset, data_dir).reason
    probs.write_bytes(b"x")
    assert missing(dataset, data_dir).reason.startswith(f"{probs}: expected a NumPy array file")
    probs.unlink()
    told = missing(dataset, data_dir)
    assert told.reason == f"its files are not there: looked in {data_dir / 'cifar10h'}"
    assert told.remedy == "run: robustbench-msda data fetch cifar10h"


def test_data_check_reads_the_answers(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "check", "cifar10h", "--data-dir", str(data_dir)]
    assert status(arguments) == 1
    assert f"expected shape (10000, 10), found ({IMAGES}, 10)" in capsys.readouterr().out
    monkeypatch.setitem(LAYOUTS, "cifar10h", replace(LAYOUTS["cifar10h"], images=IMAGES))
    assert status(arguments) == 0
    assert "found" in capsys.readouterr().out
    np.save(data_dir / "cifar10h" / COUNTS, np.full((IMAGES, 10), 0.5))
    assert status(arguments) == 1
    assert "expected whole numbers" in capsys.readouterr().out


def test_the_interval_of_a_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    low, high = normal_interval(values)
    assert (low + high) / 2 == pytest.approx(3)
    assert high - 3 == pytest.approx(1.959964 * values.std(ddof=1) / 2)
    assert normal_interval(np.array([0.0, 0.0, 9.0]))[0] == 0
    assert np.isnan(normal_interval(values[:1])).all()
