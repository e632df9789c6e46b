"""Tables of aggregates over corruptions and perturbations: what stands where, what it is called, what it is of."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from synthetic_scores import AUGMENTATIONS, PERTURBATIONS
from table_reading import COMPARISON, SCORES, csv, pipe_rows

from robustbench_msda.tables import TABLES
from robustbench_msda.tables.latex import to_latex
from robustbench_msda.tables.markdown import to_markdown

TEN = [
    *("gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow"),
    *("brightness", "translate", "rotate", "tilt", "scale"),
]
VALIDATION = ["speckle_noise", "gaussian_blur", "spatter", "shear"]


def aggregate(of: str, metric: str, factor: float, flags: str = "") -> pd.DataFrame:
    """Rows of ``metric`` that are ``factor`` times those of ``of``."""
    rows = SCORES[SCORES.metric == of]
    told = [f"{old}; {flags}" if flags else old for old in rows["flags"]]
    return rows.assign(metric=metric, value=factor * rows["value"], flags=told)


def values(table: pd.DataFrame) -> list[str]:
    return [name for name in table if not name.endswith(("_std", "_n"))]


def test_the_ten_lead_in_the_order_of_the_paper_and_validation_closes() -> None:
    rates = aggregate("mean_flip_probability", "mfr_alexnet", 9.0, "recalled")
    table = csv("perturbations", pd.concat([SCORES, rates]))
    assert values(table)[3:] == [
        "augmentation",
        *(f"flip_probability:{name}" for name in TEN),
        *("mean_flip_probability", "mean_top5_distance", "mfr_alexnet"),
        *(f"flip_probability:{name}" for name in VALIDATION),
    ]
    assert set(TEN + VALIDATION) == set(PERTURBATIONS)
    columns = TABLES["perturbations"](SCORES, COMPARISON).columns
    spans = {column.key.partition(":")[2]: column.span for column in columns if ":" in column.key}
    assert {spans[name] for name in TEN}.isdisjoint(spans[name] for name in VALIDATION)


def test_every_flip_probability_equals_pandas() -> None:
    table = csv("perturbations")
    flips = SCORES[SCORES.metric == "flip_probability"].groupby(["condition", "augmentation"])["value"]
    expected = flips.agg(["mean", "std"])
    for name in PERTURBATIONS:
        here = expected.loc[name].loc[list(table["augmentation"])]
        np.testing.assert_allclose(table[f"flip_probability:{name}"], here["mean"], rtol=1e-9)
        np.testing.assert_allclose(table[f"flip_probability:{name}_std"], here["std"], rtol=1e-8)
    ten = table[[f"flip_probability:{name}" for name in TEN]].mean(axis=1)
    np.testing.assert_allclose(table["mean_flip_probability"], ten, rtol=1e-9)
    assert set(table["mean_flip_probability_n"]) == {2}


def test_shares_print_in_percent_and_distances_as_they_are() -> None:
    header, _, *rows = pipe_rows(to_markdown(TABLES["perturbations"](SCORES, COMPARISON)))
    raw = csv("perturbations")
    for row, (_, line) in zip(rows, raw.iterrows(), strict=True):
        flips, distance = (
            row[header.index(f"Mean of the ten: {name}")] for name in ("flip prob. (%)", "top-5 distance")
        )
        assert flips == f"{100 * line['mean_flip_probability']:.2f} ± {100 * line['mean_flip_probability_std']:.2f}"
        assert distance == f"{line['mean_top5_distance']:.2f} ± {line['mean_top5_distance_std']:.2f}"


def test_captions_of_perturbations_define_and_tell_flags() -> None:
    rates = aggregate("mean_flip_probability", "mfr_alexnet", 9.0, "AlexNet's are recalled")
    caption = TABLES["perturbations"](pd.concat([SCORES, rates]), COMPARISON).caption
    assert "digits_p_made: made; AlexNet's are recalled." in caption
    assert "mFR: a perturbation's flip probability over that of the network in brackets" in caption
    assert "Videos: digits 1,000 (digits_p_made)." in caption
    assert "mFR" not in TABLES["perturbations"](SCORES, COMPARISON).caption


def test_a_partial_mean_does_not_meet_whole_ones() -> None:
    scores = SCORES.copy()
    lost = (scores.benchmark == "digits_p_made") & (scores.seed == "1")
    scores.loc[lost & scores.metric.str.startswith("mean_"), ["n", "flags"]] = [9, "made; partial: 9 of 10"]
    table = csv("perturbations", scores[~(lost & (scores.condition == "snow"))])
    assert set(table["mean_flip_probability_n"]) == set(table["flip_probability:snow_n"]) == {1}
    assert set(table["flip_probability:tilt_n"]) == {2}
    assert "partial" not in TABLES["overview"](scores, COMPARISON).caption.replace("partial: 8 of 15", "")


def test_a_stand_in_has_the_place_of_what_it_stands_for() -> None:
    scores = SCORES.replace({"condition": {"contrast": "frost_procedural"}})
    table = TABLES["corruptions"](scores, COMPARISON)
    columns = [(column.span, column.title) for column in table.columns]
    place = columns.index(("weather", "frost (procedural)"))
    assert columns[place - 1 : place + 2] == [
        *(("weather", "snow"), ("weather", "frost (procedural)"), ("weather", "fog"))
    ]


def test_normalised_means_are_columns_that_name_their_normaliser() -> None:
    scores = pd.concat(
        [
            SCORES,
            aggregate("mean_corruption_error", "relative_mce_baseline", 1.5, "normalised by resnet20 vanilla"),
            aggregate("mean_corruption_error", "mce_alexnet", 1.2),
        ]
    )
    table = TABLES["corruptions"](scores, COMPARISON)
    assert [column.title for column in table.columns][-3:] == ["mean", "mCE (AlexNet)", "relative mCE (baseline)"]
    raw = csv("corruptions", scores)
    np.testing.assert_allclose(raw["mce_alexnet"], 1.2 * raw["mean_corruption_error"], rtol=1e-9)
    np.testing.assert_allclose(raw["relative_mce_baseline"], 1.5 * raw["mean_corruption_error"], rtol=1e-9)
    assert "mCE: a corruption's error, summed over severities, over that of the network in brackets" in table.caption
    assert "relative mCE: the same" in table.caption
    assert table.caption.count("normalised by resnet20 vanilla") == 1
    assert not re.search(r"mCE(?! \(|:)", to_markdown(table).split("\n")[2].replace("\\", ""))
    assert "mCE" not in to_latex(TABLES["corruptions"](SCORES, COMPARISON))


def test_what_is_partial_is_said_with_its_corruption() -> None:
    scores = SCORES.copy()
    lost = (scores.metric == "corruption_error") & (scores.condition == "fog")
    scores.loc[lost, ["n", "flags"]] = [4, "partial: severities 1, 2, 3, 4"]
    assert "partial: severities 1, 2, 3, 4 of fog; made" in TABLES["corruptions"](scores, COMPARISON).caption


def test_the_overview_shows_flips_only_where_there_are_videos() -> None:
    table = TABLES["overview"](SCORES, COMPARISON)
    assert "Flip probability: how often" in table.caption
    assert "Videos: digits 1,000 (digits_p_made)" in table.caption
    without = TABLES["overview"](SCORES[SCORES.benchmark != "digits_p_made"], COMPARISON)
    assert len(without.columns) == len(table.columns) - 1
    assert "Flip" not in without.caption
    assert "Videos" not in without.caption
    assert [row.values[0] for row in table.rows][0] == AUGMENTATIONS[0]
