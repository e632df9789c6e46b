"""``data fetch`` and ``data check`` as a user meets them."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_server import Archives, serving
from benchmark_folders import array_files, on_disk, small_arrays, tar, write

from robustbench_msda.cli.main import status
from robustbench_msda.data.downloads import DOWNLOADS, Archive, Download

CHILD = """
import sys
from robustbench_msda.cli.main import status
from robustbench_msda.data.downloads import DOWNLOADS, Archive, Download
url, md5, data_dir = sys.argv[1:]
DOWNLOADS["tiny_imagenet_c"] = Download((Archive(url, md5, ("fog",)),))
sys.exit(status(["data", "fetch", "tiny-imagenet-c", "--data-dir", data_dir]))
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as archives:
        yield archives


def test_fetch_then_check(
    server: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = array_files(small_arrays(monkeypatch))
    server.files["CIFAR-10-C.tar"] = tar(files, "CIFAR-10-C/")
    md5 = hashlib.md5(server.files["CIFAR-10-C.tar"], usedforsecurity=False).hexdigest()
    archive = Archive(server.url("CIFAR-10-C.tar"), None, tuple(files))
    monkeypatch.setitem(DOWNLOADS, "cifar10_c", Download((archive,)))
    data_dir = ["--data-dir", str(tmp_path)]
    assert status(["data", "check", "cifar10-c", *data_dir]) == 1
    assert "not found" in capsys.readouterr().err
    assert status(["data", "fetch", "CIFAR-10-C", *data_dir]) == 0
    told = capsys.readouterr().out
    assert f"CIFAR-10-C.tar: md5 {md5} recorded, since none is published" in told
    assert f"{tmp_path / 'cifar10_c'}: complete" in told
    assert status(["data", "fetch", "cifar10-c", *data_dir]) == 0
    assert "was there already: nothing was fetched" in capsys.readouterr().out
    assert status(["data", "check", "cifar10-c", *data_dir]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["fog", "1"], ["fog", "2"], ["fog", "3"]]
    assert lines[-1].split()[:2] == ["cifar10_c", "found"]
    (tmp_path / "cifar10_c" / "snow.npy").unlink()
    assert status(["data", "check", "cifar10-c", *data_dir]) == 1
    told = capsys.readouterr()
    assert f"{tmp_path / 'cifar10_c'}: not there: snow.npy" in told.out
    assert told.err.startswith("error: cifar10_c: partial")
    assert "robustbench-msda data fetch cifar10_c" in told.err
    assert status(["data", "check", *data_dir]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "partial" in rows["cifar10_c"]
    assert "Google Drive" in rows["cifar100_p"]


def test_check_of_one_data_set_and_of_an_unknown_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["data", "check", "digits"]) == 0
    assert "embedded" in capsys.readouterr().out
    assert status(["data", "check", "imagnet-c", "--data-dir", str(tmp_path)]) == 1
    assert "Did you mean imagenet_c" in capsys.readouterr().err
    write(tmp_path / "cifar10", {"note.txt": b"x"})
    assert status(["data", "check", "cifar10", "--data-dir", str(tmp_path)]) == 1
    assert str(tmp_path / "cifar10" / "meta.json") in capsys.readouterr().err


def test_a_killed_fetch_goes_on_where_it_was(server: Archives, tmp_path: Path) -> None:
    content = tar({f"fog/{level}/n01/{name}.JPEG": bytes(50_000) for level in range(1, 6) for name in "ab"})
    server.files["a.tar"], server.pause = content, 0.05
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    arguments = [sys.executable, "-c", CHILD, server.url("a.tar"), md5, str(tmp_path)]
    part = tmp_path / ".tiny_imagenet_c.a.tar.part"
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as child:
        waited = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < waited:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    kept = part.stat().st_size
    assert 0 < kept < len(content)
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    server.asked.clear()
    server.pause = 0.0
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert server.asked == [("a.tar", f"bytes={kept}-")]
    assert f"a.tar: md5 {md5} verified" in done.stdout
    assert len([name for name in on_disk(tmp_path / "tiny_imagenet_c") if name.startswith("fog/")]) == 10


def test_an_interrupted_fetch_says_so(
    server: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("robustbench_msda.data.fetch.unpack", interrupted)
    server.files["a.tar"] = tar({"fog/1/n01/a.JPEG": b"x"})
    monkeypatch.setitem(DOWNLOADS, "imagenet_c", Download((Archive(server.url("a.tar"), None, ("fog",)),)))
    assert status(["data", "fetch", "imagenet-c", "--data-dir", str(tmp_path)]) == 130
    assert "the same command goes on where it was" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".imagenet_c.a.tar"]


def test_a_disk_that_is_full_while_fetching_is_one_line(server: Archives, tmp_path: Path) -> None:
    """A limit on file size stands for a disk that is full."""
    import resource

    server.files["a.tar"] = tar({"fog/1/n01/a.JPEG": bytes(200_000)})
    arguments = [sys.executable, "-c", CHILD, server.url("a.tar"), "0" * 32, str(tmp_path)]

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(arguments, capture_output=True, text=True, preexec_fn=small_disk, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: cannot fetch tiny_imagenet_c into {tmp_path}: File too large; free space")
