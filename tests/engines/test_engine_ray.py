"""A real Ray cluster of two nodes on this machine, one of which is killed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from processes import alive, below, end, title, within
from small_study import begin, kept
from test_engine_local import die, fail, note

from robustbench_msda.engines import Outcome, Workers, WorkItem, run_items
from robustbench_msda.errors import UserError

pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = pytest.mark.extras


@dataclass
class Nodes:
    """Two nodes of one CPU each, every process they ever had, and how to join them."""

    address: str
    env: dict[str, str]
    head: subprocess.Popen[bytes]
    other: subprocess.Popen[bytes]
    seen: set[int] = field(default_factory=set)

    def look(self) -> set[int]:
        """Return the processes of the other node, and remember those of both."""
        of_other = below(self.other.pid)
        self.seen |= below(self.head.pid) | of_other
        return of_other

    def raylet(self) -> int:
        """Return the process that is the other node; 0 where it is not there yet."""
        return next((pid for pid in self.look() if Path(title(pid).partition(" ")[0]).name == "raylet"), 0)

    def task(self) -> str:
        """Return what the other node trains now; nothing where it does not."""
        titles = (title(pid) for pid in self.look())
        return next((each.removeprefix("ray::train ") for each in titles if each.startswith("ray::train ")), "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(*arguments: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a node and wait until it is there: two that start at once on a busy machine are too slow for Ray."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--object-store-memory=100000000"]
    told = Path(env["HOME"]) / f"{secrets.token_hex(4)}.log"
    with told.open("wb") as log:
        node = subprocess.Popen([*command, *arguments, "--block"], env=env, stdout=log, stderr=log)
    if not within(100, lambda: "Ray runtime started" in told.read_text() or node.poll() is not None) or node.poll():
        stop(node)
        pytest.fail(told.read_text())
    return node


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    # A short path: the names of sockets have little room.
    with tempfile.TemporaryDirectory(prefix="ray") as home:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        env = {**os.environ, **token, "HOME": home, "RAY_USAGE_STATS_ENABLED": "0"}
        port = free_port()
        address = f"127.0.0.1:{port}"
        own = ("--min-worker-port=41000", "--max-worker-port=41099", f"--temp-dir={home}/ray")
        head = start("--head", f"--port={port}", "--include-dashboard=false", *own, env=env)
        try:
            other = start(f"--address={address}", "--min-worker-port=41100", "--max-worker-port=41199", env=env)
            nodes = Nodes(address, env, head, other)
            try:
                yield nodes
            finally:
                nodes.look()
                stop(other)
                stop(head)
                # The children of a node that was killed leave by themselves, a moment later.
                left = within(20, lambda: not any(alive(pid) for pid in nodes.seen))
                end(nodes.seen)
                assert left, "processes outlived their nodes"
        finally:
            stop(head)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.mark.timeout(2400)
def test_a_node_that_dies_half_way_changes_no_byte(tmp_path: Path, by_local_processes: dict[str, bytes]) -> None:
    with two_nodes() as nodes:
        study = begin(tmp_path, "--engine=ray", f"--address={nodes.address}", env=nodes.env)
        try:
            raylet = nodes.raylet()
            lost: list[Path] = []

            def half_way() -> bool:
                """Note which training the other node is at, once some training is done."""
                name = nodes.task()
                if name and list(tmp_path.glob("runs/*/checkpoint.safetensors")):
                    lost.append(tmp_path / "runs" / name / "checkpoint.safetensors")
                return bool(lost)

            assert within(600, lambda: half_way() or study.poll() is not None)
            os.kill(raylet, signal.SIGKILL)
            assert [path.exists() for path in lost] == [False]
            _, told = study.communicate(timeout=900)
        finally:
            end({study.pid} if study.poll() is None else ())
            study.communicate()
    assert study.returncode == 0, told
    assert "failed:" not in told
    assert kept(tmp_path) == by_local_processes
    assert len(list((tmp_path / "results").rglob("*.npz"))) == 4 * 5


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray keeps its token at home, and reads it once in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.chdir(Path(__file__).parent)
        yield


def test_a_cluster_of_our_own_works_as_local_processes_do(
    tmp_path: Path, own_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustbench_msda.engines import ray_cluster

    monkeypatch.setattr(ray_cluster, "RETRIES", 0)
    a, b, c, d = (tmp_path / name for name in "abcd")
    told: list[tuple[int, int]] = []
    items = [
        WorkItem("a", partial(note, a, b)),  # a and b wait for each other
        WorkItem("b", partial(note, b, a)),
        WorkItem("broken", partial(fail, "it is\nbroken")),
        WorkItem("c", partial(note, c), ("a", "b")),
        WorkItem("d", partial(note, d), ("broken",)),
        WorkItem("killed", die),
    ]
    outcomes = run_items(items, Workers(2, 1, "ray"), lambda done, total, note="": told.append((done, total)))
    assert outcomes[:5] == [
        Outcome("a"),
        Outcome("b"),
        Outcome("broken", "it is broken"),
        Outcome("c"),
        Outcome("d", "not begun: it needs broken"),
    ]
    assert outcomes[5].error.startswith("WorkerCrashedError: ")
    assert not d.exists()
    assert {path.read_text().split()[1] for path in (a, b, c)} == {"1"}
    assert a.stat().st_mtime_ns < c.stat().st_mtime_ns
    assert told == sorted(told)
    assert told[-1] == (6, 6)


def test_an_interruption_ends_what_runs(tmp_path: Path, own_home: None) -> None:
    began = tmp_path / "began"

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    def first() -> None:
        assert within(60, lambda: began.exists() and began.read_text())

    items = [WorkItem("never ends", partial(note, began, tmp_path / "never")), WorkItem("first", first)]
    with pytest.raises(KeyboardInterrupt):
        run_items(items, Workers(2, 1, "ray"), interrupt)
    assert within(10, lambda: not alive(int(began.read_text().split()[0])))


def test_what_ray_cannot_do_is_told_in_one_line(own_home: None) -> None:
    with pytest.raises(UserError, match=r"^--engine ray: --address 127\.0\.0\.1:1: no cluster lets us in [^\n]+$"):
        run_items([], Workers(1, 1, "ray", address="127.0.0.1:1"))
    with pytest.raises(UserError, match=r"does not start [^\n]*not_an_option[^\n]*check --engine-option$"):
        run_items([], Workers(1, 1, "ray", options={"not_an_option": 1}))


def test_an_item_that_fits_on_no_node_is_not_waited_for() -> None:
    from robustbench_msda.engines.ray_cluster import check_fits, share

    nodes = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}]
    check_fits(nodes, 8, 1)
    for threads, gpus in ((9, 0), (1, 2), (9, 1)):
        with pytest.raises(UserError, match=f"asks for {threads} CPUs and {gpus} GPUs, and no node has them"):
            check_fits(nodes, threads, gpus)
    assert [share(nodes, count) for count in (1, 2, 3, 12, 50)] == [8, 6, 4, 1, 1]
