"""Folders, zips and tars of strangers."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_builders import (
    pictures,
    png,
    refused,
    result_or_refusal,
    splits,
    write_arrays,
    write_folders,
    write_tar,
    write_zip,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustbench_msda.data import members as members_module
from robustbench_msda.data.archives import Tar, Zip, open_source
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData, UserError

Make = Callable[[Path, Path], Path]
MAKERS: dict[str, Make] = {
    "zip": write_zip,
    "tar": lambda folder, out: write_tar(folder, out, "w"),
    "tar.gz": lambda folder, out: write_tar(folder, out, "w:gz"),
    "tar.xz": lambda folder, out: write_tar(folder, out, "w:xz"),
    "tar.bz2": lambda folder, out: write_tar(folder, out, "w:bz2"),
    "folder": lambda folder, out: Path(shutil.copytree(folder, out)),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("top", ["", "pets-v2"])
def test_class_folders_by_every_road_are_the_same(tmp_path: Path, kind: str, top: str) -> None:
    write_folders(tmp_path / "made" / top, splits())
    source = MAKERS[kind](tmp_path / "made", tmp_path / f"pets.{kind}")
    dataset = prepare("pets", source, tmp_path / "data")
    for split, (images, labels) in splits().items():
        np.testing.assert_array_equal(dataset.images(split), images)
        np.testing.assert_array_equal(dataset.labels(split), labels)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["pets"]


def members(path: Path, content: dict[str, bytes]) -> Path:
    """Write an archive with these members by the suffix of ``path``."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as out, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubled names
            for name, data in content.items():
                out.writestr(name.removesuffix("#"), data)
        return path
    with tarfile.open(path, "w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name.removesuffix("#"))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


GOOD = {
    f"{split}/{name}/{i}.png": png(pictures(1, 5, i)[0]) for split in ("train", "test") for name in "ab" for i in (0, 1)
}


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "test/a/../../../evil.png", "test\\a\\evil.png", "."])
def test_escaping_members_are_refused(tmp_path: Path, suffix: str, name: str) -> None:
    source = members(tmp_path / "in" / f"x.{suffix}" if (tmp_path / "in").mkdir() else tmp_path / f"in/x.{suffix}",
                     {**GOOD, name: b"x"})  # fmt: skip
    with refused(DamagedData, source, repr(name), "no place inside the archive", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")
    assert [path.name for path in tmp_path.rglob("*evil*")] == []


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_doubled_members_are_refused(tmp_path: Path, suffix: str) -> None:
    source = members(tmp_path / f"x.{suffix}", {**GOOD, "test/a/0.png#": b"x"})
    with refused(DamagedData, source, "'test/a/0.png' is there twice", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    source = members(tmp_path / "x.zip", {**GOOD, "nameless": b"x"})
    source.write_bytes(source.read_bytes().replace(b"nameless", b"\0ameless"))  # a name ends where a NUL stands
    with refused(DamagedData, source, "member ''", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    source = members(tmp_path / "x.tar", GOOD)
    with tarfile.open(source, "a") as tar:
        info = tarfile.TarInfo("test/a/9.png")
        info.type, info.linkname = kind, "../../secret"
        tar.addfile(info)
    with refused(DamagedData, source, "'test/a/9.png' is a link or a device", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    source = members(tmp_path / "x.zip", GOOD)
    with zipfile.ZipFile(source, "a") as out:
        info = zipfile.ZipInfo("test/a/9.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(info, "../../secret")
    with refused(DamagedData, source, "'test/a/9.png' is a link", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_links_in_the_users_own_folder_are_followed(tmp_path: Path) -> None:
    write_folders(tmp_path / "far", splits())
    (tmp_path / "near" / "test").mkdir(parents=True)
    (tmp_path / "near" / "train").symlink_to(tmp_path / "far" / "train")
    for name in ("cat", "dog", "eel"):
        (tmp_path / "near" / "test" / name).symlink_to(tmp_path / "far" / "test" / name)
    (tmp_path / "near" / "loop").symlink_to(tmp_path / "near")
    dataset = prepare("pets", tmp_path / "near", tmp_path / "data")
    np.testing.assert_array_equal(dataset.images("test"), splits()["test"][0])


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:xz", "w:bz2"])
def test_bombs_are_not_expanded(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "LEAST_CAP", 100_000)
    zeros = bytes(3_000_000)
    source = tmp_path / "bomb"
    if mode == "zip":
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("test/a/0.png", zeros)
    else:
        with tarfile.open(source, mode) as tar:
            info = tarfile.TarInfo("test/a/0.png")
            info.size = len(zeros)
            tar.addfile(info, io.BytesIO(zeros))
    with refused(DamagedData, source, "expands to more than", "unpack it yourself", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_a_long_header_is_a_bomb_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "LEAST_CAP", 100_000)
    with tarfile.open(tmp_path / "x.tgz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * 3_000_000}
        tar.addfile(info)
    with refused(DamagedData, "expands to more than", untouched=tmp_path / "data"):
        prepare("pets", tmp_path / "x.tgz", tmp_path / "data")


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "MOST_FILES", 7)
    with refused(DamagedData, "expected at most 7 files, found 8", untouched=tmp_path / "data"):
        prepare("pets", members(tmp_path / "x.zip", GOOD), tmp_path / "data")


def test_what_systems_leave_behind_is_ignored(tmp_path: Path) -> None:
    litter = {"__MACOSX/test/a/0.png": b"x", "test/a/._0.png": b"x", "test/.DS_Store": b"x", "test/a/Thumbs.db": b"x"}
    dataset = prepare("pets", members(tmp_path / "x.zip", {**GOOD, **litter, "README.txt": b"x"}), tmp_path / "data")
    assert len(dataset.labels("test")) == 4


def test_leading_dots_are_as_good_as_none(tmp_path: Path) -> None:
    source = members(tmp_path / "x.tar", {f"./{name}": data for name, data in GOOD.items()})
    assert prepare("pets", source, tmp_path / "data").labels("test").tolist() == [0, 0, 1, 1]


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    source = members(tmp_path / "x.zip", GOOD)
    data = source.read_bytes().replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    source.write_bytes(data.replace(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00"))
    with refused(DamagedData, source, "damaged or encrypted", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_cut_archive_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    source = MAKERS[kind](write_folders(tmp_path / "made", splits(4, side=9)), tmp_path / f"x.{kind}")
    os.truncate(source, int(source.stat().st_size * share))
    with refused(DamagedData, source, untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_a_tar_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    source = members(tmp_path / "x.tar", GOOD)
    with tarfile.open(source) as tar:
        last = tar.getmembers()[-1]
    os.truncate(source, last.offset)
    with refused(DamagedData, source, "ends before its end mark", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_a_tar_is_whole_once_its_end_mark_has_begun(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"{number}.bin")
            member.size = 700
            archive.addfile(member, io.BytesIO(bytes([number + 1]) * 700))
    # Three members of a header and two blocks of data, then a block of zeros.
    whole = 3 * 3 * 512 + 512
    path = tmp_path / "cut.tar"
    for cut in (*range(512, whole, 128), whole - 1):
        path.write_bytes(content.getvalue()[:cut])
        with refused(DamagedData, path):
            Tar(path).listing()
    path.write_bytes(content.getvalue()[:whole])
    assert set(Tar(path).listing().files) == {"0.bin", "1.bin", "2.bin"}


def test_the_checksum_at_the_end_of_a_stream_is_read(tmp_path: Path) -> None:
    source = MAKERS["tar.gz"](write_folders(tmp_path / "made", splits()), tmp_path / "x.tar.gz")
    data = bytearray(source.read_bytes())
    data[-8] ^= 1
    source.write_bytes(data)
    with refused(DamagedData, source, "CRC", "get it again", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("<html>404</html>")
    with refused(UserError, "x.zip", "expected a folder, a .zip or a .tar", untouched=tmp_path / "data"):
        prepare("pets", tmp_path / "x.zip", tmp_path / "data")


def test_arrays_in_an_archive_are_to_be_unpacked(tmp_path: Path) -> None:
    source = write_zip(write_arrays(tmp_path / "made", splits()), tmp_path / "x.zip")
    with refused(UserError, source, "unpack it first", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


@pytest.mark.parametrize("content", [{}, {"a.txt": b"x", "b/c.png": b"x"}])
def test_no_known_layout(tmp_path: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in").mkdir(exist_ok=True)
    found = "found 'a.txt', 'b'" if content else "found nothing"
    with refused(UserError, tmp_path / "in", "train|test/CLASS/FILE.png", found, untouched=tmp_path / "data"):
        prepare("pets", tmp_path / "in", tmp_path / "data")


def test_two_data_sets_in_one_folder(tmp_path: Path) -> None:
    write_folders(tmp_path / "in" / "one", splits())
    write_folders(tmp_path / "in" / "two", splits())
    with refused(UserError, "expected one data set, found 'one/' and 'two/'", untouched=tmp_path / "data"):
        prepare("pets", tmp_path / "in", tmp_path / "data")


def test_a_member_that_went_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = members(tmp_path / "x.zip", GOOD)
    monkeypatch.setattr(Zip, "read", lambda self, wanted: iter([(sorted(wanted)[0], GOOD["test/a/0.png"])]))
    with refused(DamagedData, "'train/a/1.png' went away", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=5))
def test_any_change_of_an_archive_is_read_or_refused(tmp_path: Path, kind: str, changes: list) -> None:
    whole = tmp_path / f"whole.{kind}"
    if not whole.exists():
        MAKERS[kind](write_folders(tmp_path / "made", splits(1, 2, 3), ("a", "b")), whole)
    data = bytearray(whole.read_bytes())
    for place, value in changes:
        data[int(place * len(data))] = value
    source = tmp_path / "changed"
    source.write_bytes(data)

    def read() -> dict[str, bytes]:
        opened = open_source(source)
        return dict(opened.read(opened.listing().files))

    if found := result_or_refusal(read):
        assert all(len(data) < 10**6 for data in found.values())
