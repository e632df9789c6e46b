"""ImageNet, read where it lies; Tiny ImageNet, from its official archive."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_builders import pictures, refused, shrink, write_folders, write_tar, write_zip
from PIL import Image
from timm.data.imagenet_info import ImageNetInfo
from torchvision import transforms

from robustbench_msda.data.check import check_one
from robustbench_msda.data.datasets import DATASETS, open_dataset
from robustbench_msda.data.decoding import IMAGENET_VIEW, PictureFiles, View, decode_file
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData, MissingData, UserError

WNIDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with an ImageNet of three classes, two pictures each."""
    monkeypatch.setitem(DATASETS, "imagenet", replace(DATASETS["imagenet"], classes=WNIDS, test=6))
    for k, wnid in enumerate(WNIDS):
        for i in range(2):
            write_picture(tmp_path / "imagenet/val" / wnid / f"ILSVRC2012_val_{9 * i + k:08d}.JPEG", 10 * k + i)
    return tmp_path


def write_picture(path: Path, seed: int, width: int = 280, height: int = 260) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pictures(1, 6, seed)[0]).resize((width, height)).save(path, "JPEG")


def test_classes_are_those_pretrained_networks_answer_with() -> None:
    assert list(DATASETS["imagenet"].classes) == list(ImageNetInfo().label_names())
    assert set(DATASETS["tiny_imagenet"].classes) < set(DATASETS["imagenet"].classes)
    assert set(DATASETS["imagenet100"].classes) < set(DATASETS["imagenet"].classes)
    assert len(DATASETS["imagenet100"].classes) == 100


def test_classes_are_those_of_the_reference(reference: Path) -> None:
    constants = json.loads((reference / "reference/constants.json").read_text())
    assert list(DATASETS["imagenet"].classes) == constants["imagenet_wnids_1000"]["wnids_sorted"]


@pytest.mark.parametrize(
    "size", [(256, 256), (500, 375), (375, 500), (257, 331), (224, 224), (100, 90), (1001, 333), (256, 300), (401, 267)]
)
def test_a_picture_is_seen_as_torchvision_sees_it(tmp_path: Path, size: tuple[int, int]) -> None:
    write_picture(tmp_path / "a.JPEG", 1, *size)
    view = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    expected = np.asarray(view(Image.open(tmp_path / "a.JPEG").convert("RGB")))
    np.testing.assert_array_equal(decode_file(tmp_path / "a.JPEG", IMAGENET_VIEW), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_mode_that_jpeg_has_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.JPEG"
    Image.fromarray(pictures(1, 224, 3)[0]).convert(mode).save(path, "JPEG")
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(decode_file(path, View(224, stored=224)), expected)


def test_imagenet_is_read_where_it_lies(data_dir: Path) -> None:
    before = sorted(data_dir.rglob("*"))
    dataset = open_dataset("imagenet", data_dir)
    images = dataset.images("test")
    paths = sorted((data_dir / "imagenet/val").glob("*/*"))
    assert (dataset.side, dataset.classes, dataset.splits) == (224, WNIDS, ("test",))
    assert dataset.labels("test").tolist() == [0, 0, 1, 1, 2, 2]
    assert isinstance(images, PictureFiles)
    assert (len(images), images.shape) == (6, (6, 224, 224, 3))
    found = images[np.array([4, 1])]
    assert (found.shape, found.dtype) == ((2, 224, 224, 3), np.uint8)
    for image, k in zip(found, (4, 1), strict=True):
        np.testing.assert_array_equal(image, decode_file(paths[k], IMAGENET_VIEW))
    np.testing.assert_array_equal(images[1:3], images[np.array([1, 2])])
    assert pickle.loads(pickle.dumps(dataset)) == dataset
    dataset.fingerprint("test")
    assert sorted(data_dir.rglob("*")) == before


def test_the_fingerprint_is_of_labels_paths_and_sizes(data_dir: Path, tmp_path: Path) -> None:
    first = open_dataset("imagenet", data_dir).fingerprint("test")
    copies = [tmp_path / name for name in ("same", "larger", "renamed")]
    for copy in copies:
        for path in (data_dir / "imagenet/val").glob("*/*"):
            target = copy / "imagenet/val" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    path = sorted(copies[1].rglob("*.JPEG"))[2]
    path.write_bytes(path.read_bytes() + b"\0")
    path = sorted(copies[2].rglob("*.JPEG"))[2]
    path.rename(path.with_name("x.JPEG"))
    found = [open_dataset("imagenet", copy).fingerprint("test") for copy in copies]
    assert [each == first for each in found] == [True, False, False]
    assert all(len(each) == 64 for each in found)


def test_validation_pictures_may_be_a_link(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "other/imagenet").mkdir(parents=True)
    (tmp_path / "other/imagenet/val").symlink_to(data_dir / "imagenet/val", target_is_directory=True)
    linked = open_dataset("imagenet", tmp_path / "other")
    assert linked.fingerprint("test") == open_dataset("imagenet", data_dir).fingerprint("test")


def test_imagenet_that_is_not_there_says_where_it_should_be(tmp_path: Path) -> None:
    with refused(MissingData, tmp_path / "imagenet/val", "https://image-net.org", "nothing is prepared"):
        open_dataset("imagenet", tmp_path)


def test_a_part_of_imagenet_says_how_much_is_missing_and_what_can_be_done(data_dir: Path) -> None:
    sorted((data_dir / "imagenet/val").glob("*/*"))[2].unlink()
    with refused(
        DamagedData,
        f"{data_dir / 'imagenet/val'}: 1 of 6 files missing, first in class folder 'n01443537' (1 of 2)",
        "data prepare NAME --from FOLDER",
    ):
        open_dataset("imagenet", data_dir)


def test_more_than_imagenet_is_refused(data_dir: Path) -> None:
    write_picture(data_dir / "imagenet/val" / WNIDS[1] / "more.JPEG", 0)
    with refused(DamagedData, data_dir / "imagenet/val" / WNIDS[1], "expected 2 files, found 3"):
        open_dataset("imagenet", data_dir)


def test_folders_that_are_no_wnids_are_refused(data_dir: Path) -> None:
    (data_dir / "imagenet/val" / WNIDS[0]).rename(data_dir / "imagenet/val/tench")
    with refused(DamagedData, "class folder 'tench' is none of the 3 classes, and 'n01440764' is missing"):
        open_dataset("imagenet", data_dir)


def test_a_damaged_picture_is_named_when_it_is_asked_for(data_dir: Path) -> None:
    path = sorted((data_dir / "imagenet/val").glob("*/*"))[3]
    path.write_bytes(b"not a picture")
    images = open_dataset("imagenet", data_dir).images("test")
    assert images[np.array([0, 1, 2])].shape == (3, 224, 224, 3)
    with refused(DamagedData, f"{path}: expected a picture (not recognised)"):
        images[np.array([2, 3])]


def test_a_picture_that_goes_away_is_said_in_one_line(data_dir: Path) -> None:
    dataset = open_dataset("imagenet", data_dir)
    path = sorted((data_dir / "imagenet/val").glob("*/*"))[3]
    path.unlink()
    with refused(DamagedData, "cannot be read", path.name):
        dataset.fingerprint("test")
    with refused(DamagedData, f"{path}: expected a picture"):
        dataset.images("test")[np.array([3])]


@pytest.mark.parametrize("name", ["imagenet", "imagenet100", "imagenet_64", "imagenet100_64"])
def test_imagenet_is_not_prepared(data_dir: Path, tmp_path: Path, name: str) -> None:
    with refused(UserError, f"data set '{name}' is not prepared", "choose another name"):
        prepare(name, data_dir / "imagenet", tmp_path / "elsewhere")


def test_validation_pictures_alone_are_not_trained_on(data_dir: Path) -> None:
    with refused(MissingData, "evaluated on only", data_dir / "imagenet/train", "https://image-net.org"):
        open_dataset("imagenet", data_dir).images("train")
    with pytest.raises(ValueError, match="expected a split"):
        open_dataset("imagenet", data_dir).images("val")


COUNTS = (3, 1, 2)


@pytest.fixture
def trained(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with training pictures, a different number of each class."""
    shrink(monkeypatch, "imagenet", sum(COUNTS), 6)
    shrink(monkeypatch, "imagenet_64", sum(COUNTS), 6, classes=WNIDS)
    shrink(monkeypatch, "imagenet100", COUNTS[0] + COUNTS[2], 4, classes=(WNIDS[0], WNIDS[2]))
    for k, (wnid, count) in enumerate(zip(WNIDS, COUNTS, strict=True)):
        for i in range(count):
            write_picture(data_dir / "imagenet/train" / wnid / f"{wnid}_{90 - 7 * i}.JPEG", 50 * k + i)
    return data_dir


def test_training_pictures_are_listed_in_the_order_of_their_classes_and_names(trained: Path) -> None:
    dataset = open_dataset("imagenet", trained)
    images = dataset.images("train")
    assert isinstance(images, PictureFiles)
    assert dataset.splits == ("train", "test")
    paths = [images.root / file for file in images.files]
    assert paths == sorted((trained / "imagenet/train").glob("*/*"))
    assert dataset.labels("train").tolist() == [0, 0, 0, 1, 2, 2]
    assert dataset.labels("test").tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(images[3:4][0], decode_file(paths[3], IMAGENET_VIEW))
    assert dataset.fingerprint("train") != dataset.fingerprint("test")
    found = check_one("imagenet", trained)
    assert (found.state, found.where) == ("found", str(trained / "imagenet"))
    assert found.detail == "3 classes, 224×224; train 6 (1 to 3 a class); test 6 (2 to 2 a class)"


def test_training_files_are_listed_once_and_only_when_they_are_asked_for(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[str] = []

    def scandir(path: Path) -> object:
        scanned.append(path.parent.name)
        return scan(path)

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    dataset = open_dataset("imagenet", trained)
    dataset.labels("test")
    assert "train" not in scanned
    for _ in range(2):
        dataset.labels("train")
        dataset.images("train")
    assert scanned.count("train") == len(WNIDS)


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_another_number_of_training_pictures_is_told_when_they_are_asked_for(trained: Path, change: str) -> None:
    folder = trained / "imagenet/train"
    if change == "fewer":
        sorted(folder.glob("*/*"))[0].unlink()
    else:
        write_picture(folder / WNIDS[0] / "more.JPEG", 0)
    dataset = open_dataset("imagenet", trained)
    assert len(dataset.images("test")) == 6
    first = 2 if change == "fewer" else 4
    found = f"found {first + 3}, from 1 in 'n01443537' to {first} in 'n01440764'"
    message = (f"{folder}: expected 6 files in 3 class folders, {found}", "data prepare NAME --from FOLDER")
    for ask in (dataset.images, dataset.labels, dataset.fingerprint):
        with refused(DamagedData, *message):
            ask("train")
    assert check_one("imagenet", trained).state == "damaged"
    assert found in check_one("imagenet", trained).detail


def test_a_training_class_under_another_name_is_refused(trained: Path) -> None:
    (trained / "imagenet/train" / WNIDS[1]).rename(trained / "imagenet/train/goldfish")
    with refused(DamagedData, trained / "imagenet/train", "'goldfish' is none of the 3", "'n01443537' is missing"):
        open_dataset("imagenet", trained).labels("train")


def test_imagenet100_takes_its_classes_from_the_same_folder(trained: Path) -> None:
    dataset = open_dataset("imagenet100", trained)
    assert dataset.classes == (WNIDS[0], WNIDS[2])
    assert dataset.labels("train").tolist() == [0, 0, 0, 1, 1]
    assert dataset.labels("test").tolist() == [0, 0, 1, 1]
    images = dataset.images("train")
    assert isinstance(images, PictureFiles)
    assert {Path(file).parent.name for file in images.files} == {WNIDS[0], WNIDS[2]}
    assert check_one("imagenet100", trained).where == str(trained / "imagenet")


def test_beside_the_classes_of_imagenet100_only_others_of_imagenet_may_lie(trained: Path) -> None:
    (trained / "imagenet/val/goldfish").mkdir()
    with refused(DamagedData, trained / "imagenet/val", "class folder 'goldfish' is none of"):
        open_dataset("imagenet100", trained)


def test_a_folder_of_its_classes_alone_is_enough_for_imagenet100(trained: Path) -> None:
    for split in ("train", "val"):
        (trained / "imagenet" / split / WNIDS[1]).rename(trained / f"{split}-goldfish")
    assert open_dataset("imagenet100", trained).labels("train").tolist() == [0, 0, 0, 1, 1]
    with refused(DamagedData, "2 of 6 files missing, first in class folder 'n01443537'"):
        open_dataset("imagenet", trained)


def test_the_small_view_is_torchvisions(trained: Path) -> None:
    small, large = (open_dataset(name, trained) for name in ("imagenet_64", "imagenet"))
    view = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64)])
    paths = sorted((trained / "imagenet/val").glob("*/*"))
    expected = np.stack([np.asarray(view(Image.open(path))) for path in paths])
    np.testing.assert_array_equal(small.images("test")[:], expected)
    assert (small.side, small.mean, small.classes) == (64, large.mean, large.classes)
    assert small.fingerprint("test") != large.fingerprint("test")


def test_check_describes_imagenet(data_dir: Path) -> None:
    found = check_one("imagenet", data_dir)
    assert (found.state, found.detail) == ("found", "3 classes, 224×224; test 6 (2 to 2 a class)")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The official folder of a Tiny ImageNet of three classes; validation pictures lie in no order of classes."""
    shrink(monkeypatch, "tiny_imagenet", 6, 6, classes=WNIDS)
    root = tmp_path / "tiny-imagenet-200"
    for k, wnid in enumerate(WNIDS):
        for i in range(2):
            write_picture(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 10 * k + i, 64, 64)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("0\t0\t62\t62\n")
    for i in range(6):
        write_picture(root / f"val/images/val_{i}.JPEG", 100 + i, 64, 64)
        write_picture(root / f"test/images/test_{i}.JPEG", 200 + i, 64, 64)
    lines = [f"val_{i}.JPEG\t{WNIDS[(2 * i) % 3]}\t0\t32\t44\t62\n" for i in range(6)]
    (root / "val/val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(reversed(WNIDS)) + "\n")
    (root / "words.txt").write_text("n00001740\tentity\n")
    return root


def check_tiny(root: Path, data_dir: Path) -> None:
    dataset = open_dataset("tiny_imagenet", data_dir)
    assert dataset.labels("train").tolist() == dataset.labels("test").tolist() == [0, 0, 1, 1, 2, 2]
    order = [0, 3, 2, 5, 1, 4]  # 2 i mod 3 is 0, 2, 1, 0, 2, 1
    test = [np.asarray(Image.open(root / f"val/images/val_{i}.JPEG")) for i in order]
    train = [np.asarray(Image.open(path)) for path in sorted((root / "train").glob("*/images/*"))]
    np.testing.assert_array_equal(dataset.images("test")[:], test)
    np.testing.assert_array_equal(dataset.images("train")[:], train)
    assert (dataset.side, dataset.mean) == (64, (0.485, 0.456, 0.406))


@pytest.mark.parametrize("kind", ["zip", "tar", "folder", "parent"])
def test_the_official_archive_is_read_as_its_lists_say(tiny: Path, tmp_path: Path, kind: str) -> None:
    sources = {
        "zip": lambda: write_zip(tiny, tmp_path / "tiny-imagenet-200.zip", "tiny-imagenet-200/"),
        "tar": lambda: write_tar(tiny, tmp_path / "tiny.tar", "w", "tiny-imagenet-200/"),
        "folder": lambda: tiny,
        "parent": lambda: tiny.parent,
    }
    source, data_dir = sources[kind](), tmp_path.parent / f"{tmp_path.name}-data"
    prepare("tiny-imagenet", source, data_dir)
    check_tiny(tiny, data_dir)


def test_plain_class_folders_do_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "tiny_imagenet", 6, 6, classes=WNIDS)
    labels = np.repeat(np.arange(3), 2)
    data = {split: (pictures(6, 64, seed), labels) for seed, split in enumerate(("train", "test"))}
    dataset = prepare("tiny_imagenet", write_folders(tmp_path / "source", data, WNIDS), tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("test")[:], data["test"][0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "".join(f"val_{k}.JPEG\t{wnid}\n" for k, wnid in enumerate(WNIDS)),
            "expected 6 test images of tiny_imagenet, found 3",
        ),
        ("val_9.JPEG\tn01440764\n", "line 1: expected a picture of val/images and its class, found 'val_9.JPEG"),
        ("val_0.JPEG n01440764\n", "line 1: expected a picture of val/images and its class"),
        ("../../x\tn01440764\n", "line 1: expected a picture of val/images"),
        ("val_0.JPEG\tcat\n", "test class 'cat' is no class of it"),
        ("", "test class 'n01440764' is missing"),
        ("\xff\n", "expected plain text"),
    ],
)
def test_a_damaged_list_is_refused(tiny: Path, tmp_path: Path, text: str, told: str) -> None:
    (tiny / "val/val_annotations.txt").write_bytes(text.encode("latin1"))
    with refused(DamagedData, told):
        prepare("tiny_imagenet", tiny, tmp_path / "data")


def test_a_training_class_that_is_missing_is_named(tiny: Path, tmp_path: Path) -> None:
    (tiny / "train" / WNIDS[1]).rename(tiny / "goldfish")
    with refused(DamagedData, "train class 'n01443537' is missing"):
        prepare("tiny_imagenet", tiny, tmp_path / "data")
