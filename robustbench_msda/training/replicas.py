"""Replicas: the parts of a global batch inside which batch normalisation and mixing act, each with its own chance.

One process may work on several, one after the other, or each process on its own: the network comes out the same, up to
the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_msda.recipes import Recipe
from robustbench_msda.streams import seed, stream
from robustbench_msda.training.distributed import ALONE, Group


@dataclass
class Replica:
    """A part of every global batch.

    Attributes:
        rng: of its augmentation.
        chance: the states of torch's generators in which the network draws for it (dropout): the CPU's, the device's.
    """

    rng: np.random.Generator
    chance: list[Tensor]


def replicas_of(recipe: Recipe, epoch: int, device: torch.device, group: Group = ALONE) -> list[Replica]:
    """Return the replicas of this process at the beginning of ``epoch``."""
    found = []
    for number in group.replicas(recipe.replicas):
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            # What models draw for themselves must not depend on where a run was resumed, or in which process they are.
            torch.manual_seed(seed("model", recipe.seed, epoch, *([number] if number else [])))
            found.append(Replica(stream("augmentation", recipe.seed, epoch, number), chance_of(device)))
    return found


def chance_of(device: torch.device) -> list[Tensor]:
    """Return the states of torch's generators: the CPU's, and the device's where it is another."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def drawing_for(replica: Replica, device: torch.device) -> Iterator[None]:
    """Let torch's generators go on where they were when the replica last drew; they are not set back."""
    torch.set_rng_state(replica.chance[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(replica.chance[1], device)
    yield
    replica.chance = chance_of(device)


class Statistics:
    """What a network notes of the batches it sees, such as the running mean and variance of batch normalisation.

    Every replica of a step starts from the same notes, and the mean of what they changed is kept.
    """

    def __init__(self, network: nn.Module, replicas: int) -> None:
        self.replicas = replicas
        # Alone, a replica's own notes are the mean.
        self.kept: Sequence[Tensor] = list(network.buffers()) if replicas > 1 else []
        self.before = [each.clone() for each in self.kept]
        self.changes = [torch.zeros_like(each, dtype=torch.float64) for each in self.kept]

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take down what one replica changes, and undo it."""
        yield
        for kept, before, change in zip(self.kept, self.before, self.changes, strict=True):
            change += kept.double() - before.double()
            kept.copy_(before)

    def keep(self, group: Group = ALONE) -> None:
        """Change the network's notes by the mean change over all replicas, of all processes."""
        if not self.kept:
            return
        message = group.add(torch.cat([change.reshape(-1) for change in self.changes])) / self.replicas
        for kept, before, change in zip(
            self.kept, self.before, message.split([each.numel() for each in self.kept]), strict=True
        ):
            changed = before.double() + change.view_as(before)
            kept.copy_(changed if kept.is_floating_point() else changed.round())
