"""``fetch``: whatever happens on the way, the folder is whole in the end, or one line says what to do."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_server import Archives, serving
from benchmark_folders import array_files, folder_files, on_disk, small_arrays, small_folders, tar, write
from data_builders import refused, shrink, write_cifar10, write_idx

from robustbench_msda.data import fetch_http
from robustbench_msda.data.check_layouts import LAYOUTS
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.downloads import DOWNLOADS, Archive, Download
from robustbench_msda.data.fetch import RECORD, Arrived, Fetched, fetch
from robustbench_msda.errors import DamagedData, UnknownName, UserError

PAUSES = (0.0, 0.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as archives:
        yield archives


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    return array_files(small_arrays(monkeypatch))


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def serve(server: Archives, content: bytes, holds: tuple[str, ...], name: str = "a.tar") -> Archive:
    server.files[name] = content
    return Archive(server.url(name), md5(content), holds)


def run(data_dir: Path, *archives: Archive, name: str = "cifar10_c") -> Fetched:
    return fetch(name, data_dir, downloads={name: Download(archives)}, pauses=PAUSES)


def without_record(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in on_disk(folder).items() if name != RECORD}


@pytest.mark.parametrize("top", ["CIFAR-10-C/", "./CIFAR-10-C/", "", "a/b/"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_the_files_lie_at_the_top_of_the_folder(
    server: Archives, files: dict[str, bytes], tmp_path: Path, top: str, mode: str
) -> None:
    content = tar({**files, "README": b"read me", "._fog.npy": b"x"}, top, mode)
    fetched = run(tmp_path, serve(server, content, tuple(files)))
    assert fetched == Fetched(tmp_path / "cifar10_c", (Arrived("a.tar", md5(content), True),))
    assert without_record(tmp_path / "cifar10_c") == files
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10_c"]


def test_what_is_there_is_not_fetched_again(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    archive = serve(server, tar(files), tuple(files))
    run(tmp_path, archive)
    before = on_disk(tmp_path)
    server.asked.clear()
    assert run(tmp_path, archive) == Fetched(tmp_path / "cifar10_c", ())
    assert server.asked == []
    assert on_disk(tmp_path) == before


def test_an_archive_that_brings_less_than_expected_is_fetched_once(
    server: Archives, files: dict[str, bytes], tmp_path: Path
) -> None:
    archive = serve(server, tar({"fog.npy": files["fog.npy"]}), tuple(files))
    run(tmp_path, archive)
    assert run(tmp_path, archive).arrived == ()
    (tmp_path / "cifar10_c" / RECORD).write_text("{")
    assert len(run(tmp_path, archive).arrived) == 1


def test_files_that_came_another_way_count_under_either_name(
    server: Archives, files: dict[str, bytes], tmp_path: Path
) -> None:
    write(tmp_path / "CIFAR-10-C", files)
    archive = serve(server, tar(files), tuple(files))
    assert run(tmp_path, archive) == Fetched(tmp_path / "CIFAR-10-C", ())
    (tmp_path / "CIFAR-10-C" / "snow.npy").unlink()
    assert len(run(tmp_path, archive).arrived) == 1
    assert without_record(tmp_path / "CIFAR-10-C") == files
    assert not (tmp_path / "cifar10_c").exists()


def test_a_cut_goes_on_by_range(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    content = tar(files)
    server.cuts = [30_000, 0, 20_000]
    run(tmp_path, serve(server, content, tuple(files)))
    assert [wanted for _, wanted in server.asked] == ["", "bytes=30000-", "bytes=30000-", "bytes=50000-"]
    assert without_record(tmp_path / "cifar10_c") == files


def test_tries_that_bring_nothing_come_to_an_end_and_the_next_run_goes_on(
    server: Archives, files: dict[str, bytes], tmp_path: Path
) -> None:
    archive = serve(server, tar(files), tuple(files))
    server.cuts = [30_000, 0, 0]
    with refused(UserError, archive.url, "cut at 30,000 of", "after 3 tries", "same command again"):
        run(tmp_path, archive)
    assert (tmp_path / ".cifar10_c.a.tar.part").stat().st_size == 30_000
    server.asked.clear()
    run(tmp_path, archive)
    assert server.asked == [("a.tar", "bytes=30000-")]
    assert without_record(tmp_path / "cifar10_c") == files


def test_a_server_without_ranges_starts_from_zero(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [30_000]
    run(tmp_path, serve(server, tar(files), tuple(files)))
    assert [wanted for _, wanted in server.asked] == ["", "bytes=30000-"]
    assert without_record(tmp_path / "cifar10_c") == files


def test_a_part_that_is_whole_already_is_taken(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    content = tar(files)
    archive = serve(server, content, tuple(files))
    (tmp_path / ".cifar10_c.a.tar.part").write_bytes(content)
    run(tmp_path, archive)
    assert server.asked == [("a.tar", f"bytes={len(content)}-")]
    assert without_record(tmp_path / "cifar10_c") == files


def test_a_part_of_a_longer_file_is_dropped(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    content = tar(files)
    (tmp_path / ".cifar10_c.a.tar.part").write_bytes(content + b"x")
    run(tmp_path, serve(server, content, tuple(files)))
    assert [wanted for _, wanted in server.asked] == [f"bytes={len(content) + 1}-", ""]
    assert without_record(tmp_path / "cifar10_c") == files


def test_a_busy_server_is_asked_again(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    server.status = [503, 429]
    run(tmp_path, serve(server, tar(files), tuple(files)))
    assert len(server.asked) == 3
    server.status = [503] * 3
    with refused(UserError, "answers 503", "after 3 tries"):
        run(tmp_path / "other", serve(server, tar(files), tuple(files)))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_there_is_asked_for_once(
    server: Archives, files: dict[str, bytes], tmp_path: Path, status: int
) -> None:
    server.status = [status]
    archive = serve(server, tar(files), tuple(files))
    with refused(UserError, archive.url, f"answers {status}", untouched=tmp_path):
        run(tmp_path, archive)
    assert len(server.asked) == 1


def test_a_host_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with refused(UserError, "http://127.0.0.1:9/a.tar", "cannot be reached", "after 3 tries", untouched=tmp_path):
        run(tmp_path, Archive("http://127.0.0.1:9/a.tar", None, ("fog.npy",)))


def test_a_wrong_checksum_keeps_the_file_aside_and_the_next_run_starts_anew(
    server: Archives, files: dict[str, bytes], tmp_path: Path
) -> None:
    content = tar(files)
    archive = serve(server, content, tuple(files))
    server.files["a.tar"] = b"<html>" + content[6:]
    wrong = tmp_path / ".cifar10_c.a.tar.wrong"
    with refused(DamagedData, archive.url, md5(content), md5(server.files["a.tar"]), wrong, "same command again"):
        run(tmp_path, archive)
    assert on_disk(tmp_path) == {wrong.name: server.files["a.tar"]}
    server.files["a.tar"] = content
    run(tmp_path, archive)
    assert without_record(tmp_path / "cifar10_c") == files


def test_an_archive_that_is_none_is_kept_aside_and_the_next_run_starts_anew(
    server: Archives, files: dict[str, bytes], tmp_path: Path
) -> None:
    page = b"<html>sign in, please</html>" * 100
    archive = serve(server, page, tuple(files))
    kept = tmp_path / ".cifar10_c.a.tar.wrong"
    with refused(DamagedData, "the archive is damaged", kept, "same command again"):
        run(tmp_path, archive)
    assert on_disk(tmp_path) == {kept.name: page}
    run(tmp_path, serve(server, tar(files), tuple(files)))
    assert without_record(tmp_path / "cifar10_c") == files


def test_a_checksum_nobody_prints_is_recorded(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    content = tar(files)
    serve(server, content, ())
    fetched = run(tmp_path, Archive(server.url("a.tar"), None, tuple(files)))
    assert fetched.arrived == (Arrived("a.tar", md5(content), False),)
    record = (tmp_path / "cifar10_c" / RECORD).read_text()
    assert md5(content) in record
    assert server.url("a.tar") in record


@pytest.mark.parametrize("group", ["", "weather/"])
def test_several_archives_go_to_one_folder(
    server: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    files = folder_files(small_folders(monkeypatch))
    pieces = {
        name: {path: content for path, content in files.items() if path.startswith(name)} for name in ("fog", "snow")
    }
    archives = [serve(server, tar(piece, group), (name,), f"{name}.tar") for name, piece in pieces.items()]
    assert len(run(tmp_path, *archives, name="imagenet_c").arrived) == 2
    assert without_record(tmp_path / "imagenet_c") == {**pieces["fog"], **pieces["snow"]}
    shutil.rmtree(tmp_path / "imagenet_c" / "snow" / "3")
    server.asked.clear()
    assert [one.filename for one in run(tmp_path, *archives, name="imagenet_c").arrived] == ["snow.tar"]
    assert server.asked == [("snow.tar", "")]
    assert without_record(tmp_path / "imagenet_c") == {**pieces["fog"], **pieces["snow"]}


def test_nothing_of_the_users_is_replaced(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    mine = write(tmp_path / "cifar10_c", {"fog.npy": b"mine"})
    archive = serve(server, tar(files), tuple(files))
    with refused(UserError, mine / "fog.npy", "in the way", "move it away"):
        run(tmp_path, archive)
    assert (mine / "fog.npy").read_bytes() == b"mine"
    (mine / "fog.npy").unlink()
    server.asked.clear()
    run(tmp_path, archive)
    assert server.asked == []  # the archive was kept
    assert without_record(mine) == files


def test_leftovers_of_a_kill_while_unpacking(server: Archives, files: dict[str, bytes], tmp_path: Path) -> None:
    content = tar(files)
    (tmp_path / ".cifar10_c.a.tar").write_bytes(content)
    write(tmp_path / ".cifar10_c.a.tar.unpacked", {"fog.npy": b"half"})
    write(tmp_path / "cifar10_c", {"labels.npy": files["labels.npy"]})
    run(tmp_path, serve(server, content, tuple(files)))
    assert server.asked == []
    assert without_record(tmp_path / "cifar10_c") == files
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10_c"]


def test_a_disk_with_too_little_room_is_told_before(
    server: Archives, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    with refused(UserError, tmp_path, "expected 0.0 GB of free space", "--data-dir", untouched=tmp_path):
        run(tmp_path, serve(server, tar(files), tuple(files)))


def test_a_full_disk(
    server: Archives, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, name: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("robustbench_msda.data.fetch_unpack.shutil.copyfileobj", lambda *_: full(tmp_path, tmp_path))
    archive = serve(server, tar(files), tuple(files))
    with refused(UserError, f"cannot fetch cifar10_c into {tmp_path}", "No space left on device", "same command again"):
        run(tmp_path, archive)
    assert [path.name for path in tmp_path.iterdir()] == [".cifar10_c.a.tar"]


def test_a_data_set_is_fetched_and_prepared(server: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 50, 10)
    folder, _ = write_cifar10(tmp_path / "official" / "cifar-10-batches-py")
    content = tar(on_disk(folder), "cifar-10-batches-py/", "w:gz")
    archive = serve(server, content, ())
    data_dir = tmp_path / "data"
    fetched = run(data_dir, archive, name="cifar10")
    assert fetched == Fetched(data_dir / "cifar10", (Arrived("a.tar", md5(content), True),))
    assert len(open_dataset("cifar10", data_dir).labels("test")) == 10
    assert [path.name for path in data_dir.iterdir()] == ["cifar10"]
    server.asked.clear()
    assert run(data_dir, archive, name="cifar10").arrived == ()
    assert server.asked == []


def test_a_data_set_of_four_files_is_fetched_and_prepared(
    server: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch, "fashion_mnist", 10, 10)
    labels = np.arange(10)
    data = {split: (np.full((10, 28, 28), level), labels) for split, level in (("train", 7), ("test", 9))}
    files = on_disk(write_idx(tmp_path / "official", data, suffix=".gz"))
    archives = [serve(server, content, (), name) for name, content in sorted(files.items())]
    data_dir, kept = tmp_path / "data", tmp_path / "data" / ".fashion_mnist.files"
    server.cuts = [10_000, 10_000, 10, 0, 0]
    with refused(UserError, archives[2].url, "after 3 tries", "same command again"):
        run(data_dir, *archives, name="fashion_mnist")
    names = [each.filename for each in archives]
    assert sorted(path.name for path in kept.iterdir()) == [*names[:2], f"{names[2]}.part"]
    server.asked.clear()
    fetched = run(data_dir, *archives, name="fashion_mnist")
    assert server.asked == [(names[2], "bytes=10-"), (names[3], "")]
    assert fetched.arrived == tuple(Arrived(name, md5(files[name]), True) for name in names)
    assert (open_dataset("fashion_mnist", data_dir).images("test")[:] == 9).all()
    assert [path.name for path in data_dir.iterdir()] == ["fashion_mnist"]
    assert run(data_dir, *archives, name="fashion_mnist").arrived == ()


def test_a_prepared_data_set_that_is_damaged_is_not_fetched_over(server: Archives, tmp_path: Path) -> None:
    write(tmp_path / "cifar10", {"note.txt": b"x"})
    with refused(DamagedData, tmp_path / "cifar10" / "meta.json"):
        run(tmp_path, serve(server, b"", ()), name="cifar10")
    assert server.asked == []


@pytest.mark.parametrize("name", ["cifar10_p", "CIFAR-100-P", "imagenet", "imagenet100-64"])
def test_what_cannot_be_fetched_says_what_to_do(tmp_path: Path, name: str) -> None:
    with refused(UserError, "https://", "data folder", untouched=tmp_path):
        fetch(name, tmp_path)


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with refused(UnknownName, "Did you mean", "cifar10_c", untouched=tmp_path):
        fetch("cifar10_d", tmp_path)


def test_the_table_is_complete_and_sound() -> None:
    for name, download in DOWNLOADS.items():
        assert bool(download.archives) != bool(download.instruction), name
        for archive in download.archives:
            assert archive.url.startswith("https://" if archive.md5 is None else "http")
            bare = name in LAYOUTS and archive.filename in LAYOUTS[name].tops
            assert bare or archive.filename.endswith((".tar", ".tar.gz", ".zip", "-ubyte.gz"))
            assert archive.md5 is None or (len(archive.md5) == 32 and int(archive.md5, 16) >= 0)


def test_the_checksums_are_those_of_the_reference(reference: Path) -> None:
    import json

    known = json.loads((reference / "reference" / "downloads.json").read_text())
    for name in ("cifar10_c", "cifar100_c"):
        assert DOWNLOADS[name].archives[0].md5 == known[name]["md5"]
        assert set(DOWNLOADS[name].archives[0].holds) == set(known[name]["files_md5"])
    assert {archive.url: archive.md5 for archive in DOWNLOADS["imagenet_c"].archives} == known["imagenet_c"]
    pattern, names = (known["imagenet_3dcc"][key] for key in ("url_pattern", "corruptions"))
    assert [archive.url for archive in DOWNLOADS["imagenet_3dcc"].archives] == [
        pattern.format(corruption=corruption) for corruption in names
    ]


def test_the_cifar_archives_are_those_torchvision_fetches() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100

    for name, theirs in (("cifar10", CIFAR10), ("cifar10_40k", CIFAR10), ("cifar100", CIFAR100)):
        assert DOWNLOADS[name].archives == (Archive(theirs.url, theirs.tgz_md5),)


def test_progress_tells_the_bytes_and_the_waiting(
    server: Archives, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_http, "MEGABYTE", 1000)
    content = tar(files)
    server.files["a.tar"], server.cuts = content, [30_000]
    told: list[tuple[int, int, str]] = []
    fetch_http.download(
        server.url("a.tar"), tmp_path / "part", lambda done, total, note="": told.append((done, total, note)), PAUSES
    )
    whole = len(content) // 1000
    assert told[-1] == (whole, whole, "")
    assert [note for _, _, note in told if note] == [
        f"the connection was cut at 30,000 of {len(content):,} bytes: again in 0 s"
    ]
