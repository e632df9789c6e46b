"""Every format prints the same table, escaped, with its n and spread."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_scores import CLASSES, comparison_frame, scores_frame
from table_reading import COMPARISON, NOTHING, SCORES, SPECIAL, csv, pipe_rows, tabular_rows

from robustbench_msda.tables import TABLES, build_tables
from robustbench_msda.tables.csv import to_csv
from robustbench_msda.tables.latex import WIDEST, column_panels, to_latex
from robustbench_msda.tables.markdown import to_markdown
from robustbench_msda.tables.text import value_text
from robustbench_msda.tables.values import Column, Estimate, Row, TableData


def test_markdown_prints_percent_of_what_the_csv_holds() -> None:
    rows = pipe_rows(to_markdown(TABLES["attacks"](SCORES, COMPARISON)))
    assert {len(row) for row in rows} == {9}
    table = csv("attacks")
    for row, (_, raw) in zip(rows[2:], table.iterrows(), strict=True):
        mean, spread = raw["error:pgd:8/255"], raw["error:pgd:8/255_std"]
        assert row[0] == raw["augmentation"]
        assert row[-1] == f"{100 * mean:.2f} ± {100 * spread:.2f}"


# All but the one whose rows are of training, and those of several attacks and networks (see test_tables_attacks).
SCORED = [name for name in TABLES if name not in ("training_cost", "attack_suites", "transfer", "transfer_matrix")]
# Tables whose spreads are over classes, and what they say of networks.
OVER_CLASSES = ("dependency_by_condition", "class_confidence", "confusion_flow")
BOTH_SIDES = "Averaged over n={n} against {n} networks (seeds) of the method and the baseline."


@pytest.mark.parametrize("name", SCORED)
def test_captions_say_n_spread_images_and_where(name: str) -> None:
    table = TABLES[name](SCORES, COMPARISON)
    over = "Mean ± standard deviation (ddof 1) over n=2 networks (seeds)."
    assert (BOTH_SIDES.format(n=2) if name in OVER_CLASSES else over) in table.caption
    assert re.search(r"(Test images|Videos): digits (1,000|400) \(", table.caption)
    assert "dataset digits · model small_cnn" in to_markdown(table).replace("\\", "")
    assert ("8 of 15 corruptions" in table.caption) == (name in ("overview", "corruptions", "calibration"))


@pytest.mark.parametrize("name", SCORED)
def test_single_seeds_print_no_spread_but_their_n(name: str) -> None:
    scores = scores_frame(seeds=1)
    table = TABLES[name](scores, comparison_frame(scores))
    assert (BOTH_SIDES.format(n=1) if name in OVER_CLASSES else "(n=1), without a spread") in table.caption
    header, _, *rows = pipe_rows(to_markdown(table))
    for row in rows:
        for title, text in zip(header, row, strict=True):
            assert "±" not in text or re.search(r"Δ[RC]_[DI]C \(pp\)$", title)


def test_a_mean_over_another_number_of_networks_says_so() -> None:
    lost = (SCORES.benchmark == "pgd") & (SCORES.augmentation == "mixup") & (SCORES.seed == "1")
    table = TABLES["attacks"](SCORES[~lost], COMPARISON)
    rows = {row[0]: row for row in pipe_rows(to_markdown(table))}
    assert all(text.endswith(" (n=1)") and "±" not in text for text in rows["mixup"][5:])
    assert all("±" in text and "n=" not in text for text in [*rows["mixup"][1:5], *rows["cutmix"][1:]])
    assert "over n=2 networks (seeds), unless a cell names another n." in table.caption


def test_names_with_markup_are_escaped_everywhere() -> None:
    scores = scores_frame(("vanilla", *SPECIAL), classes=(*SPECIAL, *CLASSES), dataset="d_1 & <e>")
    comparison = comparison_frame(scores)
    for name in SCORED:
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


@pytest.mark.parametrize("name", SCORED)
def test_latex_tabulars_have_as_many_cells_as_columns(name: str) -> None:
    latex = to_latex(TABLES[name](SCORES, COMPARISON))
    assert "multirow" not in latex
    layouts = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", latex)
    panels = re.split(r"\\begin\{tabular\}", latex)[1:]
    for layout, panel in zip(layouts, panels, strict=True):
        assert set(tabular_rows(panel)) == {len(layout)}
    columns = TABLES[name](SCORES, COMPARISON).columns
    # Leading text is repeated in every panel.
    lead = next(k for k, column in enumerate(columns) if column.format != "text")
    assert sum(len(layout) - lead for layout in layouts) == len(columns) - lead


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
        (Estimate(3.14159, 0.256, 2), "distance", "3.14 ± 0.26"),
        (Estimate(3.14159, float("nan"), 1), "distance", "3.14 (n=1)"),
        (Estimate(24), "count", "24"),
        (Estimate(4.5), "count", "4.5"),
        (Estimate(4.5, low=1, high=9), "count_interval", "4.5 [1, 9]"),
        (Estimate(4.5), "count_interval", "4.5"),
        (Estimate(-0.5049), "correlation", "−0.50"),
        (Estimate(0.9), "correlation", "+0.90"),
        (Estimate(-0.001), "correlation", "0.00"),
        (Estimate(0.58649, 0.0151, 2), "precise", "0.586 ± 0.015"),
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
