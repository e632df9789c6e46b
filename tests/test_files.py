from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_msda.errors import UserError
from robustbench_msda.files import write_text, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_into_folders_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert names(path.parent) == ["file.txt"]


def test_a_reader_meets_the_old_content_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        seen.append(path.read_text())
        assert temporary.parent == path.parent
        temporary.write_text("new")

    write_whole(path, write)
    assert seen == ["old"]
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_keeps_the_old_content_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError) as caught:
        write_whole(path, write)
    assert str(caught.value) == f"cannot write {path}: No space left on device; free space or choose another folder"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not stop root, so the refusal of the system is simulated."""
    path = tmp_path / "file"
    write_text(path, "old")

    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(UserError, match=r"cannot write .*file: Permission denied"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_file_where_a_folder_should_be_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "taken" / "file", "text")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_other_failures_pass_through_and_leave_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise error

    with pytest.raises(error):
        write_whole(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


OFTEN = """
import sys
from pathlib import Path
from robustbench_msda.files import write_text

for _ in range(100):
    write_text(Path(sys.argv[1]), sys.argv[2] * 5000)
"""


def test_processes_that_write_one_file_at_once_leave_one_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "a" * 5000)
    writers = [subprocess.Popen([sys.executable, "-c", OFTEN, str(path), letter]) for letter in "bc"]
    seen = {path.read_text()}
    while any(writer.poll() is None for writer in writers):
        seen.add(path.read_text())
    assert [writer.wait() for writer in writers] == [0, 0]
    assert path.read_text()[0] in "bc"
    assert seen <= {letter * 5000 for letter in "abc"}
    assert names(tmp_path) == ["file"]
