"""Training one network from its recipe."""

from __future__ import annotations

from robustbench_msda.training.loop import train

__all__ = ["train"]
