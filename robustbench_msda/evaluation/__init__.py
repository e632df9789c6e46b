"""Predicting what is missing of a checkpoint's cells."""

from __future__ import annotations

from robustbench_msda.evaluation.pieces import only, pieces
from robustbench_msda.evaluation.planning import Plan, Task, plan
from robustbench_msda.evaluation.run import evaluate

__all__ = ["Plan", "Task", "evaluate", "only", "pieces", "plan"]
