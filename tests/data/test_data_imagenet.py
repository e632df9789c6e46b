"""ImageNet, read where it lies; Tiny ImageNet, from its official archive."""

from __future__ import annotations

import json
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


def test_imagenet_is_neither_prepared_nor_trained_on(data_dir: Path, tmp_path: Path) -> None:
    with refused(UserError, "data set 'imagenet' is not prepared", "choose another name"):
        prepare("imagenet", data_dir / "imagenet", tmp_path / "elsewhere")
    with refused(MissingData, "there to be evaluated on only"):
        open_dataset("imagenet", data_dir).images("train")


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
