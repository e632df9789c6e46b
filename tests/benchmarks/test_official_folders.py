"""ImageNet-C, Tiny-ImageNet-C and ImageNet-3DCC: a folder for each corruption, severity and class."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from official_layouts import (
    WNIDS,
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
from robustbench_msda.cli.main import status
from robustbench_msda.conditions import TWELVE
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.errors import DamagedData
from robustbench_msda.evaluation import Place
from robustbench_msda.records import Batch, Cell


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def dataset(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    return imagenet(data_dir, monkeypatch)


def write_cells(
    folder: Path, clean: Path, conditions: tuple[str, ...] = ("fog",), levels: str = "12345", side: int = 32
) -> Path:
    """Write a picture for every clean one, each of its own colours."""
    seed = 1000
    for condition in conditions:
        for level in levels:
            for path in sorted(clean.glob("*/*")):
                seed += 1
                write_picture(folder / condition / level / path.parent.name / path.name, smooth(seed, side, side))
    return folder


@pytest.fixture
def imagenet_c(dataset: Dataset, data_dir: Path) -> Path:
    return write_cells(data_dir / "imagenet_c", data_dir / "imagenet/val")


def fog(dataset: Dataset, data_dir: Path, level: str = "1", partial: bool = False, limit: int = 0) -> list[Batch]:
    setting = setting_of(dataset, data_dir, partial=partial, limit=limit)
    cell = Cell("", "imagenet_c", "fog", level)
    return list(benchmark_of(dataset, "imagenet_c").stimuli(cell, setting, torch.nn.Identity()))


def refusal(dataset: Dataset, data_dir: Path, partial: bool = False) -> str:
    with pytest.raises(DamagedData) as caught:
        fog(dataset, data_dir, partial=partial)
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(str(data_dir / "imagenet_c/fog/1"))
    return text


def as_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_predictions_equal_a_loop_over_the_files(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = imagenet(data_dir, monkeypatch, side=224)
    write_cells(data_dir / "ImageNet-C/weather", data_dir / "imagenet/val", levels="3", side=224)
    write_cells(data_dir / "ImageNet-C", data_dir / "imagenet/val", ("saturate",), "25", side=224)
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", batch_size=6)
    planned = verbs.evaluate(run, {"imagenet_c": 0, "imagenet_c_augmix": 0, "clean": 0}, place=place)
    lacking = planned.cells.lacking["imagenet_c"]
    assert {"saturate/1", "saturate/3", "saturate/4", "fog/1", "snow"} <= set(lacking)
    assert not {"fog", "fog/3", "saturate", "saturate/2"} & set(lacking)
    assert planned.cells.images == 6 * (3 + 3 + 1)
    model = model_of(run, data_dir)
    view = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    labels = [0, 0, 1, 1, 2, 2]
    for name, level, folder in [("fog", "3", "weather/fog"), ("saturate", "5", "saturate")]:
        paths = sorted((data_dir / "ImageNet-C" / folder / level).glob("*/*"))
        images = [as_pixels(path) for path in paths]
        check_against(model, images, labels, stored(place.results, "imagenet_c", name, level))
        resized = [np.asarray(view(Image.fromarray(image))) for image in images]
        check_against(model, resized, labels, stored(place.results, "imagenet_c_augmix", name, level))
    clean = [
        np.asarray(view(Image.open(path).convert("RGB"))) for path in sorted((data_dir / "imagenet/val").glob("*/*"))
    ]
    check_against(model, clean, labels, stored(place.results, "clean", ""))


def test_3dcc_has_twelve_corruptions_of_its_own(dataset: Dataset, data_dir: Path, tmp_path: Path) -> None:
    write_cells(data_dir / "ImageNet-3DCC", data_dir / "imagenet/val", TWELVE, "1")
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", allow_partial=True)
    planned = verbs.evaluate(run, {"imagenet_3dcc": 0}, place=place)
    assert [task.cell.condition for task in planned.cells.tasks] == list(TWELVE)
    frame = verbs.score(place=place)
    errors = [np.mean(~stored(place.results, "imagenet_3dcc", name, "1").correct) for name in TWELVE]
    mean = frame[frame["metric"] == "mean_corruption_error"]
    assert mean["value"].tolist() == pytest.approx([np.mean(errors)])
    assert mean["flags"].tolist() == ["partial: 12 of 12 corruptions, 12 of 60 cells"]


def test_a_data_set_of_ones_own_may_have_folders(data_dir: Path, tmp_path: Path) -> None:
    dataset = own_dataset(data_dir, side=20)
    for k, wnid in enumerate(WNIDS):
        for i in range(3):
            path = data_dir / "mine_c/fog/2" / wnid / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            smooth(10 * k + i, 20, 20).save(path)
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results")
    verbs.evaluate(run, {"mine_c": 0}, place=place)
    images = [as_pixels(path) for path in sorted((data_dir / "mine_c/fog/2").glob("*/*"))]
    found = stored(place.results, "mine_c", "fog", "2")
    check_against(model_of(run, data_dir), images, [0, 0, 0, 1, 1, 1, 2, 2, 2], found)


def test_missing_pictures_are_counted_and_may_be_done_without(
    dataset: Dataset, data_dir: Path, imagenet_c: Path, tmp_path: Path
) -> None:
    gone = sorted((imagenet_c / "fog/1").glob("*/*"))[3]
    gone.unlink()
    told = refusal(dataset, data_dir)
    assert f"1 of 6 files missing, first in class folder {gone.parent.name!r} (1 of 2)" in told
    assert "--allow-partial" in told
    shutil.rmtree(imagenet_c / "fog/1" / WNIDS[2])
    assert "3 of 6 files missing" in refusal(dataset, data_dir)
    found = fog(dataset, data_dir, partial=True)
    assert torch.cat([batch.targets for batch in found]).tolist() == [0, 0, 1]
    assert torch.cat([batch.targets for batch in fog(dataset, data_dir, "2")]).tolist() == [0, 0, 1, 1, 2, 2]
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", allow_partial=True, batch_size=2)
    planned = verbs.evaluate(run, {"imagenet_c": 0}, place=place)
    assert planned.cells.images == 3 + 4 * 6
    images = [as_pixels(path) for path in sorted((imagenet_c / "fog/1").glob("*/*"))]
    check_against(model_of(run, data_dir), images, [0, 0, 1], stored(place.results, "imagenet_c", "fog", "1"))


def test_partial_files_make_a_world_of_their_own(dataset: Dataset, data_dir: Path, imagenet_c: Path) -> None:
    benchmark = benchmark_of(dataset, "imagenet_c")
    full, partial = (setting_of(dataset, data_dir, partial=partial) for partial in (False, True))
    whole = benchmark.data(partial)
    assert benchmark.data(full) == dataset.fingerprint("test") != whole
    picture = sorted((imagenet_c / "fog/1").glob("*/*"))[0]
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert benchmark.data(partial) != whole
    picture.unlink()
    assert benchmark.data(partial) != whole
    assert benchmark.data(full) == dataset.fingerprint("test")


def test_where_the_files_lie_makes_no_world(dataset: Dataset, data_dir: Path, imagenet_c: Path) -> None:
    benchmark, setting = benchmark_of(dataset, "imagenet_c"), setting_of(dataset, data_dir, partial=True)
    before = benchmark.data(setting)
    (data_dir / "ImageNet-C/weather").mkdir(parents=True)
    (imagenet_c / "fog").rename(data_dir / "ImageNet-C/weather/fog")
    imagenet_c.rmdir()
    assert benchmark.data(setting) == before


def test_a_renamed_class_folder_is_named(dataset: Dataset, data_dir: Path, imagenet_c: Path) -> None:
    (imagenet_c / "fog/1" / WNIDS[1]).rename(imagenet_c / "fog/1/goldfish")
    for partial in (False, True):
        told = refusal(dataset, data_dir, partial)
        assert f"class folder 'goldfish' is none of the 3 classes, and {WNIDS[1]!r} is missing" in told


def test_a_surplus_is_refused(dataset: Dataset, data_dir: Path, imagenet_c: Path) -> None:
    first = sorted((imagenet_c / "fog/1").glob("*/*"))[0]
    shutil.copy(first, first.with_name("copy.JPEG"))
    for partial in (False, True):
        assert f"{first.parent}: expected 2 files, found 3" in refusal(dataset, data_dir, partial)


def test_a_stray_file_is_named_and_a_hidden_one_left_aside(dataset: Dataset, data_dir: Path, imagenet_c: Path) -> None:
    folder = imagenet_c / "fog/1" / WNIDS[0]
    (folder / ".DS_Store").write_text("x")
    (imagenet_c / "fog/1/README").write_text("x")
    assert len(fog(dataset, data_dir)) == 2
    (folder / "notes.txt").write_text("x")
    assert refusal(dataset, data_dir).startswith(f"{folder / 'notes.txt'}: expected a file *.png")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"<html>", "cut"])
def test_a_picture_that_cannot_be_decoded_is_named(
    dataset: Dataset, data_dir: Path, imagenet_c: Path, content: bytes | str
) -> None:
    path = sorted((imagenet_c / "fog/1").glob("*/*"))[4]
    path.write_bytes(path.read_bytes()[:-500] if isinstance(content, str) else content)
    told = refusal(dataset, data_dir)
    assert told.startswith(f"{path}: expected a picture (")
    assert "0x" not in told


def test_a_picture_of_another_release_is_named_and_not_resized(
    dataset: Dataset, data_dir: Path, imagenet_c: Path
) -> None:
    path = sorted((imagenet_c / "fog/1").glob("*/*"))[4]
    write_picture(path, smooth(0, 299, 299))
    assert refusal(dataset, data_dir).startswith(f"{path}: expected 32×32 pixels, found 299×299")


def test_classes_in_another_order_than_the_clean_ones_are_refused(data_dir: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        (data_dir / "source" / split).mkdir(parents=True)
        np.save(data_dir / f"source/{split}/images.npy", rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
        np.save(data_dir / f"source/{split}/labels.npy", np.array([0, 1, 0, 1]))
    (data_dir / "source/classes.txt").write_text("a\nb\n")
    from robustbench_msda.data.prepare import prepare

    dataset = prepare("mixed", data_dir / "source", data_dir)
    for name in "aabb":
        write_picture(data_dir / f"mixed_c/fog/1/{name}/{len(list(data_dir.rglob('*.JPEG')))}.JPEG", smooth(0, 32, 32))
    cell = Cell("", "mixed_c", "fog", "1")
    with pytest.raises(DamagedData, match="in the order of the clean test images"):
        list(benchmark_of(dataset, "mixed_c").stimuli(cell, setting_of(dataset, data_dir), torch.nn.Identity()))


def test_a_limit_and_parts_take_the_same_pictures(dataset: Dataset, data_dir: Path, imagenet_c: Path) -> None:
    limited = fog(dataset, data_dir, limit=3)
    whole = fog(dataset, data_dir)
    assert torch.cat([batch.index for batch in limited]).tolist() == [0, 2, 4]
    images = torch.cat([batch.images for batch in whole])
    assert torch.equal(torch.cat([batch.images for batch in limited]), images[[0, 2, 4]])


def test_damage_is_said_on_the_command_line_and_the_rest_is_done(
    dataset: Dataset, data_dir: Path, imagenet_c: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sorted((imagenet_c / "fog/4").glob("*/*"))[0].unlink()
    run = run_folder(tmp_path / "run", dataset)
    options = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results"), "--benchmarks", "imagenet_c"]
    assert status(["evaluate", str(run), *options]) == 3
    told = capsys.readouterr().err
    assert f"failed: imagenet_c fog 4: {imagenet_c / 'fog/4'}: 1 of 6 files missing" in told
    assert "missing: gaussian_noise, " in told
    assert len(stored(tmp_path / "results", "imagenet_c", "fog", "5")) == 6
    assert status(["evaluate", str(run), *options, "--allow-partial"]) == 0
