"""ImageNet-O against the validation images of its 200 classes, and any folder of pictures against the test images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
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
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score
from torchvision import transforms

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Basis, benchmarks_of
from robustbench_msda.benchmarks.detection import ImageNetO, StrangeImages, detection_scores
from robustbench_msda.cli.main import status
from robustbench_msda.data.check_layouts import PICTURES
from robustbench_msda.data.check_pictures import PictureLayout
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.data.related import Grey
from robustbench_msda.data.wnids import IMAGENET
from robustbench_msda.evaluation import Place
from robustbench_msda.metrics.detection import fpr_at_recall
from robustbench_msda.records import Cell, Score

CELL = Cell("f", "imagenet_o", "unmasked")


def values_of(scores: list[Score]) -> dict[tuple[str, str], float]:
    return {(each.condition, each.metric): each.value for each in scores}


def test_gold_of_imagenet_o(reference: Path) -> None:
    inputs = np.load(reference / "data/gold/metrics/masked200_inputs.npz")
    gold = json.loads((reference / "data/gold/metrics/masked200_expected.json").read_text())["imagenet_o_style_msp"]
    benchmark = benchmarks_of("imagenet")["imagenet_o"]
    assert isinstance(benchmark, ImageNetO)
    columns = benchmark.columns(IMAGENET)
    assert columns.tolist() == inputs["imagenet_o_indices_in_1k"].tolist()
    strange = predictions_of(inputs["o_logits_out"], np.full(300, -1))
    # Clean images of other classes lie between: they are none of the known ones.
    others = [k for k in range(1000) if k not in set(columns.tolist())][:100]
    known = np.concatenate([inputs["o_logits_in"], np.full((100, 1000), 7.0, np.float16)])
    labels = np.concatenate([columns[np.arange(400) % 200], others])
    order = np.random.default_rng(0).permutation(500)
    clean = predictions_of(known[order], labels[order])
    found = list(benchmark.score({CELL: strange}, IMAGENET, Basis(clean=clean)))
    values = values_of(found)
    assert values["masked", "auroc"] == pytest.approx(gold["auroc"], abs=1e-6)
    assert values["masked", "aupr"] == pytest.approx(gold["aupr_out_is_positive"], abs=1e-6)
    assert values["masked", "fpr95"] == pytest.approx(gold["fpr95"], abs=1e-6)
    assert values["masked", "aupr_chance"] == pytest.approx(300 / 700)
    assert {each.n for each in found if each.metric == "aupr"} == {700}
    out, inside = (-softmax(inputs[f"o_logits_{side}"].astype(float), axis=1).max(axis=1) for side in ("out", "in"))
    truth, scores = np.repeat([1, 0], [300, 400]), np.concatenate([out, inside])
    assert values["unmasked", "aupr"] == pytest.approx(average_precision_score(truth, scores), abs=1e-6)
    assert values["unmasked", "auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)


def test_without_clean_answers_it_says_so() -> None:
    strange = predictions_of(np.random.default_rng(0).normal(size=(5, 10)), np.full(5, -1))
    known = predictions_of(np.zeros((0, 10)), np.zeros(0))
    for side in (None, known):
        (only,) = detection_scores(CELL, strange, side)
        assert (only.metric, only.n) == ("confidence", 5)
        assert only.value == pytest.approx(strange.confidence.mean())
        assert "clean was not evaluated at the same limit" in only.flags


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def score_table(place: Place) -> pd.DataFrame:
    frame = verbs.score(place=place)
    chosen = frame[frame["metric"].isin(["aupr", "auroc", "fpr95", "aupr_chance"])]
    return chosen.set_index(["benchmark", "condition", "metric"])


@pytest.mark.slow
def test_imagenet_o_end_to_end_with_a_real_network(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class outside the 200 makes all answers sure where it is not masked, and detection chance."""
    dataset = imagenet_of_thousand(data_dir, monkeypatch)
    layout = one_each(data_dir, monkeypatch, "imagenet_o", "imagenet-o")
    outside = next(k for k in range(1000) if IMAGENET[k] not in layout.wnids)
    run = biased_network(tmp_path / "run", dataset, {outside: 2000.0})
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert status(["evaluate", str(run), "--benchmarks", "clean,imagenet-o", "--limit", "30", *places]) == 0
    assert "imagenet_o" in capsys.readouterr().err
    place = Place(data_dir, tmp_path / "results")
    values = score_table(place)["value"]
    strange, clean = stored(place.results, "imagenet_o", "unmasked"), stored(place.results, "clean", "")
    assert strange.logits is not None
    assert clean.logits is not None
    assert (strange.label == -1).all()
    columns = [IMAGENET.index(wnid) for wnid in layout.wnids]
    known = clean.logits[np.isin(clean.label, columns)]
    assert 0 < len(known) < 30
    out, inside = (-softmax(each[:, columns].astype(float), axis=1).max(axis=1) for each in (strange.logits, known))
    truth = np.repeat([1, 0], [30, len(known)])
    expected = average_precision_score(truth, np.concatenate([out, inside]))
    assert values["imagenet_o", "masked", "aupr"] == pytest.approx(expected, abs=1e-6)
    assert values["imagenet_o", "unmasked", "auroc"] == pytest.approx(0.5)
    assert values["imagenet_o", "unmasked", "aupr"] == pytest.approx(30 / (30 + len(known)))


def test_imagenet_o_takes_the_validation_images_of_its_classes(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = imagenet(data_dir, monkeypatch)
    monkeypatch.setitem(PICTURES, "imagenet_o", PictureLayout("imagenet_o", "imagenet-o", dataset.classes[1:], 2))
    for k in (1, 2):
        write_picture(data_dir / "imagenet_o" / dataset.classes[k] / "x.jpg", smooth(70 + k, 44, 66))
    run, place = run_folder(tmp_path / "run", dataset), Place(data_dir, tmp_path / "results")
    verbs.evaluate(run, {"imagenet_o": 0, "clean": 0}, place=place)
    table = score_table(place)
    clean, strange = stored(place.results, "clean", ""), stored(place.results, "imagenet_o", "unmasked")
    inside = -clean.confidence[clean.label > 0]
    scores = np.concatenate([-strange.confidence, inside])
    truth = np.repeat([1, 0], [2, 4])
    assert table["value"]["imagenet_o", "unmasked", "auroc"] == pytest.approx(roc_auc_score(truth, scores))
    assert table["n"]["imagenet_o", "unmasked", "auroc"] == 6
    limited = Place(data_dir, tmp_path / "limited")
    verbs.evaluate(run, {"imagenet_o": 1, "clean": 0}, place=limited)
    frame = verbs.score(place=limited)
    assert "aupr" not in set(frame["metric"])
    assert frame[frame["benchmark"] == "imagenet_o"]["flags"].str.contains("same limit").all()


def strange_folders(data_dir: Path) -> None:
    for seed, name in enumerate(["textures/b/one.jpg", "textures/a two.png", "textures/three.JPEG", "noise/x.png"]):
        path = data_dir / "ood" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth(seed, 40 + 11 * seed, 70 - 7 * seed).save(path)
    (data_dir / "ood/textures/notes.txt").write_text("x")
    (data_dir / "ood/textures/.hidden.png").write_text("x")
    (data_dir / "ood/empty").mkdir()


def test_any_folder_is_told_from_the_test_images(data_dir: Path, tmp_path: Path) -> None:
    dataset = own_dataset(data_dir)
    strange_folders(data_dir)
    run, place = run_folder(tmp_path / "run", dataset), Place(data_dir, tmp_path / "results", batch_size=2)
    planned = verbs.evaluate(run, {"ood": 0, "clean": 0}, place=place)
    assert planned.cells.lacking == {"ood": ["empty"]}
    conditions = [task.cell.condition for task in planned.cells.tasks if task.cell.benchmark == "ood"]
    assert [condition.split("=")[0] for condition in conditions] == ["noise", "textures"]
    view = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32)])
    paths = [data_dir / "ood/textures" / name for name in ("a two.png", "b/one.jpg", "three.JPEG")]
    images = [np.asarray(view(Image.open(path).convert("RGB"))) for path in paths]
    found = stored(place.results, "ood", conditions[1])
    assert found.label.tolist() == [-1] * 3
    labels = found.top5[:, 0].tolist()
    logit = found.top5_logit[:, 0]
    check_against(model_of(run, data_dir), images, labels, replace(found, label=found.top5[:, 0], label_logit=logit))
    clean, table = stored(place.results, "clean", ""), score_table(place)
    for condition in conditions:
        strange = stored(place.results, "ood", condition)
        scores = -np.concatenate([strange.confidence, clean.confidence])
        truth = np.repeat([1, 0], [len(strange), len(clean)])
        here = table["value"]["ood", condition]
        assert here["aupr"] == pytest.approx(average_precision_score(truth, scores))
        assert here["auroc"] == pytest.approx(roc_auc_score(truth, scores))
        assert here["fpr95"] == pytest.approx(fpr_at_recall(-strange.confidence, -clean.confidence))
        assert here["aupr_chance"] == pytest.approx(len(strange) / len(truth))


def test_a_folder_with_other_pictures_is_another_condition(data_dir: Path, tmp_path: Path) -> None:
    dataset = own_dataset(data_dir)
    strange_folders(data_dir)
    setting, benchmark = setting_of(dataset, data_dir), benchmarks_of("mine")["ood"]
    before = [cell.condition for cell in benchmark.cells("", setting)]
    again = tmp_path / "again"
    own = own_dataset(again)
    strange_folders(again)
    smooth(77, 50, 50).save(again / "ood/noise/y.png")
    after = [cell.condition for cell in benchmark.cells("", setting_of(own, again))]
    assert before[1] == after[1]
    assert before[0] != after[0]
    # A folder that comes later leaves what was done in its world.
    assert benchmark.data(setting) == benchmark.data(setting_of(own, again))


def test_a_limit_takes_a_share_of_every_folder(data_dir: Path) -> None:
    dataset = own_dataset(data_dir)
    strange_folders(data_dir)
    setting = setting_of(dataset, data_dir, limit=2)
    benchmark = benchmark_of(dataset, "ood")
    cells = list(benchmark.cells("", setting))
    assert [benchmark.images(cell, setting) for cell in cells] == [1, 2]
    batches = list(benchmark.stimuli(cells[1], setting, torch.nn.Identity()))
    assert torch.cat([batch.index for batch in batches]).tolist() == [0, 1]


def test_a_picture_that_cannot_be_decoded_fails_its_own_folder(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "run", own_dataset(data_dir))
    strange_folders(data_dir)
    (data_dir / "ood/noise/x.png").write_bytes(b"no picture")
    places = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert status(["evaluate", str(run), "--benchmarks", "ood", *places]) == 3
    assert "no detection scores" in capsys.readouterr().out
    assert status(["evaluate", str(run), "--benchmarks", "clean,ood", *places]) == 3
    assert f"{data_dir / 'ood/noise/x.png'}: expected a picture (not recognised)" in capsys.readouterr().err


def test_grey_networks_see_grey_pictures() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    grey = Grey(pixels)
    assert grey.shape == (3, 8, 8, 1)
    assert len(grey) == 3
    for image, found in zip(pixels, grey[:], strict=True):
        assert (found[..., 0] == np.asarray(Image.fromarray(image).convert("L"))).all()


def test_a_grey_data_set_has_strange_pictures_too(data_dir: Path) -> None:
    rng = np.random.default_rng(0)
    source = data_dir / "source"
    (source / "test").mkdir(parents=True)
    np.save(source / "test/images.npy", rng.integers(0, 256, (4, 28, 28), dtype=np.uint8))
    np.save(source / "test/labels.npy", np.array([0, 1, 0, 1]))
    (source / "classes.txt").write_text("a\nb\n")
    from robustbench_msda.data.prepare import prepare

    dataset: Dataset = prepare("grey", source, data_dir)
    strange_folders(data_dir)
    setting = setting_of(dataset, data_dir)
    for cell in StrangeImages().cells("", setting):
        for batch in StrangeImages().stimuli(cell, setting, torch.nn.Identity()):
            assert batch.images.shape[1:] == (1, 28, 28)
