"""Unpacking what strangers packed: nothing outside the folder, nothing half, nothing damaged taken for whole."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from benchmark_folders import array_files, on_disk, small_arrays, tar
from data_builders import refused

from robustbench_msda.data.fetch_unpack import unpack
from robustbench_msda.errors import DamagedData
from robustbench_msda.progress import silent


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    return array_files(small_arrays(monkeypatch))


def special(kind: bytes, name: str = "fog.npy") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    return out.getvalue()


HOSTILE = {
    "escape": (tar({"../fog.npy": b"x"}), "'../fog.npy' is no place inside"),
    "hidden escape": (tar({"fog/../../../fog.npy": b"x"}), "is no place inside"),
    "absolute": (special(tarfile.REGTYPE, "/fog.npy"), "'/fog.npy' is no place inside"),
    "symbolic link": (special(tarfile.SYMTYPE), "is a link or a device"),
    "hard link": (special(tarfile.LNKTYPE), "is a link or a device"),
    "device": (special(tarfile.CHRTYPE), "is a link or a device"),
    "twice": (tar({"fog.npy": b"x", "a/fog.npy": b"y"}), "File exists"),
    "inside a file": (tar({"fog.npy": b"x", "fog.npy/snow.npy": b"y"}), "the archive is damaged"),
    "none of it": (tar({"README": b"x"}), "expected fog.npy, labels.npy, snow.npy"),
    "no tar": (b"<html>sign in, please</html>" * 100, "the archive is damaged"),
    "a bomb": (tar({"fog.npy": bytes(2**26 + 1)}, mode="w:xz"), "expands to more than"),
    "empty": (b"", "the archive"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_writes_nothing_outside(files: dict[str, bytes], tmp_path: Path, case: str) -> None:
    content, fragment = HOSTILE[case]
    path = tmp_path / "data" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(content)
    with refused(DamagedData, path, fragment):
        unpack(path, tmp_path / "data" / "out", tuple(files), silent)
    assert {name for name in on_disk(tmp_path) if not name.startswith("data/out/")} == {"data/a.tar"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_an_archive_cut_anywhere_is_never_taken_for_whole(files: dict[str, bytes], tmp_path: Path, mode: str) -> None:
    content = tar({"fog.npy": files["fog.npy"][:3000], "labels.npy": files["labels.npy"]}, mode=mode)
    path = tmp_path / "a.tar"
    # Two headers and their content, rounded up, and the first block of the end mark; what follows is padding.
    last = 512 + 3072 + 512 + 512 + 511 if mode == "w" else len(content) - 1
    for length in sorted({*range(0, last, 211), *range(0, last, 512), last}):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedData):
            unpack(path, tmp_path / "out", tuple(files), silent)
        shutil.rmtree(tmp_path / "out")
    path.write_bytes(content)
    assert unpack(path, tmp_path / "out", tuple(files), silent) == ("fog.npy", "labels.npy")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_damaged_header_in_the_middle_is_no_end(files: dict[str, bytes], tmp_path: Path, mode: str) -> None:
    content = bytearray(tar(files))
    content[content.index(b"snow.npy")] ^= 1
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(content) if mode == "w:gz" else content)
    with refused(DamagedData, path, "a header in it is damaged"):
        unpack(path, tmp_path / "out", tuple(files), silent)


def test_unpacking_many_files_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({f"fog/1/n01/{number:06d}.JPEG": b"x" for number in range(3000)}))
    tracemalloc.start()
    try:
        unpack(tmp_path / "a.tar", tmp_path / "out", ("fog",), silent)
        assert tracemalloc.get_traced_memory()[1] < 2**20 + 500_000
    finally:
        tracemalloc.stop()
    assert len(list((tmp_path / "out" / "fog" / "1" / "n01").iterdir())) == 3000
