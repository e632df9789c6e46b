"""The processes that train one network together, as torchrun starts them: what is whose, and what they add up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.nn import Parameter

from robustbench_msda.engines.local import cores
from robustbench_msda.errors import UserError

# What torchrun tells each process it starts.
TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Group:
    """The processes that train one network: process ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process keeps the files."""
        return self.rank == 0

    def replicas(self, count: int) -> range:
        """Return which of ``count`` replicas are this process's.

        Raises:
            UserError: they cannot be shared out evenly.
        """
        if count % self.size:
            raise UserError(
                f"replicas: expected a multiple of the {self.size} processes, found {count}; give --set "
                f"replicas={self.size}, or start as many processes as divide it"
            )
        share = count // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def add(self, values: Tensor) -> Tensor:
        """Return ``values`` summed over the processes; they are changed in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def add_gradients(self, parameters: Sequence[Parameter]) -> None:
        """Sum the gradient of each parameter over the processes.

        All go in one message; what has no gradient in any process keeps none, so that the optimizer leaves it alone.
        """
        if self.size == 1:
            return
        used = torch.tensor([each.grad is not None for each in parameters], device=parameters[0].device)
        flat = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        message = self.add(torch.cat([used.float(), *(each.reshape(-1).float() for each in flat)]))
        counts, *sums = message.split([len(parameters), *(each.numel() for each in parameters)])
        for parameter, count, summed in zip(parameters, counts.tolist(), sums, strict=True):
            parameter.grad = summed.view_as(parameter).to(parameter.dtype) if count else None


ALONE = Group()


def leads() -> bool:
    """Return whether this process is the one to talk: the first that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def decoders(asked: int) -> int:
    """Return how many processes decode pictures for this one: ``asked``, or for −1 its share of the cores but one.

    The share is the threads torch was given, by a study's engine for one; torchrun gives each process a single one,
    whatever there is, and says how many processes share the machine.
    """
    if asked >= 0:
        return asked
    told = os.environ.get("LOCAL_WORLD_SIZE")
    return max(0, (cores() // int(told) if told else torch.get_num_threads()) - 1)


@contextmanager
def joined(device: str) -> Iterator[tuple[Group, torch.device]]:
    """Give this process's place among those that torchrun started, and its device; alone without torchrun.

    Raises:
        UserError: there are fewer devices here than processes.
    """
    if any(name not in os.environ for name in TOLD) or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE, torch.device(device)
        return
    own = own_device(device, int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(
        "nccl" if own.type == "cuda" else "gloo", device_id=own if own.index is not None else None
    )
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size()), own
    finally:
        distributed.destroy_process_group()


def own_device(device: str, local_rank: int) -> torch.device:
    """Return the device of the process ``local_rank`` of this machine, and make it the current one.

    Raises:
        UserError: there are fewer devices here than processes.
    """
    asked = torch.device(device)
    if asked.type != "cuda":
        return asked
    if local_rank >= torch.cuda.device_count():
        raise UserError(f"--nproc-per-node: expected at most the {torch.cuda.device_count()} GPUs of this machine")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
