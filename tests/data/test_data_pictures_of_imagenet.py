"""The folders of ImageNet-A, -O, -R and ImageNetV2: their classes, ``data check`` and ``data fetch`` of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from archive_server import Archives, serving
from benchmark_folders import jpeg, npy, on_disk, tar, write

from robustbench_msda.data.check import DataStatus
from robustbench_msda.data.check_benchmarks import check_benchmark, check_benchmarks
from robustbench_msda.data.check_layouts import LAYOUTS, PICTURES, benchmark_name
from robustbench_msda.data.downloads import DOWNLOADS, Archive, Download
from robustbench_msda.data.fetch import fetch
from robustbench_msda.data.wnids import IMAGENET
from robustbench_msda.progress import silent

THREE = IMAGENET[4:7]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole ImageNet-A of three classes and six pictures."""
    monkeypatch.setitem(LAYOUTS, "imagenet_a", replace(PICTURES["imagenet_a"], wnids=THREE, images=6))
    counts = zip(THREE, (1, 2, 3), strict=True)
    files = {f"{wnid}/{k}.jpg": jpeg(30 + k, k) for wnid, count in counts for k in range(count)}
    return write(tmp_path / "imagenet-a", files | {"README.txt": b"read me"})


def quick(folder: Path) -> DataStatus:
    return next(each for each in check_benchmarks(folder.parent) if each.name == "imagenet_a")


def full(folder: Path) -> tuple[DataStatus, tuple[str, ...]]:
    status, rows, faults = check_benchmark(LAYOUTS["imagenet_a"], folder.parent, silent)
    assert len(rows) == 1
    return status, faults


def test_the_classes_are_the_published_ones(reference: Path) -> None:
    facts = json.loads((reference / "reference/constants.json").read_text())
    for name in ("imagenet_a", "imagenet_o"):
        assert list(PICTURES[name].wnids) == facts[name]["wnids"]
        assert [IMAGENET.index(wnid) for wnid in PICTURES[name].wnids] == facts[name]["indices_in_1000"]
        assert PICTURES[name].images == facts[name]["num_images"]
    shared = set(PICTURES["imagenet_a"].wnids) & set(PICTURES["imagenet_o"].wnids)
    assert len(shared) == facts["imagenet_o"]["overlap_with_imagenet_a_classes"]


@pytest.mark.parametrize("name", ["imagenet_a", "imagenet_r"])
def test_the_classes_are_those_of_timm(name: str) -> None:
    listed = resources.files("timm.data").joinpath("_info", f"{name}_synsets.txt").read_text().split()
    assert list(PICTURES[name].wnids) == listed
    assert len(set(listed)) == 200


def test_folders_of_imagenet_v2_are_numbers_of_classes() -> None:
    layout = PICTURES["imagenet_v2"]
    assert [IMAGENET[int(name)] for name in layout.tops] == list(layout.wnids)


def test_a_whole_folder_is_found_under_either_name(folder: Path) -> None:
    assert quick(folder).state == "found"
    assert full(folder)[0].state == "found"
    ours = folder.rename(folder.with_name("imagenet_a"))
    assert (quick(ours).state, quick(ours).where) == ("found", str(ours))
    assert benchmark_name("ImageNet-A") == benchmark_name("imagenet-a") == "imagenet_a"


def test_what_lacks_or_is_too_much_is_named(folder: Path) -> None:
    (folder / THREE[2] / "1.jpg").unlink()
    assert quick(folder).state == "found"
    status, faults = full(folder)
    assert status.state == "damaged"
    assert "expected 6 files in 3 class folders, found 5, from 1 in" in faults[0]
    (folder / THREE[0] / "0.jpg").unlink()
    (folder / THREE[0]).rmdir()
    assert quick(folder).state == "partial"
    assert THREE[0] in quick(folder).detail
    (folder / IMAGENET[0]).mkdir()
    assert quick(folder).state == "damaged"
    assert f"has {IMAGENET[0]} beside the 3 classes" in quick(folder).detail


def test_a_damaged_picture_and_an_empty_one_are_named(folder: Path) -> None:
    (folder / THREE[0] / "0.jpg").write_bytes(jpeg(30)[:-200])
    assert quick(folder).state == "damaged"
    assert f"{folder / THREE[0] / '0.jpg'}: expected a picture (" in quick(folder).detail
    (folder / THREE[2] / "0.jpg").write_bytes(b"")
    assert any("1 empty files" in fault for fault in full(folder)[1])
    for path in folder.glob("*/*.jpg"):
        path.unlink()
    assert "expected 6 files, found none" in quick(folder).detail


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as archives:
        yield archives


def test_an_archive_of_class_folders_is_put_in_place(server: Archives, folder: Path, tmp_path: Path) -> None:
    wanted = on_disk(folder)
    server.files["imagenet-a.tar"] = tar(wanted, "imagenet-a/")
    archive = Archive(server.url("imagenet-a.tar"), holds=THREE)
    data_dir = tmp_path / "fresh"
    fetched = fetch("imagenet-a", data_dir, downloads={"imagenet_a": Download((archive,))}, pauses=())
    assert fetched.folder == data_dir / "imagenet_a"
    found = on_disk(fetched.folder)
    assert {name: content for name, content in found.items() if name.endswith(".jpg")} == {
        name: content for name, content in wanted.items() if name.endswith(".jpg")
    }
    asked = len(server.asked)
    assert fetch("imagenet_a", data_dir, downloads={"imagenet_a": Download((archive,))}, pauses=()).arrived == ()
    assert len(server.asked) == asked


def test_bare_files_are_put_in_place(server: Archives, tmp_path: Path) -> None:
    content = npy(np.eye(10))
    names = tuple(archive.filename for archive in DOWNLOADS["cifar10h"].archives)
    archives = []
    for name in names:
        server.files[name] = content
        archives.append(Archive(server.url(name), holds=(name,)))
    fetched = fetch("cifar10h", tmp_path, downloads={"cifar10h": Download(tuple(archives))}, pauses=())
    assert len(fetched.arrived) == 2
    assert (
        {name for name in on_disk(fetched.folder) if name.endswith(".npy")}
        == set(names)
        == set(LAYOUTS["cifar10h"].tops)
    )
    assert (fetched.folder / names[0]).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10h"]
