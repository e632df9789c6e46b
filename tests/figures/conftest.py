"""Figures under test are drawn in our style."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robustbench_msda.figures.style import style


@pytest.fixture(autouse=True)
def our_style() -> Iterator[None]:
    with style():
        yield
