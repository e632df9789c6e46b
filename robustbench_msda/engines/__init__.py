"""Engines spread work items over processes or machines; none knows what an item does."""

from __future__ import annotations

from robustbench_msda.engines.local import run
from robustbench_msda.engines.work import Outcome, WorkItem

__all__ = ["Outcome", "WorkItem", "run"]
