"""Training one network from its recipe."""

from __future__ import annotations

from robustbench_msda.training.distributed import leads
from robustbench_msda.training.execution import Execution
from robustbench_msda.training.loop import train

__all__ = ["Execution", "leads", "train"]
