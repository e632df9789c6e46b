"""Tables hold what the score rows say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_scores import AUGMENTATIONS, CLASSES, CORRUPTIONS, comparison_frame, scores_frame
from table_reading import COMPARISON, NOTHING, SCORES, csv, pipe_rows

from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.tables import TABLES, build_tables
from robustbench_msda.tables.latex import to_latex
from robustbench_msda.tables.markdown import to_markdown


def test_every_number_of_the_overview_equals_pandas() -> None:
    table = csv("overview").set_index("augmentation")
    columns = {
        "error": ("clean", "error", ""),
        "mean_corruption_error:c_made": ("digits_c_made", "mean_corruption_error", ""),
        "error:fgsm:8/255": ("fgsm", "error", "8/255"),
        "error:pgd:8/255": ("pgd", "error", "8/255"),
        "mean_flip_probability:p_made": ("digits_p_made", "mean_flip_probability", ""),
        "rms_calibration": ("clean", "rms_calibration", ""),
    }
    assert [name for name in table if name in columns] == list(columns)
    for column, (benchmark, metric, level) in columns.items():
        rows = SCORES[(SCORES.benchmark == benchmark) & (SCORES.metric == metric) & (SCORES.level == level)]
        expected = rows.groupby("augmentation")["value"].agg(["mean", "std", "count"]).loc[table.index]
        np.testing.assert_allclose(table[column], expected["mean"], rtol=1e-9)
        np.testing.assert_allclose(table[f"{column}_std"], expected["std"], rtol=1e-8)
        assert list(table[f"{column}_n"]) == list(expected["count"]) == [2] * 4


def test_the_overview_counts_degraded_classes_as_a_loop_does() -> None:
    table = csv("overview").set_index("augmentation")
    counts = (
        SCORES[(SCORES.metric == "correct_count") & (SCORES.benchmark == "clean")]
        .groupby(["augmentation", "subset"])["value"]
        .sum()
    )
    for augmentation in AUGMENTATIONS[1:]:
        falls = [counts[augmentation, name] - counts["vanilla", name] for name in CLASSES]
        degraded = [fall / 200 for fall in falls if fall < 0]
        assert table.loc[augmentation, "n_degraded_classes"] == len(degraded)
        assert table.loc[augmentation, "mean_recall_change_degraded"] == pytest.approx(np.mean(degraded))
        assert table.loc[augmentation, "mean_recall_change_degraded_std"] == pytest.approx(np.std(degraded, ddof=0))
    assert np.isnan(table.loc["vanilla", "n_degraded_classes"])


def test_corruptions_stand_in_the_order_of_the_literature_and_equal_pandas() -> None:
    table = csv("corruptions")
    names = [column.split(":")[1] for column in table if re.fullmatch(r"corruption_error:(?!.*_(std|n)$).*", column)]
    assert names[:3] == ["gaussian_noise", "impulse_noise", "snow"]
    assert set(names) == set(CORRUPTIONS)
    errors = SCORES[(SCORES.metric == "error") & (SCORES.benchmark == "digits_c_made")]
    for name in names:
        by_network = errors[errors.condition == name].groupby(["augmentation", "seed"])["value"].mean()
        expected = by_network.groupby("augmentation").agg(["mean", "std"]).loc[list(table["augmentation"])]
        np.testing.assert_allclose(table[f"corruption_error:{name}"], expected["mean"], rtol=1e-9)
        np.testing.assert_allclose(table[f"corruption_error:{name}_std"], expected["std"], rtol=1e-8)


def test_attacks_have_a_column_for_every_epsilon_in_order() -> None:
    table = csv("attacks")
    expected = [f"error:{name}:{k}/255" for name in ("fgsm", "pgd") for k in (1, 2, 4, 8)]
    assert [column for column in table if re.fullmatch(r"error:\w+:\d/255", column)] == expected
    errors = SCORES[SCORES.metric == "error"]
    pgd = errors[(errors.benchmark == "pgd") & (errors.level == "2/255")].groupby("augmentation")["value"].mean()
    assert table.set_index("augmentation")["error:pgd:2/255"].to_dict() == pytest.approx(pgd.to_dict())


def test_class_rows_keep_the_order_of_the_classes_and_their_changes() -> None:
    table = csv("classes")
    assert list(table["class"]) == list(CLASSES)
    recall = SCORES[SCORES.metric == "recall"].groupby(["augmentation", "subset"])["value"].mean()
    for augmentation in AUGMENTATIONS[1:]:
        expected = [recall[augmentation, name] - recall["vanilla", name] for name in CLASSES]
        np.testing.assert_allclose(table[f"recall_change:{augmentation}:vanilla"], expected, atol=1e-9)
        np.testing.assert_allclose(table[f"recall:{augmentation}"], [recall[augmentation, name] for name in CLASSES])


def test_classes_stand_in_the_order_of_the_outputs_not_of_the_alphabet() -> None:
    scores = pd.concat([scores_frame(classes=("zebra", "ant", "mole")), scores_frame(dataset="cifar10")])
    table = csv("classes", scores, comparison_frame(scores))
    assert list(table["class"]) == [*CLASSES, "zebra", "ant", "mole"]


def test_significant_changes_bear_a_star_and_others_do_not() -> None:
    rows = pipe_rows(to_markdown(TABLES["classes"](SCORES, COMPARISON)))
    header = rows[0].index("mixup: Δ vs vanilla (pp)")
    changes = COMPARISON[(COMPARISON.metric == "recall_change") & (COMPARISON.treatment == "mixup")]
    starred = {row[0] for row in rows[2:] if row[header].endswith("*")}
    assert starred == set(changes.loc[changes.significant == "yes", "subset"])
    assert 0 < len(starred) < len(CLASSES)


def test_class_dependency_leads_with_the_baseline_and_its_accuracy() -> None:
    table = csv("class_dependency")
    assert list(table["augmentation"]) == ["vanilla", "cutmix", "dropmix(rate=0.4, of=cutmix)", "mixup"]
    errors = SCORES[(SCORES.metric == "error") & (SCORES.benchmark == "clean")].groupby("augmentation")["value"]
    expected = (1 - errors.mean()).loc[list(table["augmentation"])]
    np.testing.assert_allclose(table["accuracy"], expected, rtol=1e-9)
    np.testing.assert_allclose(table["accuracy_std"], errors.std().loc[list(table["augmentation"])], rtol=1e-8)
    sums = table.set_index("augmentation").loc["mixup", ["n_degraded_classes", "n_improved_classes", "n_tied_classes"]]
    assert sums.sum() == len(CLASSES)
    assert list(table["networks"].iloc[1:]) == ["2 vs 2"] * 3


def test_two_baselines_give_two_groups() -> None:
    both = pd.concat([COMPARISON, comparison_frame(SCORES, "cutmix")])
    table = csv("class_dependency", comparison=both)
    assert set(table["baseline"]) == {"vanilla", "cutmix"}
    against = table[(table["baseline"] == "cutmix") & (table["augmentation"] == "mixup")]
    direct = table[(table["baseline"] == "vanilla") & (table["augmentation"] == "mixup")]
    assert float(against["mean_recall_change_degraded"].iloc[0]) != float(direct["mean_recall_change_degraded"].iloc[0])
    assert csv("overview", comparison=both).equals(csv("overview"))


def test_the_null_is_printed_with_its_p_where_it_was_computed() -> None:
    comparison = COMPARISON.copy()
    null = comparison["metric"] == "n_degraded_null_median"
    comparison.loc[null, ["value", "p", "flags"]] = [4.0, 0.0312, ""]
    rows = pipe_rows(to_markdown(TABLES["class_dependency"](SCORES, comparison)))
    row = dict(zip(rows[0], rows[3], strict=True))
    assert (row["null"], row["p"]) == ("4", "0.031")
    assert (
        "the median of N_DC [its central 95 %], and p the chance"
        in TABLES["class_dependency"](SCORES, comparison).caption
    )
    assert "No null of N_DC: needs 4 seeds a side." in TABLES["class_dependency"](SCORES, COMPARISON).caption


NO_BOXES = "no rows of an attack on a substitute: evaluate with --sources, or run the command transfer"


def test_what_was_not_scored_is_skipped_and_said(tmp_path: Path) -> None:
    built = build_tables(SCORES[SCORES.benchmark == "clean"], NOTHING, tmp_path)
    assert [table.name for table in built.tables] == ["overview", "classes", "calibration"]
    assert built.skipped == {
        "corruptions": "no rows of corruption_error",
        "perturbations": "no rows of flip_probability",
        "attacks": "no rows of error under an attack",
        "attack_suites": "no rows of error under an attack",
        "transfer": NO_BOXES,
        "transfer_matrix": NO_BOXES,
        "class_dependency": "no comparison with a baseline",
        "dependency_by_condition": "no comparison with a baseline",
        "class_confidence": "no comparison of confidence with a baseline",
        "confusion_flow": "no degraded class whose confusion_count was scored",
        "training_cost": "no rows of epoch_seconds",
    }
    assert [path.name for path in built.paths] == [
        f"{name}.{suffix}" for name in ("overview", "classes", "calibration") for suffix in ("csv", "tex", "md")
    ]
    assert all(path.stat().st_size for path in built.paths)
    assert list(csv("overview", SCORES[SCORES.benchmark == "clean"], NOTHING))[3:] == [
        *("error", "error_std", "error_n"),
        *("rms_calibration", "rms_calibration_std", "rms_calibration_n"),
    ]


@pytest.mark.parametrize("scores", [SCORES.iloc[:0], NOTHING])
def test_scores_without_rows_build_nothing(scores: pd.DataFrame, tmp_path: Path) -> None:
    built = build_tables(scores, NOTHING, tmp_path)
    assert built.paths == ()
    assert set(built.skipped) == set(TABLES)


def test_only_named_tables_are_built_and_names_are_checked(tmp_path: Path) -> None:
    built = build_tables(SCORES, COMPARISON, tmp_path, ["class-dependency"])
    assert [table.name for table in built.tables] == ["class_dependency"]
    with pytest.raises(UnknownName, match="Did you mean attacks"):
        build_tables(SCORES, COMPARISON, tmp_path, ["attack"])


def test_two_worlds_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    other = SCORES[SCORES.benchmark == "clean"].assign(world="feedbeef")
    with pytest.raises(UserError, match="2 worlds"):
        build_tables(pd.concat([SCORES, other]), COMPARISON, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_builds_give_the_same_bytes_whatever_the_order_of_rows(tmp_path: Path) -> None:
    first = build_tables(SCORES, COMPARISON, tmp_path / "first")
    networks = [SCORES[SCORES.fingerprint == name] for name in reversed(SCORES["fingerprint"].unique())]
    second = build_tables(pd.concat(networks), COMPARISON, tmp_path / "second")
    for one, other in zip(first.paths, second.paths, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_data_sets_and_models_are_groups_of_their_own() -> None:
    scores = pd.concat([SCORES, scores_frame(dataset="cifar10", model="timm/resnet20")])
    table = TABLES["overview"](scores, comparison_frame(scores))
    assert table.groups == [("cifar10", "timm/resnet20"), ("digits", "small_cnn")]
    alone = csv("overview")
    pd.testing.assert_frame_equal(csv("overview", scores).iloc[4:].reset_index(drop=True), alone, check_dtype=False)
    latex = to_latex(table)
    assert latex.count(r"\textit{dataset cifar10 $\cdot$ model timm/resnet20}") == latex.count(r"\begin{tabular}")
    assert pipe_rows(to_markdown(table))[2][:2] == ["cifar10", "timm/resnet20"]
