"""A Ray cluster: one that runs, or one of this machine's own that ends with the work.

Ray restarts what a node that dies was doing on another one; what an item itself raises is its outcome, as everywhere.
All machines share the files: Ray moves items, not data.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import RayError

from robustbench_msda.engines.placing import do_elsewhere, spread
from robustbench_msda.engines.work import Outcome, Workers, WorkItem, describe
from robustbench_msda.errors import UserError
from robustbench_msda.progress import Progress

# Nodes may go more than once in a long study; an item that takes its worker down each time must come to an end.
RETRIES = 5
# Ray itself asks for twenty minutes whether anybody is there.
CONNECT_S = 10.0
# Outcomes are a line of text: Ray's own share, a third of the memory, would only shut the networks out.
OBJECT_STORE = 100 * 2**20


def run(items: Sequence[WorkItem], workers: Workers, progress: Progress) -> list[Outcome]:
    """Do every item whose needs could be done and return what became of each (see ``engines.run_items``).

    Raises:
        UserError: the cluster cannot be reached, an option is not one of ``ray.init``, or no node is large enough.
    """
    with connected(workers):
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        threads = workers.threads or share(nodes, workers.count)
        check_fits(nodes, threads, max((item.gpus for item in items), default=0))
        return spread(items, Cluster(workers.count, threads, str(Path.cwd())), progress)


@contextmanager
def connected(workers: Workers) -> Iterator[None]:
    """Join the cluster at an address, or start one on this machine; leave it, which ends what it still does for us."""
    settings: dict[str, object] = {"address": workers.address or "local", "log_to_driver": False}
    settings["logging_level"] = "ERROR"
    if not workers.address:
        settings |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
        if workers.threads:
            settings["num_cpus"] = workers.count * workers.threads
        # Ray tells its makers of every cluster it starts, unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        knock(workers.address)
        ray.init(**(settings | dict(workers.options)))
    except (RayError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"--engine ray: {refusal(workers, error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """Raise ``OSError`` if nobody answers at ``address``; ``auto`` and none are not looked up."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_S).close()


def refusal(workers: Workers, error: Exception) -> str:
    """Return why there is no cluster, and what to do."""
    if workers.address:
        return f"--address {workers.address}: no cluster lets us in ({describe(error)}); see ray start, RAY_AUTH_TOKEN"
    return f"a cluster on this machine does not start ({describe(error)}); check --engine-option"


def share(nodes: Sequence[Mapping[str, float]], count: int) -> int:
    """Return the cores of an item where ``count`` of them share a cluster evenly and each must fit on a node."""
    cores = [int(node.get("CPU", 0)) for node in nodes]
    return max(1, min(sum(cores) // count, max(cores, default=0)))


def check_fits(nodes: Sequence[Mapping[str, float]], threads: int, gpus: int) -> None:
    """Raise ``UserError`` unless a node can take an item: Ray would wait for one for ever."""
    if any(node.get("CPU", 0) >= threads and node.get("GPU", 0) >= gpus for node in nodes):
        return
    has = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
    raise UserError(
        f"--engine ray: an item asks for {threads} CPUs and {gpus} GPUs, and no node has them (there: {has}); "
        "lower --threads, give --device cpu, or add a node"
    )


@dataclass(frozen=True)
class Cluster:
    """The cluster this process has joined.

    Attributes:
        room: how many items it is given at once.
        threads: of an item, and the CPUs it asks for.
        folder: where items are done.
    """

    room: int
    threads: int
    folder: str

    def submit(self, items: Sequence[WorkItem]) -> Sequence[ray.ObjectRef[Outcome]]:
        """Begin ``items`` wherever Ray finds room for them."""
        return [self._task(item).remote(item, self.folder, self.threads) for item in items]

    def _task(self, item: WorkItem) -> ray.remote_function.RemoteFunction:
        return ray.remote(do_elsewhere).options(
            name=item.id, num_cpus=self.threads, num_gpus=item.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )

    def finished(self, running: Mapping[ray.ObjectRef[Outcome], WorkItem]) -> Mapping[ray.ObjectRef[Outcome], Outcome]:
        """Wait for one of ``running`` and return what became of it."""
        done, _ = ray.wait(list(running))
        return {reference: self._outcome(reference, running[reference]) for reference in done}

    def _outcome(self, reference: ray.ObjectRef[Outcome], item: WorkItem) -> Outcome:
        try:
            outcome: Outcome = ray.get(reference)
        except RayError as error:
            return Outcome(item.id, describe(error))
        return outcome
