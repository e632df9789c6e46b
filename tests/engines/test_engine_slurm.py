"""Jobs through submitit, whose local executor stands in for Slurm: the same code but for sbatch."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from processes import alive, below, end, within
from small_study import begin, kept
from test_engine_local import die, fail, note

from robustbench_msda.engines import Outcome, Workers, WorkItem, run_items
from robustbench_msda.errors import UserError

submitit = pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
pytestmark = pytest.mark.extras

LOCAL = {"cluster": "local"}


@pytest.mark.timeout(2400)
def test_a_study_of_jobs_leaves_the_same_bytes(tmp_path: Path, by_local_processes: dict[str, bytes]) -> None:
    study = begin(tmp_path, "--engine=slurm", "--engine-option=cluster=local")
    try:
        _, told = study.communicate(timeout=1200)
    finally:
        end({study.pid} if study.poll() is None else ())
        study.communicate()
    assert study.returncode == 0, told
    assert kept(tmp_path) == by_local_processes
    assert len(list(tmp_path.glob("runs/.slurm/*_result.pkl"))) == 8


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs find these tests by the folder they are in."""
    monkeypatch.chdir(Path(__file__).parent)


def queue(tmp_path: Path, **options: object) -> Workers:
    return Workers(2, 1, "slurm", options=LOCAL | options, logs=tmp_path / ".slurm")


@pytest.mark.timeout(300)
def test_jobs_are_done_in_order_and_what_fails_is_named(tmp_path: Path, here: None) -> None:
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
    outcomes = run_items(items, queue(tmp_path), lambda done, total, note="": told.append((done, total)))
    assert outcomes[:5] == [
        Outcome("a"),
        Outcome("b"),
        Outcome("broken", "it is broken"),
        Outcome("c"),
        Outcome("d", "not begun: it needs broken"),
    ]
    assert not d.exists()
    before, _, log = outcomes[5].error.partition("; see ")
    assert before.startswith("job ")
    assert Path(log).parent == tmp_path / ".slurm"
    assert Path(log).exists()
    assert {path.read_text().split()[1] for path in (a, b, c)} == {"1"}
    assert a.stat().st_mtime_ns < c.stat().st_mtime_ns
    assert told == sorted(told)
    assert told[-1] == (6, 6)


# submitit leaves the burial of what it has cancelled to the system.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(200)
def test_an_interruption_ends_the_jobs(tmp_path: Path, here: None) -> None:
    began = tmp_path / "began"

    def interrupt(done: int, total: int, note: str = "") -> None:
        if began.exists() and began.read_text():
            raise KeyboardInterrupt

    before = below(os.getpid())
    with pytest.raises(KeyboardInterrupt):
        run_items([WorkItem("never ends", partial(note, began, tmp_path / "no"))], queue(tmp_path), interrupt)
    assert within(20, lambda: not alive(int(began.read_text().split()[0])))
    assert within(20, lambda: not [pid for pid in below(os.getpid()) - before if alive(pid)])


def cut_off(times: Path) -> None:
    """Be told, as a job is at the end of its time, to make room; the second time there is time enough."""
    import signal

    earlier = int(times.read_text()) if times.exists() else 0
    times.write_text(str(earlier + 1))
    if not earlier:
        os.kill(os.getpid(), getattr(signal, "SIG" + submitit.JobEnvironment.USR_SIG))


@pytest.mark.timeout(200)
def test_a_job_that_is_cut_off_goes_on(tmp_path: Path, here: None) -> None:
    times = tmp_path / "times"
    assert run_items([WorkItem("a", partial(cut_off, times))], queue(tmp_path)) == [Outcome("a")]
    assert times.read_text() == "2"


def test_without_slurm_the_mistake_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"^--engine slurm: no srun here; [^\n]+ cluster=local$"):
        run_items([], Workers(1, 1, "slurm", logs=tmp_path))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slurm_partitoin": "gpu"}, "slurm_partitoin"),
        ({"timeout_min": "long"}, "timeout_min"),
        ({"cluster": "pbs"}, "pbs"),
    ],
)
def test_options_that_submitit_does_not_know_are_one_line(
    tmp_path: Path, options: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=rf"^--engine slurm: [^\n]*{told}[^\n]*--engine-option"):
        run_items([], queue(tmp_path, **options))


SBATCH = """#!/bin/sh
cp "$1" "{kept}"
echo "Submitted batch job 7"
"""


def test_what_is_ready_is_one_array_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an sbatch that only keeps what it is given."""
    from robustbench_msda.engines.slurm import opened

    for name, text in (("sbatch", SBATCH.format(kept=tmp_path / "kept.sh")), ("srun", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    options = {"slurm_partition": "gpu", "slurm_account": "lab", "slurm_time": "12:30:00"}
    slurm = opened(Workers(3, 2, "slurm", options=options, logs=tmp_path / ".slurm"))
    jobs = slurm.submit([WorkItem(name, print, gpus=1) for name in "abcde"])
    assert [job.job_id for job in jobs] == [f"7_{k}" for k in range(5)]
    lines = (tmp_path / "kept.sh").read_text().splitlines()
    wanted = {"array=0-4%3", "partition=gpu", "account=lab", "time=12:30:00", "cpus-per-task=2", "gpus-per-node=1"}
    assert wanted <= {line.removeprefix("#SBATCH --") for line in lines}
