"""Tables print what the score rows say, in every format."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_scores import AUGMENTATIONS, CLASSES, CORRUPTIONS, comparison_frame, scores_frame

from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.tables import TABLES, build_tables
from robustbench_msda.tables.csv import to_csv
from robustbench_msda.tables.latex import WIDEST, column_panels, to_latex
from robustbench_msda.tables.markdown import to_markdown
from robustbench_msda.tables.text import value_text
from robustbench_msda.tables.values import Column, Estimate, Row, TableData

SCORES = scores_frame()
COMPARISON = comparison_frame(SCORES)
NOTHING = pd.DataFrame()
SPECIAL = ("a_b & <c>", "50% $x$ #1 {y} ~z^ |", "[first] *bold* `code` \\n", 'quo"te')


def csv(name: str, scores: pd.DataFrame = SCORES, comparison: pd.DataFrame = COMPARISON) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(to_csv(TABLES[name](scores, comparison))))


def pipe_rows(text: str) -> list[list[str]]:
    """The cells of a pipe table, unescaped: an independent reader of what a Markdown renderer sees."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in row] for row in cells]


def tabular_rows(text: str) -> list[int]:
    """How many cells every line of a tabular has."""
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line and "&" in line]
    return [len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines]


def test_every_number_of_the_overview_equals_pandas() -> None:
    table = csv("overview").set_index("augmentation")
    columns = {
        "error": ("clean", "error", ""),
        "mean_corruption_error:c_made": ("digits_c_made", "mean_corruption_error", ""),
        "error:fgsm:8/255": ("fgsm", "error", "8/255"),
        "error:pgd:8/255": ("pgd", "error", "8/255"),
        "rms_calibration": ("clean", "rms_calibration", ""),
    }
    for column, (benchmark, metric, level) in columns.items():
        rows = SCORES[(SCORES.benchmark == benchmark) & (SCORES.metric == metric) & (SCORES.level == level)]
        expected = rows.groupby("augmentation")["value"].agg(["mean", "std", "count"]).loc[table.index]
        np.testing.assert_allclose(table[column], expected["mean"], rtol=1e-9)
        np.testing.assert_allclose(table[f"{column}_std"], expected["std"], rtol=1e-8)
        assert list(table[f"{column}_n"]) == list(expected["count"]) == [2] * 4


def test_the_overview_counts_degraded_classes_as_a_loop_does() -> None:
    table = csv("overview").set_index("augmentation")
    counts = SCORES[SCORES.metric == "correct_count"].groupby(["augmentation", "subset"])["value"].sum()
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
    pgd = SCORES[(SCORES.benchmark == "pgd") & (SCORES.level == "2/255")].groupby("augmentation")["value"].mean()
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
    assert "the median of N_DC, and p the chance" in TABLES["class_dependency"](SCORES, comparison).caption
    assert "No null of N_DC: needs 4 seeds a side." in TABLES["class_dependency"](SCORES, COMPARISON).caption


def test_markdown_prints_percent_of_what_the_csv_holds() -> None:
    rows = pipe_rows(to_markdown(TABLES["attacks"](SCORES, COMPARISON)))
    assert {len(row) for row in rows} == {9}
    table = csv("attacks")
    for row, (_, raw) in zip(rows[2:], table.iterrows(), strict=True):
        mean, spread = raw["error:pgd:8/255"], raw["error:pgd:8/255_std"]
        assert row[0] == raw["augmentation"]
        assert row[-1] == f"{100 * mean:.2f} ± {100 * spread:.2f}"


@pytest.mark.parametrize("name", TABLES)
def test_captions_say_n_spread_images_and_where(name: str) -> None:
    table = TABLES[name](SCORES, COMPARISON)
    assert "Mean ± standard deviation (ddof 1) over n=2 networks (seeds)." in table.caption
    assert re.search(r"Test images: digits (1,000|400) \(", table.caption)
    assert "dataset digits · model small_cnn" in to_markdown(table).replace("\\", "")
    assert ("8 of 15 corruptions" in table.caption) == (name in ("overview", "corruptions"))


@pytest.mark.parametrize("name", TABLES)
def test_single_seeds_print_no_spread_but_their_n(name: str) -> None:
    scores = scores_frame(seeds=1)
    table = TABLES[name](scores, comparison_frame(scores))
    assert "(n=1), without a spread" in table.caption
    header, _, *rows = pipe_rows(to_markdown(table))
    for row in rows:
        for title, text in zip(header, row, strict=True):
            assert "±" not in text or title in ("ΔR_DC (pp)", "ΔR_IC (pp)")


def test_a_mean_over_another_number_of_networks_says_so() -> None:
    lost = (SCORES.benchmark == "pgd") & (SCORES.augmentation == "mixup") & (SCORES.seed == "1")
    table = TABLES["attacks"](SCORES[~lost], COMPARISON)
    rows = {row[0]: row for row in pipe_rows(to_markdown(table))}
    assert all(text.endswith(" (n=1)") and "±" not in text for text in rows["mixup"][5:])
    assert all("±" in text and "n=" not in text for text in [*rows["mixup"][1:5], *rows["cutmix"][1:]])
    assert "over n=2 networks (seeds), unless a cell names another n." in table.caption


def test_what_was_not_scored_is_skipped_and_said(tmp_path: Path) -> None:
    built = build_tables(SCORES[SCORES.benchmark == "clean"], NOTHING, tmp_path)
    assert [table.name for table in built.tables] == ["overview", "classes"]
    assert built.skipped == {
        "corruptions": "no rows of corruption_error",
        "attacks": "no rows of error under an attack",
        "class_dependency": "no comparison with a baseline",
    }
    assert [path.name for path in built.paths] == [
        f"{name}.{suffix}" for name in ("overview", "classes") for suffix in ("csv", "tex", "md")
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


def test_names_with_markup_are_escaped_everywhere() -> None:
    scores = scores_frame(("vanilla", *SPECIAL), classes=(*SPECIAL, *CLASSES), dataset="d_1 & <e>")
    comparison = comparison_frame(scores)
    for name in TABLES:
        table = TABLES[name](scores, comparison)
        texts = {row.values[0] for row in table.rows}
        markdown = pipe_rows(to_markdown(table))
        assert {len(row) for row in markdown} == {len(table.columns)}
        assert texts <= {row[0] for row in markdown}
        assert not re.search(r"(?<!\\)[<&]", to_markdown(table))
        latex = to_latex(table)
        assert not re.search(r"(?<!\\)[#_^~]|<|>", re.sub(r"\\label.*", "", latex).replace(r"\cmidrule", ""))
        assert len(re.findall(r"(?<!\\)\$", latex)) % 2 == 0
        # After a line break of a tabular these would be read as its arguments.
        assert not re.search(r"^\s*[*\[]", latex, re.MULTILINE)
        assert {row.values[0] for row in table.rows} <= set(
            pd.read_csv(io.StringIO(to_csv(table)))[table.columns[0].key]
        )


@pytest.mark.parametrize("name", TABLES)
def test_latex_tabulars_have_as_many_cells_as_columns(name: str) -> None:
    latex = to_latex(TABLES[name](SCORES, COMPARISON))
    assert "multirow" not in latex
    layouts = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", latex)
    panels = re.split(r"\\begin\{tabular\}", latex)[1:]
    for layout, panel in zip(layouts, panels, strict=True):
        assert set(tabular_rows(panel)) == {len(layout)}
    numbers = sum(len(layout) for layout in layouts) - len(layouts)
    assert numbers == len(TABLES[name](SCORES, COMPARISON).columns) - 1


def test_long_tables_break_across_pages() -> None:
    scores = scores_frame(("vanilla", "cutmix"), seeds=1, classes=[f"class {k}" for k in range(100)])
    latex = to_latex(TABLES["classes"](scores, comparison_frame(scores)))
    assert latex.startswith("% \\usepackage{booktabs,longtable}")
    assert r"\begin{table}" not in latex
    assert latex.count(r"\begin{longtable}") == latex.count(r"\endhead") == 1


@given(st.lists(st.tuples(st.sampled_from(["", "noise", "blur"]), st.integers(1, 60)), max_size=20), st.integers(1, 40))
def test_panels_hold_every_column_once_and_fit_the_line(columns: list[tuple[str, int]], lead: int) -> None:
    titles = [Column("lead", "x" * lead), *(Column("c", "y" * width, "share", span) for span, width in columns)]
    panels = column_panels(titles, [])
    assert [k for panel in panels for k in panel[1:]] == list(range(1, len(titles)))
    for panel in panels:
        assert panel[0] == 0
        assert len(panel) <= 2 or sum(len(titles[k].title) + 2 for k in panel) <= WIDEST


@pytest.mark.parametrize(
    ("value", "format", "text"),
    [
        (Estimate(0.12345, 0.00678, 2), "share", "12.35 ± 0.68"),
        (Estimate(0.12345, float("nan"), 1), "share", "12.35 (n=1)"),
        (Estimate(0.0, 0.0, 2), "share", "0.00 ± 0.00"),
        (Estimate(-0.0667, 0.01), "change", "−6.67 ± 1.00"),
        (Estimate(0.0733), "change", "+7.33"),
        (Estimate(-1e-9), "change", "0.00"),
        (Estimate(1e-9), "change", "0.00"),
        (Estimate(0.01, low=-0.005, high=0.025, mark="*"), "change_interval", "+1.00 [−0.50, +2.50]*"),
        (Estimate(0.01), "change_interval", "+1.00"),
        (Estimate(24), "count", "24"),
        (Estimate(4.5), "count", "4.5"),
        (Estimate(0.0004), "probability", "< 0.001"),
        (Estimate(0.04567), "probability", "0.046"),
        (Estimate(float("nan"), 0.1, 2), "share", "–"),
        (None, "share", "–"),
        ("2 vs 2", "text", "2 vs 2"),
    ],
)
def test_values_print_as_these_golden_texts(value: Estimate | str | None, format: str, text: str) -> None:
    assert value_text(value, Column("key", "title", format), usual_n=2) == text  # type: ignore[arg-type]


def test_csv_columns_are_the_same_with_one_seed_as_with_two() -> None:
    assert list(csv("overview", scores_frame(seeds=1), NOTHING)) == list(csv("overview", SCORES, NOTHING))


@pytest.mark.extras
def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    scores = pd.concat(
        [
            scores_frame(("vanilla", *SPECIAL), classes=(*SPECIAL, *CLASSES), dataset="d_1 & <e>"),
            scores_frame(("vanilla", "cutmix"), seeds=1, classes=[f"class {k}" for k in range(60)], dataset="wide"),
        ]
    )
    built = build_tables(scores, comparison_frame(scores), tmp_path)
    inputs = "\n".join(rf"\input{{tables/{table.name}.tex}}\clearpage" for table in built.tables)
    packages = r"\usepackage[margin=1in]{geometry}\usepackage{booktabs,longtable}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=200)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_a_table_without_numbers_still_prints() -> None:
    table = TableData("t", "T", "C.", (Column("a", "A"), Column("b", "B", "share")), (Row(("d", "m"), ("x", None)),))
    assert pipe_rows(to_markdown(table))[2] == ["x", "–"]
    assert r"x & -- \\" in to_latex(table)
    assert to_csv(table) == "dataset,model,a,b,b_std,b_n\nd,m,x,,,\n"
