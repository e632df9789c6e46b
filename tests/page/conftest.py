"""One report that many tests read."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_reading import FACTS, NOTES, build, two_datasets


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report of two data sets, written once; tests only read it."""
    folder = tmp_path_factory.mktemp("report")
    build(folder, *two_datasets(), facts=FACTS, notes=NOTES)
    return folder
