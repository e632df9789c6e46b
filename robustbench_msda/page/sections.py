"""The parts of a page: sections of tables and charts, and the two sides whose numbers stand beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from robustbench_msda.page.charts import Chart
from robustbench_msda.page.grids import Grid


@dataclass(frozen=True)
class Section:
    """A section: its anchor, its heading, tables, and charts that stand before them."""

    id: str
    title: str
    grids: tuple[Grid, ...]
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True)
class Sides:
    """A method and what it is compared with, each with the rows of its summary; the second may be '' and empty."""

    name: str
    own: pd.DataFrame
    baseline: str
    base: pd.DataFrame
