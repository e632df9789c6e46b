"""ImageNet-A, -R and ImageNetV2, masked and not; and other prepared sets of the same classes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from natural_layouts import biased_network, imagenet_of_thousand, one_each, predictions_of
from official_layouts import (
    benchmark_of,
    check_against,
    imagenet,
    model_of,
    own_dataset,
    run_folder,
    setting_of,
    smooth,
    stored,
    write_picture,
)
from PIL import Image
from torchvision import transforms

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Basis, benchmarks_of
from robustbench_msda.benchmarks.natural import NaturalShift
from robustbench_msda.cli.main import status
from robustbench_msda.data.check_layouts import PICTURES
from robustbench_msda.data.check_pictures import PictureLayout
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.data.known import DATASETS
from robustbench_msda.data.prepare import prepare
from robustbench_msda.data.wnids import IMAGENET
from robustbench_msda.errors import DamagedData
from robustbench_msda.evaluation import Place
from robustbench_msda.prediction import masked
from robustbench_msda.records import Cell
from robustbench_msda.results.scores import read_scores


def test_gold_of_masked_and_unmasked_scores(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/masked200_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/masked200_expected.json").read_text())["imagenet_a_style"]
    columns = inputs["imagenet_a_indices_in_1k"].astype(np.int64)
    benchmark = benchmarks_of("imagenet")["imagenet_a"]
    assert isinstance(benchmark, NaturalShift)
    assert benchmark.columns(IMAGENET).tolist() == columns.tolist()
    answers = predictions_of(inputs["logits"], columns[inputs["labels_0_199"]])
    cell = Cell("f", "imagenet_a", "unmasked")
    rows = {
        (each.condition, each.metric): each
        for each in benchmark.score({cell: answers}, IMAGENET, Basis())
        if each.subset == "all"
    }
    assert 1 - rows["masked", "error"].value == pytest.approx(gold["masked_accuracy"], abs=1e-9)
    assert 1 - rows["unmasked", "error"].value == pytest.approx(
        gold["unmasked_1000way_accuracy_for_contrast"], abs=1e-9
    )
    assert rows["masked", "rms_calibration_published"].value == pytest.approx(gold["rms_calib_err"], abs=1e-6)
    assert rows["masked", "aurra"].value == pytest.approx(gold["aurra"], abs=1e-6)
    assert rows["masked", "error"].n == gold["n"]


def test_a_mask_is_minus_infinity_before_everything() -> None:
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(0, 2, (40, 12)), 1)  # many ties
    classes, labels = np.array([1, 2, 5, 7, 8, 11]), rng.choice([1, 2, 5, 7, 8, 11, -1], 40)
    found = masked(predictions_of(logits, labels), classes)
    for i, row in enumerate(np.where(np.isin(np.arange(12), classes), logits.astype(np.float32), -np.inf)):
        order = sorted(range(12), key=lambda k: (-row[k], k))
        assert found.top5[i].tolist() == order[:5]
        shares = np.exp(row.astype(np.float64))
        shares /= shares.sum()
        assert found.confidence[i] == pytest.approx(shares.max(), rel=1e-5)
        assert found.sum_p2[i] == pytest.approx((shares**2).sum(), rel=1e-5)
        if labels[i] >= 0:
            assert found.label_probability[i] == pytest.approx(shares[labels[i]], rel=1e-5)
    assert np.isnan(found.label_logit[labels < 0]).all()
    assert found.label.tolist() == labels.tolist()
    three = masked(predictions_of(logits, np.full(40, -1)), np.array([0, 3, 4]))
    assert (three.top5[:, 3:] == -1).all()
    assert set(three.top5[:, :3].ravel().tolist()) == {0, 3, 4}


def test_a_mask_refuses_what_it_cannot_mask() -> None:
    answers = predictions_of(np.zeros((2, 6)), np.array([1, 4]))
    with pytest.raises(ValueError, match="labels among the classes"):
        masked(answers, np.array([1, 2]))
    with pytest.raises(ValueError, match="ascending"):
        masked(answers, np.array([4, 1]))
    with pytest.raises(ValueError, match="keeps_logits"):
        masked(replace(answers, logits=None), np.array([1, 4]))


@pytest.mark.slow
def test_the_three_end_to_end_with_a_real_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that leans to a class outside the 200 is always wrong unmasked, and right masked where it can be."""
    data_dir, limit = tmp_path / "data", 6
    dataset = imagenet_of_thousand(data_dir, monkeypatch)
    first = one_each(data_dir, monkeypatch, "imagenet_a", "imagenet-a")
    one_each(data_dir, monkeypatch, "imagenet_r")
    one_each(data_dir, monkeypatch, "imagenet_v2", "imagenetv2-matched-frequency-format-val")
    shown = [first.wnids[k * 200 // limit] for k in range(limit)]
    outside = next(k for k in range(999, 0, -1) if IMAGENET[k] not in {*first.wnids, *PICTURES["imagenet_r"].wnids})
    run = biased_network(tmp_path / "run", dataset, {outside: 2000.0, IMAGENET.index(shown[2]): 1000.0})
    names = "clean,imagenet-a,imagenet-r,imagenet-v2"
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert status(["evaluate", str(run), "--benchmarks", names, "--limit", str(limit), *places]) == 0
    assert "imagenet_a 0/1, imagenet_r 0/1, imagenet_v2 0/1" in capsys.readouterr().err
    frame = verbs.score(place=Place(data_dir, tmp_path / "results"))
    errors = frame[frame["metric"] == "error"].set_index(["benchmark", "condition"])
    assert errors["value"]["imagenet_a", "unmasked"] == 1
    assert errors["value"]["imagenet_a", "masked"] == pytest.approx(5 / 6)
    assert errors["value"]["imagenet_r", "unmasked"] == 1
    assert errors["value"]["imagenet_v2", "matched_frequency"] == 1
    assert ("imagenet_v2", "masked") not in errors.index
    assert (errors["n"] == limit).all()
    found = stored(tmp_path / "results", "imagenet_a", "unmasked")
    assert [IMAGENET[k] for k in found.label] == shown
    assert found.logits is not None
    assert found.logits.shape == (limit, 1000)
    classes = frame[(frame["benchmark"] == "imagenet_a") & (frame["metric"] == "correct_count") & (frame["value"] == 1)]
    assert set(zip(classes["condition"], classes["subset"], strict=True)) == {("masked", shown[2])}
    assert stored(tmp_path / "results", "imagenet_v2", "matched_frequency").label.tolist() == [
        0,
        166,
        333,
        500,
        666,
        833,
    ]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def dataset(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """An ImageNet of three classes, of which ImageNet-A has the last two: three pictures of one, one of the other."""
    small = imagenet(data_dir, monkeypatch)
    monkeypatch.setitem(PICTURES, "imagenet_a", PictureLayout("imagenet_a", "imagenet-a", small.classes[1:], 4))
    for seed, (wnid, file) in enumerate([(1, "b.jpg"), (1, "a.png"), (1, "c.jpg"), (2, "d.jpeg")]):
        path = data_dir / "imagenet_a" / small.classes[wnid] / file
        write_picture(path.with_suffix(".tmp"), smooth(seed, 50 + 9 * seed, 70 - 8 * seed))
        path.with_suffix(".tmp").rename(path)
    return small


def test_pictures_are_resized_cut_and_labelled_as_a_loop_over_the_files_says(
    dataset: Dataset, data_dir: Path, tmp_path: Path
) -> None:
    assert dataset.view is not None
    view = transforms.Compose([transforms.Resize(dataset.view.short), transforms.CenterCrop(dataset.side)])
    paths = sorted((data_dir / "imagenet_a").glob("*/*"))
    images = [np.asarray(view(Image.open(path).convert("RGB"))) for path in paths]
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", batch_size=3)
    verbs.evaluate(run, {"imagenet_a": 0}, place=place)
    found = stored(place.results, "imagenet_a", "unmasked")
    check_against(model_of(run, data_dir), images, [1, 1, 1, 2], found)
    scores = verbs.score(place=place)
    unmasked, right = (found.top5[:, 0], found.label)
    assert found.logits is not None
    error = scores[(scores["metric"] == "error") & (scores["benchmark"] == "imagenet_a")].set_index("condition")[
        "value"
    ]
    assert error["unmasked"] == pytest.approx((unmasked != right).mean())
    assert error["masked"] == pytest.approx((1 + found.logits[:, 1:].argmax(axis=1) != right).mean())


def opened(dataset: Dataset, data_dir: Path, partial: bool = False) -> list[int]:
    setting = setting_of(dataset, data_dir, partial=partial)
    cell = Cell("", "imagenet_a", "unmasked")
    found = benchmark_of(dataset, "imagenet_a").stimuli(cell, setting, torch.nn.Identity())
    return torch.cat([batch.targets for batch in found]).tolist()


def refusal(dataset: Dataset, data_dir: Path, partial: bool = False) -> str:
    with pytest.raises(DamagedData) as caught:
        opened(dataset, data_dir, partial)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_lacks_is_counted_and_may_be_done_without(dataset: Dataset, data_dir: Path) -> None:
    folder = data_dir / "imagenet_a"
    (folder / "README.txt").write_text("x")
    benchmark = benchmark_of(dataset, "imagenet_a")
    whole = benchmark.data(setting_of(dataset, data_dir))
    (folder / dataset.classes[1] / "b.jpg").unlink()
    assert benchmark.data(setting_of(dataset, data_dir)) != whole
    told = refusal(dataset, data_dir)
    assert told.startswith(f"{folder}: expected 4 files in 2 class folders, found 3")
    assert "--allow-partial" in told
    assert opened(dataset, data_dir, partial=True) == [1, 1, 2]
    cell = Cell("", "imagenet_a", "unmasked")
    assert benchmark.images(cell, setting_of(dataset, data_dir, partial=True)) == 3
    shutil.rmtree(folder / dataset.classes[1])
    shutil.rmtree(folder / dataset.classes[2])
    (folder / dataset.classes[2]).mkdir()
    assert "expected 1 to 4 files, found 0" in refusal(dataset, data_dir, partial=True)


def test_a_surplus_a_stranger_and_a_damaged_picture_are_named(dataset: Dataset, data_dir: Path) -> None:
    folder = data_dir / "imagenet_a"
    last = folder / dataset.classes[2] / "d.jpeg"
    shutil.copy(last, last.with_name("e.jpeg"))
    assert "found 5" in refusal(dataset, data_dir, partial=True)
    last.with_name("e.jpeg").unlink()
    (folder / dataset.classes[0]).mkdir()
    for partial in (False, True):
        assert f"class folder {dataset.classes[0]!r} is none of the 2 classes" in refusal(dataset, data_dir, partial)
    (folder / dataset.classes[0]).rmdir()
    last.write_bytes(last.read_bytes()[:-300])
    assert refusal(dataset, data_dir).startswith(f"{last}: expected a picture (")


def test_without_files_it_is_skipped_with_the_command_that_gets_them(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = imagenet(data_dir, monkeypatch)
    run = run_folder(tmp_path / "run", dataset)
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert status(["evaluate", str(run), "--dry-run", *places]) == 0
    told = capsys.readouterr().err
    for name, official in [("imagenet_a", "imagenet-a"), ("imagenet_o", "imagenet-o"), ("imagenet_r", "imagenet-r")]:
        assert (
            f"skipped {name}: its files are not there: looked for {data_dir / name} and {data_dir / official}" in told
        )
        assert f"run: robustbench-msda data fetch {name}" in told
    assert "skipped ood: no folder of pictures in" in told
    assert "skipped shift: no other set with the classes of imagenet at 32 px" in told


def test_networks_of_other_classes_have_none_of_these() -> None:
    assert not {"imagenet_a", "imagenet_o"} & set(benchmarks_of("imagenet100"))
    assert not {"imagenet_a", "cifar10h"} & set(benchmarks_of("cifar100"))
    assert {"imagenet_a", "imagenet_r", "imagenet_v2", "imagenet_o"} <= set(benchmarks_of("imagenet_64"))
    assert "cifar10h" in benchmarks_of("cifar10_40k")


def test_other_prepared_sets_of_the_same_classes_are_shown_where_asked(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = own_dataset(data_dir)
    for path in (data_dir / ".mine").rglob("*.png"):
        target = data_dir / ".copies/test" / path.parent.name / path.with_suffix(".jpg").name
        write_picture(target, Image.open(path))
    prepare("copies", data_dir / ".copies", data_dir)
    own_dataset(data_dir, "larger", side=40)
    run, place = run_folder(tmp_path / "run", dataset), Place(data_dir, tmp_path / "results")
    places = ["--data-dir", str(data_dir), "--results", str(place.results), "--device", "cpu"]
    assert status(["evaluate", str(run), "--dry-run", *places]) == 0
    assert "skipped shift: it would show copies; name shift in --benchmarks" in capsys.readouterr().err
    assert status(["evaluate", str(run), "--benchmarks", "shift", *places]) == 0
    (path,) = place.results.glob("predictions/*/shift@*/*.npz")
    condition = path.name.split("~")[0]
    assert condition.startswith("copies=")
    assert f"shift {condition}" in " ".join(capsys.readouterr().out.split())
    images = [np.asarray(Image.open(each)) for each in sorted((data_dir / ".copies/test").glob("*/*"))]
    found = stored(place.results, "shift", condition)
    check_against(model_of(run, data_dir), images, [0, 0, 0, 1, 1, 1, 2, 2, 2], found)
    frame = verbs.score(place=place)
    error = frame[(frame["metric"] == "error") & (frame["benchmark"] == "shift")]
    assert error["value"].item() == pytest.approx((found.top5[:, 0] != found.label).mean())
    assert error["condition"].item() == condition
    shutil.rmtree(data_dir / "copies")
    write_picture(data_dir / ".copies/test" / dataset.classes[0] / "0.jpg", smooth(9, 32, 32))
    prepare("copies", data_dir / ".copies", data_dir)
    again = verbs.plan(run, {"shift": 0}, place=place).cells
    assert [task.done for task in again.tasks] == [False]


def test_images_that_another_set_trains_on_are_no_shift(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = own_dataset(data_dir)
    own_dataset(data_dir, "cousin")
    setting = setting_of(dataset, data_dir)
    assert [cell.condition.split("=")[0] for cell in benchmarks_of("mine")["shift"].cells("", setting)] == ["cousin"]
    spec = replace(DATASETS["cifar10_40k"], name="cousin", classes=dataset.classes, train=0, test=9)
    monkeypatch.setitem(DATASETS, "cousin", spec)
    assert benchmarks_of("mine")["shift"].needs(setting) is not None


def test_scores_can_be_read_back(dataset: Dataset, data_dir: Path, tmp_path: Path) -> None:
    place = Place(data_dir, tmp_path / "results")
    verbs.evaluate(run_folder(tmp_path / "run", dataset), {"imagenet_a": 0}, place=place)
    frame = verbs.score(place=place, name="natural")
    again = read_scores(place.results / "scores/natural.csv.gz")
    assert again["condition"].tolist() == frame["condition"].tolist()
