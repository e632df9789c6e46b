"""Predicting what is missing of a checkpoint's cells."""

from __future__ import annotations

from robustbench_msda.evaluation.pieces import only, pieces
from robustbench_msda.evaluation.place import Place
from robustbench_msda.evaluation.planning import Plan, Task, plan, setting_of
from robustbench_msda.evaluation.run import evaluate, record_of

__all__ = ["Place", "Plan", "Task", "evaluate", "only", "pieces", "plan", "record_of", "setting_of"]
