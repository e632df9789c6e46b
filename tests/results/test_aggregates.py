"""Score rows are checked, labelled, ordered and averaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_scores import AUGMENTATIONS, scores_frame

from robustbench_msda.conditions import CORRUPTION_FAMILIES, EXTRA, FIFTEEN, FOUR, STAND_INS, TEN, TWELVE
from robustbench_msda.errors import UserError
from robustbench_msda.records import COLUMNS
from robustbench_msda.results.aggregates import (
    FOR_VALIDATION,
    STANDS_FOR,
    Absent,
    base_method,
    complete_rows,
    family_of,
    flag_texts,
    label_order,
    means_by,
    ordered_corruptions,
    ordered_labels,
    ordered_levels,
    ordered_perturbations,
    pick_rows,
    tidy,
    tidy_comparison,
    white_box,
)


def test_two_worlds_of_a_benchmark_are_refused_by_name() -> None:
    scores = scores_frame()
    limited = scores[(scores["benchmark"] == "fgsm") & (scores["seed"] == "0")].assign(world="feedbeef", n=200)
    with pytest.raises(
        UserError, match=r"fgsm on digits are from 2 worlds \(a77ac000 \(400 .*feedbeef \(200 "
    ) as found:
        tidy(pd.concat([scores, limited]))
    assert "\n" not in str(found.value)
    assert "--limit" in str(found.value)


def test_networks_of_different_worlds_are_refused_even_if_each_has_one() -> None:
    scores = scores_frame()
    other = (scores["benchmark"] == "clean") & (scores["seed"] == "1")
    scores.loc[other, "world"] = "feedbeef"
    with pytest.raises(UserError, match="clean on digits are from 2 worlds"):
        tidy(scores)


def test_worlds_of_different_datasets_do_not_meet() -> None:
    other = scores_frame(dataset="cifar10").replace({"world": {"c1ea0000": "feedbeef"}})
    assert len(tidy(pd.concat([scores_frame(), other]))) == 2 * len(scores_frame())


def test_a_row_that_is_there_twice_counts_once() -> None:
    scores = scores_frame()
    frame = tidy(pd.concat([scores, scores]))
    assert len(frame) == len(scores)


def test_two_values_of_one_number_are_refused() -> None:
    scores = scores_frame()
    changed = scores[(scores["metric"] == "rms_calibration")].iloc[:1].assign(value=0.5)
    with pytest.raises(UserError, match="two values of rms_calibration of clean"):
        tidy(pd.concat([scores, changed]))


def test_a_missing_column_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="none named group, flags"):
        tidy(scores_frame().drop(columns=["group", "flags"]))


def test_a_frame_without_columns_holds_no_rows() -> None:
    frame = tidy(pd.DataFrame())
    assert list(frame.columns) == [*COLUMNS, "label"]
    assert len(frame) == 0


def test_tidy_twice_is_tidy_once() -> None:
    frame = tidy(scores_frame())
    assert tidy(frame) is frame
    assert list(frame.columns) == [*COLUMNS, "label"]


def test_recipes_that_share_an_augmentation_are_kept_apart() -> None:
    scores = scores_frame(("vanilla", "cutmix"))
    longer = scores_frame(("vanilla",), seeds=1).assign(group="abcdef012345", fingerprint="5" * 12)
    labels = set(tidy(pd.concat([scores, longer]))["label"])
    assert labels == {"cutmix", "vanilla · abcdef", f"vanilla · {scores['group'].iloc[0][:6]}"}


def test_strangers_are_labelled_by_fingerprint_and_never_averaged() -> None:
    strangers = scores_frame(("vanilla",), seeds=3).assign(augmentation="", group="", seed="")
    frame = tidy(strangers)
    assert set(frame["label"]) == set(strangers["fingerprint"])
    means = means_by(pick_rows(frame, "error", "clean"), ["label"])
    assert {mean.n for mean in means.values()} == {1}


def test_means_equal_numpy() -> None:
    frame = tidy(scores_frame(seeds=5))
    rows = pick_rows(frame, "error", "clean")
    for (label,), mean in means_by(rows, ["label"]).items():
        values = rows.loc[rows["label"] == label, "value"].to_numpy()
        assert mean.mean == pytest.approx(np.mean(values), abs=1e-15)
        assert mean.spread == pytest.approx(np.std(values, ddof=1), abs=1e-15)
        assert mean.n == 5


def test_one_network_has_no_spread() -> None:
    means = means_by(pick_rows(tidy(scores_frame(seeds=1)), "error", "clean"), ["label"])
    assert all(np.isnan(mean.spread) for mean in means.values())


def test_what_is_not_there_is_named() -> None:
    frame = tidy(scores_frame())
    with pytest.raises(Absent, match="no rows of error of the benchmark imagenet_a"):
        pick_rows(frame, "error", "imagenet_a")
    with pytest.raises(Absent, match="under an attack"):
        white_box(frame[frame["benchmark"] == "clean"])


def test_transferred_attacks_are_not_white_box() -> None:
    scores = scores_frame()
    transferred = scores[scores["benchmark"] == "pgd"].assign(source="abcdefabcdef", value=0.0)
    rows = white_box(tidy(pd.concat([scores, transferred])))
    assert (rows["source"] == "").all()
    assert set(rows["benchmark"]) == {"fgsm", "pgd"}


def test_a_mean_over_fewer_corruptions_is_left_out() -> None:
    scores = scores_frame()
    stopped = (scores["metric"] == "mean_corruption_error") & (scores["seed"] == "1")
    scores.loc[stopped, ["n", "flags"]] = [5, "made; partial: 5 of 15 corruptions, 25 of 75 cells"]
    rows = complete_rows(tidy(scores), "mean_corruption_error")
    assert set(rows["seed"]) == {"0"}
    assert set(rows["n"]) == {8}


def test_means_over_as_many_but_other_corruptions_never_meet() -> None:
    scores = scores_frame()
    # Seed 1 has the stand-in where seed 0 has frost: both means are over eight, with flags that happen to agree.
    for seed, name in (("0", "frost"), ("1", "frost_procedural")):
        here = (scores["seed"] == seed) & (scores["condition"] == "snow") & (scores["benchmark"] == "digits_c_made")
        scores.loc[here, "condition"] = name
    for metric in ("mean_corruption_error", "mean_rms_calibration"):
        assert set(complete_rows(tidy(scores), metric)["seed"]) == {"0"}
    lone = scores[scores["seed"] == "1"]
    assert len(complete_rows(tidy(lone), "mean_corruption_error")) == len(AUGMENTATIONS)


@pytest.mark.parametrize("more", ["spatter", "frost_procedural"])
def test_what_no_mean_rests_on_does_not_keep_means_apart(more: str) -> None:
    scores = scores_frame()
    made = scores["benchmark"] == "digits_c_made"
    scores.loc[made & (scores["condition"] == "snow"), "condition"] = "frost"
    extra = scores[made & (scores["condition"] == "frost") & (scores["seed"] == "1")].assign(condition=more)
    rows = complete_rows(tidy(pd.concat([scores, extra])), "mean_corruption_error")
    assert set(rows["seed"]) == {"0", "1"}


def test_a_mean_one_of_whose_corruptions_lacks_a_severity_is_left_out() -> None:
    scores = scores_frame()
    lost = (scores["metric"] == "corruption_error") & (scores["condition"] == "fog") & (scores["seed"] == "0")
    scores.loc[lost, ["n", "flags"]] = [4, "partial: severities 1, 2, 3, 4"]
    frame = tidy(scores)
    assert set(complete_rows(frame, "mean_corruption_error")["n"]) == {8}
    errors = complete_rows(frame, "corruption_error")
    assert set(errors.loc[errors["condition"] == "fog", "seed"]) == {"1"}
    assert set(errors.loc[errors["condition"] == "snow", "seed"]) == {"0", "1"}


def test_numbers_normalised_by_different_networks_never_meet() -> None:
    scores = scores_frame()
    means = scores[scores["metric"] == "mean_corruption_error"]
    flags = "made; normalised by " + means["seed"].where(means["seed"] == "0", "another")
    rows = complete_rows(tidy(pd.concat([scores, means.assign(metric="mce_baseline", flags=flags)])), "mce_baseline")
    assert rows["flags"].nunique() == 1
    assert len(rows) == len(AUGMENTATIONS)


def test_flags_are_told_once_with_the_conditions_that_bear_them() -> None:
    rows = pd.DataFrame(
        {
            "condition": ["fog", "snow", "frost", "", ""],
            "flags": ["partial: severities 1, 2", "partial: severities 1, 2", "", "made; x", "made"],
        }
    )
    assert flag_texts(rows) == ["partial: severities 1, 2 of fog, snow", "made", "x"]


def test_a_refused_world_counts_images_not_what_its_aggregates_are_over() -> None:
    scores = scores_frame()
    made = scores[scores["benchmark"] == "digits_c_made"]
    few = made.assign(world="feedbeef", n=made["n"].where(made["metric"] != "error", 4))
    with pytest.raises(UserError, match=r"c0440000 \(1000 images\), feedbeef \(4 images\)"):
        tidy(pd.concat([scores, few]))
    other = scores[scores["benchmark"] == "digits_p_made"].assign(world="feedbeef")
    with pytest.raises(UserError, match=r"91e70000 \(1000 videos\)"):
        tidy(pd.concat([scores, other]))


def test_families_and_orders_hold_what_the_benchmarks_score() -> None:
    names = [name for _, members in CORRUPTION_FAMILIES for name in members]
    assert len(names) == len(set(names))
    assert set(names) == {*FIFTEEN, *EXTRA, *TWELVE, *STANDS_FOR}
    assert {real: made for made, real in STANDS_FOR.items()} == STAND_INS
    assert {*EXTRA, *FOUR} == FOR_VALIDATION
    assert not {*FIFTEEN, *TEN} & {"speckle_noise", "gaussian_blur", "spatter", "saturate", "shear"}


def test_families_of_3d_corruptions(reference: Path) -> None:
    facts = json.loads((reference / "reference/constants.json").read_text())["imagenet_3dcc"]["categories"]
    expected = {name: family.replace("_", " ") for family, names in facts.items() for name in names}
    assert {name: family_of(name) for name in TWELVE} == expected
    assert family_of("frost_procedural") == family_of("frost") == "weather"
    assert family_of("zebra") == "other"


def test_labels_stand_vanilla_first_and_wrappers_beside_what_they_wrap() -> None:
    labels = ["mixup", "dropmix(rate=0.4, of=cutmix)", "dropmix(rate=0.15, of=cutmix)", "vanilla", "cutmix", "zoomix"]
    assert ordered_labels([*labels, "dropmix(rate=0.4, of=mixup)"]) == [
        "vanilla",
        "cutmix",
        "dropmix(rate=0.15, of=cutmix)",
        "dropmix(rate=0.4, of=cutmix)",
        "mixup",
        "dropmix(rate=0.4, of=mixup)",
        "zoomix",
    ]


@given(st.lists(st.text(max_size=12) | st.sampled_from(AUGMENTATIONS), unique=True, max_size=8))
def test_the_order_of_labels_does_not_depend_on_where_they_stood(labels: list[str]) -> None:
    assert ordered_labels(reversed(labels)) == ordered_labels(labels)
    assert sorted(map(label_order, labels)) == list(map(label_order, ordered_labels(labels)))


def test_the_base_of_a_method_is_what_it_wraps() -> None:
    assert base_method("dropmix(rate=0.4, of=cutmix(alpha=0.5))") == "cutmix"
    assert base_method("mixup(alpha=0.2)") == "mixup"
    assert base_method("vanilla · abc123") == "vanilla"
    assert base_method("<odd>") == "<odd>"


def test_levels_sort_by_value_and_corruptions_by_family() -> None:
    assert ordered_levels(["8/255", "10/255", "", "0.001", "8/255"]) == ["", "0.001", "8/255", "10/255"]
    found = ordered_corruptions(["saturate", "zebra", "fog", "frost_procedural", "shot_noise", "gaussian_noise"])
    assert found == ["gaussian_noise", "shot_noise", "frost_procedural", "fog", "saturate", "zebra"]
    assert ordered_corruptions(["fog", "frost_procedural", "frost", "snow"]) == [
        *("snow", "frost", "frost_procedural", "fog")
    ]
    assert ordered_perturbations(["zebra", "shear", "scale", "spatter", "snow", "shot_noise"]) == [
        *("shot_noise", "snow", "scale", "spatter", "shear", "zebra")
    ]


def test_an_empty_comparison_has_every_column() -> None:
    frame = tidy_comparison(pd.DataFrame())
    assert len(frame) == 0
    assert {"baseline", "metric", "value", "q", "significant", "flags"} <= set(frame.columns)


@pytest.mark.parametrize("spelled", ["yes", "True", True, "true"])
def test_significance_is_read_however_it_is_spelled(spelled: object) -> None:
    frame = tidy_comparison(pd.DataFrame({"significant": [spelled, "no", "", None], "value": ["1", "", None, "2"]}))
    assert list(frame["significant"]) == [True, False, False, False]
    assert list(frame["value"].isna()) == [False, True, True, False]
    assert list(frame["flags"]) == [""] * 4
