"""What the engines share, and what can be said of each without its library."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from test_engine_local import fail

from robustbench_msda.engines import Outcome, Workers, WorkItem, run, run_items
from robustbench_msda.engines.local import visible_gpus
from robustbench_msda.engines.placing import do_elsewhere, spread
from robustbench_msda.errors import UserError


def item(name: str, *needs: str) -> WorkItem:
    return WorkItem(name, print, needs)


class Desk:
    """A place that does one item a look, in the order they came, and fails those it is told to."""

    def __init__(self, room: int, failing: Sequence[str] = ()) -> None:
        self.room = room
        self.failing = failing
        self.submitted: list[list[str]] = []
        self.most = 0

    def submit(self, items: Sequence[WorkItem]) -> Sequence[str]:
        self.submitted.append([item.id for item in items])
        return [f"handle of {item.id}" for item in items]

    def finished(self, running: Mapping[str, WorkItem]) -> Mapping[str, Outcome]:
        self.most = max(self.most, len(running))
        handle = next(iter(running))
        name = running[handle].id
        return {handle: Outcome(name, "broken" if name in self.failing else "")}


ITEMS = [item("a"), item("b"), item("c", "a"), item("d", "a", "b"), item("e", "c", "d"), item("f")]


@pytest.mark.parametrize(
    ("room", "submitted"),
    [
        (1, [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        (2, [["a", "b"], ["c"], ["d"], ["f"], ["e"]]),
        (9, [["a", "b", "f"], ["c"], ["d"], ["e"]]),
    ],
)
def test_what_is_ready_is_handed_out_together_and_never_more_than_there_is_room_for(
    room: int, submitted: list[list[str]]
) -> None:
    desk = Desk(room)
    told: list[tuple[int, int]] = []
    outcomes = spread(ITEMS, desk, lambda done, total, note="": told.append((done, total)))
    assert outcomes == [Outcome(name) for name in "abcdef"]
    assert desk.submitted == submitted
    assert desk.most <= room
    assert told[0] == (0, 6)
    assert told[-1] == (6, 6)


def test_what_needs_a_failure_is_never_handed_out() -> None:
    desk = Desk(9, failing=["c"])
    notes: list[str] = []
    outcomes = spread(ITEMS, desk, lambda done, total, note="": notes.append(note))
    assert outcomes[4] == Outcome("e", "not begun: it needs c")
    assert [outcome.id for outcome in outcomes if outcome.error] == ["c", "e"]
    assert "e" not in sum(desk.submitted, [])
    assert notes[-1] == "2 failed: not begun: it needs c"


def test_an_item_is_done_in_the_senders_folder_with_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    before = torch.get_num_threads()
    seen: list[tuple[Path, int]] = []
    try:
        look = WorkItem("a", lambda: seen.append((Path.cwd(), torch.get_num_threads())))
        assert do_elsewhere(look, str(tmp_path), before + 1) == Outcome("a")
    finally:
        torch.set_num_threads(before)
    assert seen == [(tmp_path, before + 1)]
    assert do_elsewhere(WorkItem("b", partial(fail, "it is\nbroken")), str(tmp_path), before).error == "it is broken"


def test_a_machine_without_the_senders_files_says_so(tmp_path: Path) -> None:
    outcome = do_elsewhere(WorkItem("a", (tmp_path / "a").touch), str(tmp_path / "nowhere"), 1)
    assert outcome.error.endswith(f"does not have {tmp_path / 'nowhere'}: all machines must share their files")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_says_how_to_get_it(
    engine: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ray_cluster", "slurm"):
        monkeypatch.delitem(sys.modules, f"robustbench_msda.engines.{name}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    told = f"--engine {engine}: {library} is not installed; run: pip install 'robustbench-msda[{engine}]'"
    with pytest.raises(UserError) as caught:
        run_items([], Workers(engine=engine))
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        (Workers(engine="rya"), "unknown engine 'rya'. Did you mean ray"),
        (Workers(address="auto"), "--address: processes of this machine have none"),
        (Workers(options={"a": 1}), "--engine-option: processes of this machine have none"),
        (Workers(engine="slurm", address="auto"), "--address: Slurm has none"),
    ],
)
def test_what_an_engine_does_not_have_is_refused_before_any_work(workers: Workers, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{told}[^\n]+$"):
        run_items([WorkItem("a", (tmp_path / "a").touch)], workers)
    assert not (tmp_path / "a").exists()


def test_the_local_engine_is_the_default(tmp_path: Path) -> None:
    assert run_items([WorkItem("a", (tmp_path / "a").touch)], Workers(threads=1)) == [Outcome("a")]
    assert (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="before it, got"):
        run_items([item("b", "a")], Workers(engine="ray"))


def note_gpu(path: Path, other: Path) -> None:
    """Write which GPU this process sees to ``path``, then wait until ``other`` is there."""
    path.write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    deadline = time.monotonic() + 60
    while not other.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize(("gpus", "seen"), [(1, {"3", "GPU-5"}), (0, {"3, GPU-5"})])
def test_each_worker_has_a_gpu_of_its_own_where_items_ask_for_one(
    gpus: int, seen: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5")
    a, b = tmp_path / "a", tmp_path / "b"
    calls = {"a": partial(note_gpu, a, b), "b": partial(note_gpu, b, a)}
    outcomes = run([WorkItem(name, call, gpus=gpus) for name, call in calls.items()], 2, threads=1)
    assert outcomes == [Outcome("a"), Outcome("b")]
    assert {a.read_text(), b.read_text()} == seen


def test_the_gpus_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert visible_gpus() == ["2", "0"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert visible_gpus() == ["0", "1", "2"]
