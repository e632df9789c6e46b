"""The pages of a report: every link leads somewhere, every table is told, and no name becomes markup."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from page_reading import FACTS, HOSTILE, METHODS, NOTES, build, read, targets, two_datasets
from synthetic_scores import comparison_frame, scores_frame

from robustbench_msda.figures import FigureFile
from robustbench_msda.page import Study, build_pages
from robustbench_msda.page.addresses import addresses


@pytest.fixture(scope="module")
def pages(out: Path) -> list[Path]:
    return sorted(out.rglob("*.html"))


def test_there_is_a_page_for_every_method_and_class(out: Path) -> None:
    assert len(list((out / "groups").glob("*.html"))) == len(METHODS) + 2
    assert len(list((out / "classes").glob("*.html"))) == 20
    assert (out / "index.html").is_file()


def test_every_link_leads_to_a_file_and_an_anchor_in_it(pages: list[Path]) -> None:
    readers = {page.resolve(): read(page) for page in pages}
    for page, reader in readers.items():
        for path, anchor in targets(page, reader.references):
            assert path.is_file(), (page.name, path)
            if anchor and path.name != "compare.html":
                assert anchor in readers[path].ids, (page.name, path.name, anchor)


def test_ids_are_there_once(pages: list[Path]) -> None:
    for page in pages:
        ids = read(page).ids
        assert len(ids) == len(set(ids)), page.name


def test_every_table_has_a_caption_and_every_header_a_scope(pages: list[Path]) -> None:
    for page in pages:
        reader = read(page)
        assert len(reader.captions) == len(reader.tables)
        assert all(len(caption) > 10 for caption in reader.captions)
        assert all(values.get("scope") for tag, values in reader.tags if tag == "th"), page.name
        for table in reader.tables:
            widths = {len(row) for row in table if len(row) > 1 and "" not in row[:1]}
            assert len(widths) <= 2, page.name


def test_drawings_are_read_out_or_hidden_and_images_have_words(pages: list[Path]) -> None:
    for page in pages:
        for tag, values in read(page).tags:
            if tag == "svg":
                assert values.get("aria-hidden") == "true" or len(values["aria-label"]) > 30
            if tag == "img":
                assert len(values["alt"]) > 10
                assert int(values["width"]) > 0


def test_nothing_is_asked_of_anybody(out: Path) -> None:
    for path in [*out.rglob("*.html"), *out.rglob("*.css"), *out.rglob("*.js")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttp|innerHTML", text), path.name


def test_the_script_is_short(out: Path) -> None:
    assert len((out / "page.js").read_text(encoding="utf-8").splitlines()) <= 300


def test_every_page_works_on_a_phone_and_in_the_dark(pages: list[Path], out: Path) -> None:
    for page in pages:
        metas = [values for tag, values in read(page).tags if tag == "meta"]
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "prefers-color-scheme: dark" in (out / "style.css").read_text(encoding="utf-8")


def test_facts_and_notes_are_told_and_escaped(out: Path) -> None:
    reader = read(out / "study.html")
    assert {*FACTS, *FACTS.values(), *NOTES, "DropMix & classes"} <= set(reader.text)
    assert "b" not in {tag for tag, _ in reader.tags}


def test_every_metric_that_is_linked_is_defined(out: Path) -> None:
    reader = read(out / "definitions.html")
    assert "share of images whose first answer is wrong" in reader.text
    assert "metric-rms_calibration" in reader.ids
    assert any(text.startswith("Steps of rel_stepsize") for text in reader.text)


def test_two_builds_give_the_same_bytes_whatever_the_order_of_networks(out: Path, tmp_path: Path) -> None:
    scores, comparison = two_datasets()
    networks = [scores[scores["fingerprint"] == name] for name in reversed(scores["fingerprint"].unique())]
    build(tmp_path, pd.concat(networks), comparison, facts=FACTS, notes=NOTES)
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_pages_of_an_earlier_report_are_taken_away(tmp_path: Path) -> None:
    stale = [tmp_path / "groups" / "old.html", tmp_path / "classes" / "old.html", tmp_path / "images" / "d-1.png"]
    stale += [tmp_path / "tables" / "overview.tex", tmp_path / "figures" / "recall_change.digits.cutmix.svg"]
    mine = [tmp_path / "images" / "mine.txt", tmp_path / "tables" / "mine.csv", tmp_path / "figures" / "mine.svg"]
    for path in (*stale, *mine):
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    scores = scores_frame(("vanilla",), seeds=1)
    build_pages(Study("s", "T", scores, pd.DataFrame()), tmp_path, [], [])
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in mine)


def test_recipes_of_one_augmentation_are_told_apart_and_none_is_compared_with_what_is_not_there(tmp_path: Path) -> None:
    scores = scores_frame(("vanilla", "cutmix"), seeds=1)
    other = scores_frame(("vanilla",), seeds=1)
    other["fingerprint"], other["group"] = "another00000", "ffffff000000"
    both = pd.concat([scores, other])
    build(tmp_path, both, comparison_frame(scores))
    (page,) = (tmp_path / "groups").glob("*cutmix*.html")
    told = read(page)
    assert any(text.startswith("Compare with vanilla · ") for text in told.text)
    (link,) = [each for each in told.references if "compare.html#" in each]
    groups = json.loads(
        (tmp_path / "compare.html")
        .read_text(encoding="utf-8")
        .partition('id="versus-data">')[2]
        .partition("</script>")[0]
    )["groups"]
    chosen = [groups[int(k)][2] for k in link.partition("#")[2].split("-")]
    assert chosen[0].startswith("vanilla · ")
    assert chosen[1] == "cutmix"


def test_attacks_of_several_settings_stand_apart(tmp_path: Path) -> None:
    scores = scores_frame(("vanilla",), seeds=1)
    pgd = scores[(scores["benchmark"] == "pgd") & (scores["metric"] == "error")]
    more = pgd.assign(condition="pgd(steps=40)", value=0.99)
    build(tmp_path, pd.concat([scores, more]), pd.DataFrame())
    (page,) = (tmp_path / "groups").glob("*.html")
    rows = {row[0]: row[1:] for table in read(page).tables for row in table if row}
    assert set(rows["pgd(steps=40)"]) <= {"99.00", "–"}
    (text,) = pgd["condition"].unique()
    assert f"{100 * pgd['value'].iloc[0]:.2f}" in rows[text]
    assert "pgd" not in rows


def test_no_name_becomes_markup(tmp_path: Path) -> None:
    scores = scores_frame(("vanilla", HOSTILE), classes=(HOSTILE, "a_b & <c>", "plain"), dataset="<d>")
    names = {"title": HOSTILE, "facts": {HOSTILE: HOSTILE}, "notes": [HOSTILE], "glossary": {}}
    build(tmp_path, scores, comparison_frame(scores), **names)
    for page in tmp_path.rglob("*.html"):
        reader = read(page)
        scripts = [values for tag, values in reader.tags if tag == "script"]
        assert all("src" in values or values.get("type") == "application/json" for values in scripts), page.name
        assert not {"c", "d"} & {tag for tag, _ in reader.tags}
        assert all(path.is_file() for path, _ in targets(page, reader.references))
    assert sum(HOSTILE in text for text in read(tmp_path / "index.html").text) >= 3


def test_scores_of_one_network_alone_are_a_report(tmp_path: Path) -> None:
    scores = scores_frame(("vanilla",), seeds=1)
    build_pages(Study("s", "One", scores, pd.DataFrame()), tmp_path, [], [])
    (page,) = (tmp_path / "groups").glob("*.html")
    assert "Compare with" not in page.read_text(encoding="utf-8")


def test_a_report_of_nothing_is_still_a_page(tmp_path: Path) -> None:
    build_pages(Study("s", "Nothing yet", pd.DataFrame(), pd.DataFrame()), tmp_path, [], [])
    reader = read(tmp_path / "index.html")
    assert reader.tables == []
    assert "Nothing yet" in reader.text


def test_a_figure_elsewhere_is_the_callers_mistake(tmp_path: Path) -> None:
    paths = [Path(f"/elsewhere/f.{suffix}") for suffix in ("svg", "png", "csv")]
    figure = FigureFile("f", "F", "c", "a", (1.0, 1.0), *paths)
    with pytest.raises(ValueError, match="elsewhere"):
        build_pages(Study("s", "T", scores_frame(seeds=1), pd.DataFrame()), tmp_path, [], [figure])


def test_names_that_differ_in_little_are_different_files() -> None:
    keys = [("d", "a b"), ("d", "a-b"), ("d", "A-B"), ("d", "…"), ("d", "x" * 300)]
    found = list(addresses(keys).values())
    assert len({name.casefold() for name in found}) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9_.=-]{1,100}", name) for name in found)


def test_pages_import_neither_torch_nor_the_interactive_side_of_matplotlib() -> None:
    code = "import sys, robustbench_msda.page as p; print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
