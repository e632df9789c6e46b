"""Natural shift, strange images and people's answers in the overview."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic_scores import scores_frame

from robustbench_msda.tables import TABLES
from robustbench_msda.tables.natural import natural_sentence, short_condition


@pytest.fixture
def scores() -> pd.DataFrame:
    """The clean rows of a study, and one row of each kind a network."""
    frame = scores_frame()
    clean = frame[frame["benchmark"] == "clean"]
    one = clean[clean["metric"] == "error"]
    kinds = [
        ("imagenet_a", "masked", "error", 0.90),
        ("imagenet_a", "unmasked", "error", 0.97),
        ("imagenet_o", "masked", "aupr", 0.17),
        ("imagenet_o", "unmasked", "aupr", 0.16),
        ("imagenet_o", "masked", "aupr_chance", 1 / 6),
        ("ood", "textures=0a1b2c3d", "auroc", 0.81),
        ("shift", "copies=0a1b2c3d", "error", 0.33),
        ("shift", "copies=99999999", "error", 0.35),
        ("cifar10h", "cifar10=12345678", "kl_human_model", 0.7161),
    ]
    more = [one.assign(benchmark=b, condition=c, metric=m, value=v, world=f"w{b}") for b, c, m, v in kinds]
    return pd.concat([clean, *more], ignore_index=True)


def test_the_overview_shows_what_is_there(scores: pd.DataFrame) -> None:
    table = TABLES["overview"](scores, pd.DataFrame())
    shown = {column.key: column for column in table.columns}
    titles = {key: (column.title, column.span) for key, column in shown.items()}
    assert titles["error:imagenet_a:masked"] == ("ImageNet-A", shown["error"].span)
    assert titles["aupr:imagenet_o:masked"] == ("ImageNet-O", "AUPR (%)")
    assert titles["auroc:ood:textures=0a1b2c3d"] == ("textures", "AUROC (%)")
    assert titles["error:shift:copies=99999999"] == ("copies=99999999", shown["error"].span)
    assert titles["kl_human_model:cifar10h:cifar10=12345678"][0] == "cifar10"
    assert not [key for key in shown if "unmasked" in key or "chance" in key]
    at = [column.key for column in table.columns].index("aupr:imagenet_o:masked")
    assert [row.values[at].mean for row in table.rows] == pytest.approx([0.17] * len(table.rows))
    assert "chance is 16.7 %" in table.caption
    assert "over the logits of their 200 classes alone" in table.caption
    assert "KL(human ‖ network)" in table.caption


def test_without_them_the_overview_is_what_it_was(scores: pd.DataFrame) -> None:
    clean = scores[scores["benchmark"] == "clean"]
    assert natural_sentence(clean) == ""
    columns = TABLES["overview"](clean, pd.DataFrame()).columns
    assert not [column.key for column in columns if column.key.count(":") == 2]


def test_a_condition_that_no_user_named_is_its_own_title() -> None:
    assert short_condition("masked", ["masked"]) == "masked"
    assert short_condition("a=b=12345678", ["a=b=12345678"]) == "a=b"
