"""Tables of attacks: several attacks at every ε, the worst case, and what failed a check."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from suite_scores import LEVELS, NOISY, TEXTS, with_suite
from synthetic_scores import AUGMENTATIONS, scores_frame
from table_reading import NOTHING, SCORES, SPECIAL, csv, pipe_rows, tabular_rows

from robustbench_msda.results.aggregates import Absent
from robustbench_msda.results.attacks import told_attack_flags, worst_cases
from robustbench_msda.tables import TABLES
from robustbench_msda.tables.latex import to_latex
from robustbench_msda.tables.markdown import to_markdown

ALL = with_suite(SCORES)
L2_TEXTS = ("l2_fgsm()", "l2_bim(steps=10, rel_stepsize=0.2)", "l2_uniform_noise()")


def test_every_attack_and_epsilon_has_its_mean_and_the_worst_case_stands_last() -> None:
    table = csv("attack_suites", ALL, NOTHING)
    assert list(table["attack"].unique()) == ["fgsm", "bim", "uniform_noise", "worst case"]
    assert [name for name in table if name.startswith("error") and name.count("_") == 0] == [
        f"error:L∞:{level}" for level in LEVELS
    ]
    names = dict(zip(("fgsm", "bim", "uniform_noise", "worst case"), (*TEXTS, ""), strict=True))
    for _, row in table.iterrows():
        rows = ALL[(ALL.benchmark == "linf_attacks") & (ALL.condition == names[row["attack"]])]
        rows = rows[rows.augmentation == row["augmentation"]]
        for level in LEVELS:
            expected = rows[rows.level == level]["value"]
            assert row[f"error:L∞:{level}"] == pytest.approx(expected.mean(), rel=1e-9)
            assert row[f"error:L∞:{level}_std"] == pytest.approx(expected.std(), rel=1e-6)
    assert len(table) == 4 * len(AUGMENTATIONS)


def test_a_number_that_failed_a_check_is_marked_and_said() -> None:
    table = TABLES["attack_suites"](ALL, NOTHING)
    assert f"† linf_attacks: {NOISY} (fgsm at ε = 0.1)." in table.caption
    rows = pipe_rows(to_markdown(table))
    marked = [(row[3], row[4], k) for row in rows for k, text in enumerate(row) if text.endswith("†")]
    assert marked == [("fgsm", "vanilla", rows[0].index("Error (%) at ε in L∞: 0.1"))]
    latex = to_latex(table)
    assert r"\textdagger{}" in latex
    assert r"L$\infty$" in latex
    assert "∞" not in latex
    assert len(set(tabular_rows(latex))) == 1


@pytest.mark.parametrize("name", ["attacks", "overview"])
def test_single_attacks_that_failed_a_check_are_marked_in_every_table(name: str) -> None:
    scores = SCORES.copy()
    bad = (scores.benchmark == "pgd") & (scores.level == "8/255") & (scores.augmentation == "cutmix")
    scores.loc[bad & (scores.seed == "1"), "flags"] = "two clean passes differ; changes above ε"
    table = TABLES[name](scores, NOTHING)
    assert (
        "† pgd: two clean passes differ (pgd at ε = 8/255); pgd: changes above ε (pgd at ε = 8/255)." in table.caption
    )
    rows = pipe_rows(to_markdown(table))
    column = next(k for k, title in enumerate(rows[0]) if "PGD" in title and "8/255" in title)
    marked = [(row[0], k) for row in rows for k, text in enumerate(row) if "†" in text]
    assert marked == [("cutmix", column)]
    assert "†" not in TABLES[name](SCORES, NOTHING).caption


def test_flags_at_every_epsilon_are_said_at_once() -> None:
    rows = ALL[(ALL.benchmark == "linf_attacks") & (ALL.metric == "error")].assign(flags="two clean passes differ")
    every = "; ".join(f"{name} at every ε" for name in ("fgsm", "bim", "uniform_noise"))
    assert told_attack_flags(rows) == f"† linf_attacks: two clean passes differ ({every})."
    assert told_attack_flags(rows[:0]) == ""


def test_suites_are_in_the_overview_by_their_worst_case_and_not_among_single_attacks() -> None:
    l2 = with_suite(ALL, "l2_attacks", L2_TEXTS, ("0.1", "0.25", "0.5"), n=400)
    table = csv("overview", l2, NOTHING).set_index("augmentation")
    for name, level in (("linf_attacks", "0.03"), ("l2_attacks", "0.5")):
        rows = l2[(l2.benchmark == name) & (l2.metric == "worst_case_error") & (l2.level == level)]
        expected = rows.groupby("augmentation")["value"].mean()
        assert table[f"worst_case_error:{name}:{level}"].to_dict() == pytest.approx(expected.to_dict())
    assert not [name for name in table if name.startswith("error:l")]
    assert list(csv("attacks", l2, NOTHING)) == list(csv("attacks", SCORES, NOTHING))
    wide = csv("attack_suites", l2, NOTHING)
    assert np.isnan(wide[wide.benchmark == "l2_attacks"]["error:L∞:0.1"]).all()
    assert not np.isnan(wide[wide.benchmark == "l2_attacks"]["error:L2:0.1"]).any()


def test_a_worst_case_over_some_attacks_is_left_out_where_another_network_has_all() -> None:
    partial = ALL.copy()
    worst = partial.metric == "worst_case_error"
    partial.loc[worst & (partial.seed == "1"), "flags"] = "partial: 2 of 3 attacks"
    assert set(worst_cases(partial)["seed"]) == {"0"}
    partial.loc[worst, "flags"] = "partial: 2 of 3 attacks"
    assert set(worst_cases(partial)["seed"]) == {"0", "1"}
    assert "partial: 2 of 3 attacks (worst case at every ε)" in TABLES["attack_suites"](partial, NOTHING).caption


def test_without_such_attacks_a_table_is_absent() -> None:
    with pytest.raises(Absent, match="several attacks, such as the benchmark linf_attacks"):
        TABLES["attack_suites"](SCORES, NOTHING)
    alone = ALL[~ALL.benchmark.isin(["fgsm", "pgd"])]
    with pytest.raises(Absent, match="benchmark of its own"):
        TABLES["attacks"](alone, NOTHING)


def test_captions_and_names_are_as_in_other_tables() -> None:
    table = TABLES["attack_suites"](ALL, NOTHING)
    assert "Mean ± standard deviation (ddof 1) over n=2 networks (seeds)." in table.caption
    assert "Test images: digits 1,000 (linf_attacks)." in table.caption
    assert "Attacks: fgsm(), bim(steps=10, rel_stepsize=0.2), uniform_noise()." in table.caption
    strange = ALL.replace({"augmentation": {"mixup": SPECIAL[0], "cutmix": SPECIAL[1]}})
    rows = pipe_rows(to_markdown(TABLES["attack_suites"](strange, NOTHING)))
    assert {row[4] for row in rows[2:]} == {"vanilla", SPECIAL[0], SPECIAL[1], "dropmix(rate=0.4, of=cutmix)"}
    assert isinstance(ALL, pd.DataFrame)


def boxed(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``scores`` and PGD at 8/255 on what it makes of the first network: a quarter of the white box's error."""
    white = scores[(scores.benchmark == "pgd") & (scores.metric == "error") & (scores.level == "8/255")]
    source = white["fingerprint"].iloc[0]
    shown = white[white["fingerprint"] != source].assign(source=source, value=lambda rows: rows["value"] / 4)
    box = shown.assign(source="", metric="gray_box_error")
    return pd.concat([scores, shown, box], ignore_index=True)


def test_boxes_stand_beside_each_other_and_a_network_has_no_gray_box_of_itself() -> None:
    scores = boxed(SCORES)
    table = csv("transfer", scores, NOTHING).set_index("augmentation")
    assert [name for name in table if name.endswith("/255")] == ["error:pgd:8/255", "gray_box_error:pgd:8/255"]
    rows = scores[(scores.benchmark == "pgd") & (scores.level == "8/255")]
    for name in AUGMENTATIONS:
        for metric in ("error", "gray_box_error"):
            values = rows[(rows.augmentation == name) & (rows.metric == metric) & (rows.source == "")]["value"]
            assert table.loc[name, f"{metric}:pgd:8/255"] == pytest.approx(values.mean(), rel=1e-9)
    assert list(table["gray_box_error:pgd:8/255_n"]) == [1, 2, 2, 2]
    with pytest.raises(Absent, match="run the command transfer"):
        TABLES["transfer"](SCORES, NOTHING)


def test_the_matrix_has_a_row_a_network_and_marks_the_white_box() -> None:
    scores = boxed(SCORES)
    table = TABLES["transfer_matrix"](scores, NOTHING)
    rows = pipe_rows(to_markdown(table))[2:]
    assert len(rows) == SCORES["fingerprint"].nunique()
    assert table.columns[1].title == "vanilla, seed 0"
    assert table.columns[1].span == "pgd, ε = 8/255, made of small_cnn"
    first = scores[(scores.fingerprint == scores["fingerprint"].iloc[0]) & (scores.metric == "error")]
    own = first[(first.benchmark == "pgd") & (first.level == "8/255") & (first.source == "")]["value"].item()
    assert dict(row[:2] for row in rows)["vanilla, seed 0"] == f"{100 * own:.2f}*"
    assert sum(row[1].endswith("*") for row in rows) == 1
    stranger = scores.assign(source=scores["source"].replace(scores["fingerprint"].iloc[0], "f" * 12))
    assert TABLES["transfer_matrix"](stranger, NOTHING).columns[1].title == "f" * 12


def test_attacked_images_of_others_enter_no_other_table() -> None:
    for name in ("attacks", "overview", "calibration"):
        assert csv(name, boxed(SCORES), NOTHING).equals(csv(name, SCORES, NOTHING))


@pytest.mark.parametrize(("name", "mark"), [("transfer", "†"), ("transfer_matrix", "*†")])
def test_numbers_of_boxes_that_failed_a_check_are_marked(name: str, mark: str) -> None:
    scores = boxed(SCORES)
    assert "†" not in TABLES[name](scores, NOTHING).caption
    first = (scores.fingerprint == scores["fingerprint"].iloc[0]) & (scores.level == "8/255")
    failed = first & (scores.metric == "error") & (scores.benchmark == "pgd") & (scores.source == "")
    table = TABLES[name](scores.assign(flags=scores["flags"].mask(failed, "two clean passes differ")), NOTHING)
    assert "† pgd: two clean passes differ (pgd at ε = 8/255)." in table.caption
    texts = [text for row in pipe_rows(to_markdown(table))[2:] for text in row]
    assert [text.endswith(mark) for text in texts].count(True) == 1
    assert sum("†" in text for text in texts) == 1


def test_a_mean_over_substitutes_is_said_but_no_failure() -> None:
    scores = boxed(SCORES)
    means = scores.metric == "gray_box_error"
    told = scores.assign(flags=scores["flags"].mask(means, "mean over 2 substitutes"))
    caption = TABLES["transfer"](told, NOTHING).caption
    assert "pgd: mean over 2 substitutes of pgd(" in caption
    assert "†" not in caption
    both = scores.assign(flags=scores["flags"].mask(means, "mean over 2 substitutes; changes above ε"))
    table = TABLES["transfer"](both, NOTHING)
    assert "† pgd: changes above ε (pgd at ε = 8/255)." in table.caption
    assert "substitutes; changes" not in table.caption
    assert to_markdown(table).count("†") == 1 + len(AUGMENTATIONS)


def test_networks_of_one_recipe_and_seed_are_told_apart() -> None:
    scores = boxed(SCORES)
    one, other = scores.loc[scores.augmentation == "cutmix", "fingerprint"].unique()
    same = scores.assign(seed=scores["seed"].mask(scores.fingerprint == other, "0"))
    rows = pipe_rows(to_markdown(TABLES["transfer_matrix"](same, NOTHING)))[2:]
    assert len(rows) == SCORES["fingerprint"].nunique()
    names = [row[0] for row in rows if row[0].startswith("cutmix")]
    assert names == sorted(f"cutmix, seed 0 · {each[:6]}" for each in (one, other))


@pytest.mark.parametrize("name", ["transfer", "transfer_matrix"])
def test_hostile_names_of_networks_are_escaped_and_single_seeds_have_no_spread(name: str) -> None:
    scores = boxed(scores_frame(("vanilla", *SPECIAL), seeds=1, dataset="d_1 & <e>"))
    table = TABLES[name](scores, NOTHING)
    rows = pipe_rows(to_markdown(table))
    assert {len(row) for row in rows} == {len(table.columns)}
    assert {row.values[0] for row in table.rows} <= {row[0] for row in rows}
    assert not any("±" in text for row in rows for text in row)
    latex = to_latex(table)
    assert len(set(tabular_rows(latex))) == 1
    assert not re.search(r"(?<!\\)[#_^~]|<|>", re.sub(r"\\label.*", "", latex).replace(r"\cmidrule", ""))
