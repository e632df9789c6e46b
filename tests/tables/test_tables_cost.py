"""The table of costs: means over seeds, ratios to vanilla only where one machine trained both."""

from __future__ import annotations

import pandas as pd
import pytest

from robustbench_msda.records import COLUMNS
from robustbench_msda.results.aggregates import Absent
from robustbench_msda.results.scores import NUMBERS
from robustbench_msda.tables.cost import training_cost
from robustbench_msda.tables.csv import to_csv
from robustbench_msda.tables.text import three_digits, value_texts

NONE = pd.DataFrame()
NAN = float("nan")


def scores(*networks: tuple[str, int, float, str]) -> pd.DataFrame:
    """Return the rows of networks: augmentation, seed, seconds an epoch, machine."""
    rows = []
    for augmentation, seed, seconds, machine in networks:
        values = {"epoch_seconds": seconds, "step_seconds": seconds / 8, "parameters": 272474.0, "flops": 81e6}
        for metric, value in values.items():
            row = dict.fromkeys(COLUMNS, "") | {"dataset": "digits", "model": "resnet20", "group": augmentation}
            row |= {"fingerprint": f"{augmentation}{seed}", "seed": str(seed), "augmentation": augmentation}
            row |= {"benchmark": "training", "subset": "all", "metric": metric, "flags": machine}
            rows.append(row | {"value": value, "n": 3, "low": NAN, "high": NAN})
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(NUMBERS)


def test_ratios_are_of_means_over_seeds() -> None:
    table = training_cost(scores(("vanilla", 0, 2.0, "a"), ("vanilla", 1, 4.0, "a"), ("augmix", 0, 9.0, "a")), NONE)
    assert [column.key for column in table.columns][:3] == ["augmentation", "epoch_seconds", "epoch_ratio"]
    first, second = value_texts(table)
    assert first == ["vanilla", "3.00 ± 1.4", "1.00", "0.375 ± 0.18", "0.272", "81.0"]
    assert second[:3] == ["augmix", "9.00 (n=1)", "3.00 (n=1)"]
    assert "a." in table.caption
    assert "272474" in to_csv(table)


def test_times_of_two_machines_are_not_divided() -> None:
    table = training_cost(scores(("vanilla", 0, 2.0, "slow"), ("cutmix", 0, 1.0, "fast")), NONE)
    assert [row[2] for row in value_texts(table)] == ["1.00", "–"]


def test_without_times_there_is_no_table() -> None:
    with pytest.raises(Absent):
        training_cost(scores(), NONE)


@pytest.mark.parametrize(("number", "text"), [(1234.5, "1,234"), (0.04561, "0.0456"), (12.0, "12.0"), (0.0, "0")])
def test_three_digits(number: float, text: str) -> None:
    assert three_digits(number) == text
