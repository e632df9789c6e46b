"""``data check`` of benchmark folders: found, partial, damaged, not found, and what lacks by name."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_folders import LABELS, WNIDS, array_files, folder_files, jpeg, npy, small_arrays, small_folders, write
from data_builders import shrink, write_cifar10

from robustbench_msda.data.check import DataStatus
from robustbench_msda.data.check_arrays import ArrayLayout
from robustbench_msda.data.check_benchmarks import check_benchmark, check_benchmarks
from robustbench_msda.data.check_folders import FolderLayout
from robustbench_msda.data.check_layouts import LAYOUTS
from robustbench_msda.data.check_survey import Row
from robustbench_msda.data.downloads import DOWNLOADS
from robustbench_msda.data.prepare import prepare
from robustbench_msda.progress import silent


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a whole small CIFAR-10-C."""
    return write(tmp_path / "cifar10_c", array_files(small_arrays(monkeypatch)))


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a whole small ImageNet-C."""
    return write(tmp_path / "imagenet_c", folder_files(small_folders(monkeypatch)))


def quick(folder: Path) -> DataStatus:
    names = {layout.official: name for name, layout in LAYOUTS.items()}
    name = names.get(folder.name, folder.name)
    return next(status for status in check_benchmarks(folder.parent) if status.name == name)


def full(folder: Path) -> tuple[DataStatus, tuple[Row, ...], tuple[str, ...]]:
    return check_benchmark(LAYOUTS[folder.name], folder.parent, silent)


def told(status: DataStatus, state: str, *fragments: object) -> None:
    assert status.state == state, status
    assert "\n" not in status.detail
    for fragment in fragments:
        assert str(fragment) in status.detail


def test_nothing_is_there(tmp_path: Path) -> None:
    statuses = check_benchmarks(tmp_path / "absent")
    assert [status.name for status in statuses] == list(LAYOUTS)
    assert {status.state for status in statuses} == {"not found"}
    assert statuses[0].where == str(tmp_path / "absent" / "cifar10_c")
    assert statuses[0].get == "run: robustbench-msda data fetch cifar10_c"
    assert "Google Drive" in next(status for status in statuses if status.name == "cifar10_p").get
    assert not (tmp_path / "absent").exists()


def test_a_folder_that_holds_nothing_of_it_is_not_it(tmp_path: Path) -> None:
    write(tmp_path / "cifar10_c", {"note.txt": b"x"})
    assert quick(tmp_path / "cifar10_c").state == "not found"


def test_the_layouts_are_the_published_ones(reference: Path) -> None:
    import json

    facts = json.loads((reference / "reference" / "constants.json").read_text())
    fifteen = facts["corruptions"]["imagenet_c_order"]
    for name in ("cifar10_c", "cifar100_c", "tiny_imagenet_c", "imagenet_c"):
        layout = LAYOUTS[name]
        assert isinstance(layout, ArrayLayout | FolderLayout)
        assert list(layout.required) == fifteen
    three = LAYOUTS["imagenet_3dcc"]
    assert list(three.tops) == facts["imagenet_3dcc"]["corruptions_download_order"]
    videos, clips = LAYOUTS["imagenet_p"], LAYOUTS["cifar10_p"]
    assert isinstance(videos, FolderLayout)
    assert isinstance(clips, ArrayLayout)
    assert list(videos.required) == facts["imagenet_p"]["perturbations_paper_10"]
    assert set(clips.required) <= set(facts["cifar_p"]["perturbations_eval_script_10"])
    frames = facts["cifar_p"]["frames"]
    assert {clips.frames[name] for name in clips.required} == set(frames.values())
    assert clips.shape("translate") == (10_000, frames["translate"], 32, 32, 3)


def test_every_archive_brings_what_its_layout_knows() -> None:
    for name, layout in LAYOUTS.items():
        brought = [top for archive in DOWNLOADS[name].archives for top in archive.holds]
        assert len(set(brought)) == len(brought)
        assert set(brought) <= set(layout.tops)
        if not isinstance(layout, ArrayLayout | FolderLayout):
            assert set(brought) == set(layout.tops)
            continue
        names = {top.removesuffix(".npy") for top in brought}
        assert not brought or names >= set(layout.required)


def test_whole_arrays_are_found_under_either_name(arrays: Path) -> None:
    told(quick(arrays), "found", "3 conditions, uint8 (50, 32, 32, 3)", "labels not compared: cifar10 is not prepared")
    theirs = arrays.rename(arrays.with_name("CIFAR-10-C"))
    status = quick(theirs)
    assert (status.state, status.where) == ("found", str(theirs))


def test_what_lacks_is_named(arrays: Path) -> None:
    (arrays / "spatter.npy").unlink()
    told(quick(arrays), "found", "without spatter.npy")
    (arrays / "labels.npy").unlink()
    (arrays / "snow.npy").unlink()
    told(quick(arrays), "partial", "not there: snow.npy, labels.npy")
    assert full(arrays)[2] == (f"{arrays}: not there: snow.npy", f"{arrays}: not there: labels.npy")


DAMAGES = {
    "another shape": (npy(np.zeros((40, 32, 32, 3), np.uint8)), "found (40, 32, 32, 3) uint8"),
    "another type": (npy(np.zeros((50, 32, 32, 3), np.float32)), "found (50, 32, 32, 3) float32"),
    "columns first": (npy(np.asfortranarray(np.zeros((50, 32, 32, 3), np.uint8))), "expected (50, 32, 32, 3) uint8"),
    "cut": (npy(np.zeros((50, 32, 32, 3), np.uint8))[:-1], "expected a NumPy array file"),
    "no array": (b"<html>", "expected a NumPy array file"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_an_array_that_cannot_be_right(arrays: Path, case: str) -> None:
    content, fragment = DAMAGES[case]
    (arrays / "snow.npy").write_bytes(content)
    told(quick(arrays), "damaged", arrays / "snow.npy", fragment)
    status, rows, _ = full(arrays)
    assert status.state == "damaged"
    assert {row.condition for row in rows} == {"fog", "spatter"}


def test_labels_are_compared_with_the_clean_ones(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 50, 10)
    prepare("cifar10", write_cifar10(arrays.parent / "official")[0], arrays.parent)
    told(quick(arrays), "found", "labels as in cifar10")
    (arrays / "labels.npy").write_bytes(npy(np.roll(np.tile(LABELS, 5), 1)))
    told(quick(arrays), "damaged", arrays / "labels.npy", "5 times over, found 0 where 9 belongs (row 0,")


LABEL_DAMAGES = {
    "interleaved": (np.repeat(LABELS, 5), "found them interleaved"),
    "one level shifted": (np.concatenate([np.tile(LABELS, 4), np.roll(LABELS, 1)]), "found 0 where 9 belongs (row 40,"),
    "too few": (LABELS, "expected (50,) whole numbers, found (10,)"),
    "shares": (np.tile(LABELS, 5) / 10, "found (50,) float64"),
    "out of range": (np.tile(LABELS, 5) + 1, "expected 0 to 9, found 1 to 10"),
}


@pytest.mark.parametrize("case", LABEL_DAMAGES)
def test_labels_that_cannot_be_right(arrays: Path, case: str) -> None:
    labels, fragment = LABEL_DAMAGES[case]
    (arrays / "labels.npy").write_bytes(npy(labels))
    told(quick(arrays), "damaged", arrays / "labels.npy", fragment)


def test_labels_are_known_by_their_checksum_where_there_are_no_clean_ones(
    arrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LAYOUTS["cifar10_c"]
    assert isinstance(layout, ArrayLayout)
    md5 = hashlib.md5((arrays / "labels.npy").read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(LAYOUTS, "cifar10_c", replace(layout, md5={"labels.npy": md5}))
    told(quick(arrays), "found", "official labels")
    (arrays / "labels.npy").write_bytes(npy(np.roll(np.tile(LABELS, 5), 1)))
    told(quick(arrays), "damaged", f"expected md5 {md5}", "prepare cifar10 to compare")


def test_a_checksum_for_every_level(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LAYOUTS["cifar10_c"]
    assert isinstance(layout, ArrayLayout)
    sums = {
        path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in arrays.glob("*.npy")
    }
    monkeypatch.setitem(LAYOUTS, "cifar10_c", replace(layout, md5=sums))
    status, rows, faults = full(arrays)
    assert (status.state, faults) == ("found", ())
    assert [(row.condition, row.level) for row in rows] == [
        (name, level) for name in ("fog", "snow", "spatter") for level in "12345"
    ]
    for row in rows:
        images = np.load(arrays / f"{row.condition}.npy")[(int(row.level) - 1) * 10 : int(row.level) * 10]
        assert row.checksum == hashlib.sha256(images.tobytes()).hexdigest()[:12]
        assert row.detail == "(10, 32, 32, 3) official"
    content = bytearray((arrays / "snow.npy").read_bytes())
    content[-1] ^= 1
    (arrays / "snow.npy").write_bytes(content)
    assert quick(arrays).state == "found"
    status, after, faults = full(arrays)
    assert status.state == "damaged"
    assert len(faults) == 1
    assert f"{arrays / 'snow.npy'}: expected md5 {sums['snow.npy']}" in faults[0]
    assert [new == old for new, old in zip(after, rows, strict=True)] == [True] * 5 + [False] * 5 + [True] * 5
    assert [new.checksum == old.checksum for new, old in zip(after, rows, strict=True)].count(False) == 1


def test_videos_in_arrays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = write(tmp_path / "cifar10_p", array_files(small_arrays(monkeypatch, "cifar10_p")))
    told(quick(folder), "found", "(10, 4, 32, 32, 3) or (10, 3, 32, 32, 3)")
    assert [row.level for row in full(folder)[1]] == ["", "", ""]
    (folder / "fog.npy").write_bytes((folder / "snow.npy").read_bytes())
    told(quick(folder), "damaged", folder / "fog.npy", "expected (10, 4, 32, 32, 3)", "found (10, 3, 32, 32, 3)")


@pytest.mark.parametrize("group", ["", "weather"])
def test_whole_folders_are_found_with_or_without_groups(folders: Path, group: str) -> None:
    if group:
        (folders / group).mkdir()
        (folders / "fog").rename(folders / group / "fog")
    told(quick(folders), "found", "3 conditions, 15 cells, 3 classes, images of 8 px")
    status, rows, faults = full(folders)
    assert (status.state, faults, len(rows)) == ("found", (), 15)
    assert {row.detail for row in rows} == {"6 files"}


def test_missing_conditions_and_levels_are_named(folders: Path) -> None:
    for path in sorted((folders / "fog" / "3").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folders / "fog" / "3").rmdir()
    (folders / "spatter").rename(folders / "other")
    told(quick(folders), "partial", "not there: fog/3", "2 conditions, 9 cells")
    (folders / "snow").rename(folders / "another")
    told(quick(folders), "partial", "not there: fog/3, snow")


def test_a_renamed_class_folder_shifts_the_labels(folders: Path) -> None:
    cell = folders / "fog" / "3"
    (cell / WNIDS[0]).rename(cell / "n09999999")
    told(quick(folders), "damaged", cell, f"lacks {WNIDS[0]} and has n09999999", "labels shift")


def test_a_class_folder_that_no_cell_has(folders: Path) -> None:
    for path in sorted(folders.glob(f"*/*/{WNIDS[0]}")):
        path.rename(path.with_name("README"))
    assert quick(folders).state == "found"  # names are not known, only how many
    for path in sorted(folders.glob(f"*/*/{WNIDS[1]}")):
        path.rename(folders / f"{path.parts[-3]}-{path.parts[-2]}")
    told(quick(folders), "damaged", folders, "expected 3 class folders, found 2")


def test_images_of_another_size_and_none_at_all(folders: Path) -> None:
    path = folders / "snow" / "2" / WNIDS[0] / "ILSVRC2012_val_00000000.JPEG"
    path.write_bytes(jpeg(9))
    told(quick(folders), "damaged", path, "expected an image of 8×8, found 9×9")
    path.write_bytes(b"x")
    told(quick(folders), "damaged", path, "expected an image of 8×8, found none")


def test_counts_are_looked_at_in_full_only(folders: Path) -> None:
    (folders / "fog" / "1" / WNIDS[1] / "ILSVRC2012_val_00000001.JPEG").unlink()
    (folders / "fog" / "2" / WNIDS[1] / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
    (folders / "snow" / "5" / WNIDS[2] / "note.txt").write_bytes(b"x")
    assert quick(folders).state == "found"
    status, _, faults = full(folders)
    assert status.state == "damaged"
    assert faults[0] == (
        f"{folders / 'fog' / '1'}: expected 2 files in every class, found 5 in all: {WNIDS[1]} has 1; get them again"
    )
    assert "1 empty files: n01443537/ILSVRC2012_val_00000001.JPEG" in faults[1]
    assert "expected files *.jpeg, found n01484850/note.txt" in faults[2]
    assert "found 7 in all" in faults[3]


def test_the_checksum_of_a_cell_is_over_names_and_sizes(folders: Path) -> None:
    before = {(row.condition, row.level): row.checksum for row in full(folders)[1]}
    path = folders / "fog" / "4" / WNIDS[0] / "ILSVRC2012_val_00000000.JPEG"
    path.write_bytes(path.read_bytes() + b"x")
    after = {(row.condition, row.level): row.checksum for row in full(folders)[1]}
    assert [key for key in before if before[key] != after[key]] == [("fog", "4")]


def test_videos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = folder_files(small_folders(monkeypatch, "imagenet_p"))
    assert {Path(name).suffix for name in files} == {".MP4"}
    folder = write(tmp_path / "imagenet_p", {name: b"\0\0\0 ftypisom" for name in files})
    told(quick(folder), "found", "3 conditions, 3 cells, 3 classes, videos")
    path = folder / "fog" / WNIDS[0] / "ILSVRC2012_val_00000000.MP4"
    path.write_bytes(io.BytesIO(b"<html>").read())
    told(quick(folder), "damaged", path, "expected a video, found none")
