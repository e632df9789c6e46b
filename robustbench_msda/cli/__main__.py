"""``python -m robustbench_msda.cli``: the command line without its script."""

from __future__ import annotations

from robustbench_msda.cli.main import main

main()
