"""Slurm, through submitit: the items that are ready become one array of jobs.

A job that is preempted or reaches its time limit is put back and goes on where its files are. All machines share the
files: Slurm moves jobs, not data.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import submitit

from robustbench_msda.engines.local import cores
from robustbench_msda.engines.placing import do_elsewhere, spread
from robustbench_msda.engines.work import Outcome, Workers, WorkItem
from robustbench_msda.errors import UserError
from robustbench_msda.progress import Progress

# submitit's own limit is five minutes. Four hours fit every queue we know of, and a job that is cut off goes on.
TIMEOUT_MIN = 240
TIMEOUTS = 50
# Slurm's MaxArraySize is 1001 unless a site has changed it.
ARRAY = 1000
POLL_S = 1.0


def run(items: Sequence[WorkItem], workers: Workers, progress: Progress) -> list[Outcome]:
    """Do every item whose needs could be done and return what became of each (see ``engines.run_items``).

    The option ``cluster`` says where: ``slurm`` unless it is given, ``local`` for processes of this machine; all others
    go to submitit's ``update_parameters``.

    Raises:
        UserError: Slurm is not here, refuses the jobs, or an option is not one of submitit's.
    """
    queue = opened(workers)
    try:
        return spread(items, queue, progress)
    except BaseException:
        queue.cancel()
        raise


def opened(workers: Workers) -> Queue:
    """Return the queue that ``workers`` describe.

    Raises:
        UserError: it is not here, or an option is not one of submitit's.
    """
    options = {**workers.options}
    cluster = str(options.pop("cluster", "slurm"))
    if cluster == "slurm" and not shutil.which("srun"):
        remedy = "run this on a machine of a Slurm cluster, or try it with --engine-option cluster=local"
        raise UserError(f"--engine slurm: no srun here; {remedy}")
    # Nobody queues on this machine: there the number at once is ours to keep.
    room = ARRAY if cluster == "slurm" else workers.count
    threads = workers.threads or (1 if cluster == "slurm" else max(1, cores() // workers.count))
    settings = {
        "name": "robustbench-msda",
        "timeout_min": TIMEOUT_MIN,
        "cpus_per_task": threads,
        "slurm_array_parallelism": workers.count,
    }
    try:
        executor = submitit.AutoExecutor(
            workers.logs.resolve(), cluster, slurm_max_num_timeout=TIMEOUTS, local_max_num_timeout=TIMEOUTS
        )
        executor.update_parameters(**(settings | options))
    except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise UserError(f"--engine slurm: {told}; see submitit's AutoExecutor for what --engine-option takes") from None
    return Queue(room, executor, Sender(str(Path.cwd()), threads))


@dataclass(frozen=True)
class Sender:
    """What a job does, in a form that submitit can put back into the queue.

    Attributes:
        folder: where items are done.
        threads: of each.
    """

    folder: str
    threads: int

    def __call__(self, item: WorkItem) -> Outcome:
        """Do ``item`` on the machine of the job."""
        return do_elsewhere(item, self.folder, self.threads)

    def checkpoint(self, item: WorkItem) -> submitit.helpers.DelayedSubmission:
        """Return what a job that is cut off does when its turn comes again: the same, which goes on where it was."""
        return submitit.helpers.DelayedSubmission(self, item)


@dataclass(frozen=True)
class Queue:
    """Where jobs are sent.

    Attributes:
        room: how many may be in it.
        executor: submitit's.
        sender: what a job does.
        jobs: all that were sent.
    """

    room: int
    executor: submitit.AutoExecutor
    sender: Sender
    jobs: list[submitit.Job[Outcome]] = field(default_factory=list)

    def submit(self, items: Sequence[WorkItem]) -> Sequence[submitit.Job[Outcome]]:
        """Send ``items``, an array of jobs for each number of GPUs that follow one another.

        Raises:
            UserError: Slurm refuses them.
        """
        sent: list[submitit.Job[Outcome]] = []
        for gpus, alike in groupby(items, key=lambda item: item.gpus):
            self.executor.update_parameters(gpus_per_node=gpus)
            try:
                jobs = self.executor.map_array(self.sender, list(alike))
            except (OSError, RuntimeError) as error:
                raise UserError(f"--engine slurm: sbatch refuses: {' '.join(str(error).split())}") from None
            self.jobs.extend(jobs)
            sent += jobs
        return sent

    def finished(self, running: Mapping[submitit.Job[Outcome], WorkItem]) -> Mapping[submitit.Job[Outcome], Outcome]:
        """Wait a moment and return what became of those of ``running`` that are done."""
        done = {job: self._outcome(job, item) for job, item in running.items() if job.done()}
        if not done:
            time.sleep(POLL_S)
        return done

    def _outcome(self, job: submitit.Job[Outcome], item: WorkItem) -> Outcome:
        if job.exception() is None:
            outcome: Outcome = job.result()
            return outcome
        return Outcome(item.id, f"job {job.job_id} ended without an answer ({job.state}); see {job.paths.stderr}")

    def cancel(self) -> None:
        """End what has been sent and is not done."""
        for job in still(self.jobs):
            job.cancel(check=False)


def still(jobs: Iterable[submitit.Job[Outcome]]) -> list[submitit.Job[Outcome]]:
    """Return those of ``jobs`` that are not done."""
    return [job for job in jobs if not job.done()]
