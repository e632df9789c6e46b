"""How a training is carried out: what changes how fast a network is trained, not which one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Execution:
    """How a training is carried out; none of it is part of the recipe.

    Attributes:
        workers: processes that decode pictures; −1 for one a thread of torch but one, with torchrun one a core but one
            of each process's share. 0 decodes between the steps.
        compiled: whether torch.compile makes the forward pass. It rounds in another order: last bits differ.
        tensorboard: whether the log is also written for TensorBoard.
    """

    workers: int = -1
    compiled: bool = False
    tensorboard: bool = False


PLAIN = Execution()
