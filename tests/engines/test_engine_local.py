from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from robustbench_msda.engines import Outcome, WorkItem, local, run
from robustbench_msda.errors import UserError


def fail(text: str) -> None:
    raise UserError(text)


def note(path: Path, other: Path | None = None) -> None:
    """Write the process and its threads to ``path``, then wait until ``other`` is there."""
    import torch

    path.write_text(f"{os.getpid()} {torch.get_num_threads()}")
    deadline = time.monotonic() + 60
    while other is not None and not other.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{other} never came")
        time.sleep(0.01)


def die() -> None:
    """End this process as the system does when memory runs out: at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_works_here_in_order_and_goes_on_after_failures() -> None:
    done: list[str] = []
    told: list[tuple[int, int]] = []
    items = [
        WorkItem("a", partial(done.append, "a")),
        WorkItem("b", partial(fail, "b is\nbroken"), ("a",)),
        WorkItem("c", partial(done.append, "c"), ("b",)),
        WorkItem("d", partial(done.append, "d"), ("c", "a")),
        WorkItem("e", partial(done.append, "e"), ("a",)),
        WorkItem("f", partial(int, "x")),
    ]
    outcomes = run(items, threads=1, progress=lambda done, total, note="": told.append((done, total)))
    assert done == ["a", "e"]
    assert outcomes == [
        Outcome("a"),
        Outcome("b", "b is broken"),
        Outcome("c", "not begun: it needs b"),
        Outcome("d", "not begun: it needs c"),
        Outcome("e"),
        Outcome("f", "ValueError: invalid literal for int() with base 10: 'x'"),
    ]
    assert told == [(i, 6) for i in range(7)]


def test_an_interruption_is_no_failure_of_the_item() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([WorkItem("a", interrupt)], threads=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_work_is_no_outcome(workers: int) -> None:
    assert run([], workers, threads=1) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_work_that_cannot_be_ordered_is_refused_before_any_is_done(workers: int, tmp_path: Path) -> None:
    items = [WorkItem("a", (tmp_path / "a").touch), WorkItem("b", (tmp_path / "b").touch, ("c",))]
    with pytest.raises(ValueError, match="expected the needs of 'b' before it"):
        run(items, workers, threads=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_counted_from_one(workers: int) -> None:
    with pytest.raises(ValueError, match="expected at least one worker"):
        run([], workers)


def test_two_workers_work_elsewhere_at_once_and_in_order(tmp_path: Path) -> None:
    a, b, c, d, f = (tmp_path / name for name in "abcdf")
    told: list[tuple[int, int]] = []
    items = [
        WorkItem("a", partial(note, a, b)),  # a and b wait for each other
        WorkItem("b", partial(note, b, a)),
        WorkItem("broken", partial(fail, "it is\nbroken")),
        WorkItem("c", partial(note, c), ("a", "b")),
        WorkItem("d", partial(note, d), ("broken",)),
        WorkItem("e", lambda: None),  # cannot be pickled
        WorkItem("f", partial(note, f), ("c",)),
    ]
    outcomes = run(items, 2, threads=1, progress=lambda done, total, note="": told.append((done, total)))
    errors = {outcome.id: outcome.error for outcome in outcomes}
    assert list(errors) == [item.id for item in items]
    assert "pickle" in errors.pop("e")
    assert errors == {"a": "", "b": "", "broken": "it is broken", "c": "", "d": "not begun: it needs broken", "f": ""}
    assert not d.exists()
    pids, threads = zip(*(path.read_text().split() for path in (a, b, c, f)), strict=True)
    assert len(set(pids)) == 2
    assert str(os.getpid()) not in pids
    assert set(threads) == {"1"}
    times = [path.stat().st_mtime_ns for path in (a, b, c, f)]
    assert max(times[:2]) < times[2] < times[3]
    assert told == sorted(told)
    assert told[-1] == (7, 7)


@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_takes_down_only_what_was_under_way(tmp_path: Path) -> None:
    items = [
        WorkItem("first", (tmp_path / "first").touch),
        WorkItem("killed", die, ("first",)),
        WorkItem("needs killed", (tmp_path / "needs").touch, ("killed",)),
        WorkItem("needs first", (tmp_path / "second").touch, ("first",)),
        *(WorkItem(f"free {i}", (tmp_path / f"free {i}").touch) for i in range(4)),
    ]
    errors = {outcome.id: outcome.error for outcome in run(items, 2, threads=1)}
    assert errors["first"] == ""
    assert errors["killed"].startswith("BrokenProcessPool: ")
    assert errors["needs killed"] == "not begun: it needs killed"
    # What the other worker did at that moment may be lost with it, and nothing else.
    lost = [name for name, error in errors.items() if error.startswith("BrokenProcessPool: ")]
    assert len(lost) <= 2
    for i in range(4):
        assert (tmp_path / f"free {i}").exists() or f"free {i}" in lost


PARENT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_engine_local import note
from robustbench_msda.engines import WorkItem, run

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run([WorkItem(name, partial(note, folder / name, folder / "never")) for name in "ab"], 2, threads=1)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


@pytest.mark.slow
def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)])
    notes = [tmp_path / name for name in "ab"]
    assert within(60, lambda: all(path.exists() and path.read_text() for path in notes))
    workers = [int(path.read_text().split()[0]) for path in notes]
    assert all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait()
    assert within(10, lambda: not any(alive(pid) for pid in workers))


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert local.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert local.cores() == 6


def test_work_in_this_process_leaves_its_threads_as_they_were() -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    run([WorkItem("a", lambda: seen.append(torch.get_num_threads()))], threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
