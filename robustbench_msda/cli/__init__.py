"""The command line: parse, call one function, print. Bodies import late, so that ``--help`` is quick."""

from __future__ import annotations

from robustbench_msda.cli.main import main

__all__ = ["main"]
