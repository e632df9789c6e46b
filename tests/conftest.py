"""Fixtures every part of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference data and gold outputs."""
    folder = os.environ.get("ROBUSTBENCH_MSDA_REFERENCE")
    if not folder:
        pytest.skip("ROBUSTBENCH_MSDA_REFERENCE is not set: the reference data are needed for this test")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"ROBUSTBENCH_MSDA_REFERENCE={folder} is not a folder")
    return path


# The same examples on every run: a failure seen once can be seen again. A slow machine is no failure.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
