"""Reports from stored scores: tables, charts and the pages of a study."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robustbench_msda import figures, tables
from robustbench_msda.comparison import CLEAN, COLUMNS
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.page import Study, build_pages
from robustbench_msda.page.flipped import Flips, find_flips
from robustbench_msda.page.glossary import glossary
from robustbench_msda.page.summary import summarise
from robustbench_msda.papers import BuiltPapers, Request, Terms, build_paper_tables, layouts
from robustbench_msda.results.aggregates import tidy
from robustbench_msda.results.attacks import SEVERAL
from robustbench_msda.results.scores import read_scores
from robustbench_msda.results.store import Results
from robustbench_msda.scoring import TRAINING
from robustbench_msda.tables.markdown import to_markdown
from robustbench_msda.tables.values import Spread

TEXT = ("dataset", "model", "baseline", "treatment", "metric", "subset", "significant", "flags", "on")


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        overview: the overview table for a terminal; empty where the scores have no rows for it.
        paths: tables, figures, and the first of the pages.
        skipped: tables and figures that were not built, and why.
    """

    overview: str
    paths: tuple[Path, ...]
    skipped: dict[str, str]


def build(
    name: str, results: Path, reports: Path, spread: Spread = "deviation", data_dir: Path | None = None
) -> Report:
    """Write the tables, figures and pages of the scores ``name`` to ``<reports>/<name>``.

    Args:
        name: of ``scores/<name>.csv.gz`` in the results folder; its comparison and description are used where they are.
        results: the results folder.
        reports: where reports are.
        spread: what stands behind means over networks in tables.
        data_dir: where data sets are: then the pages of classes show the images that flipped, from the predictions in
            the results folder; None for no images.

    Raises:
        MissingData: there are no such scores, or no predictions or data set for the images.
        UserError: a file cannot be read or written.
    """
    scores, comparison, out = (
        tidy(read_scores(scores_path(name, results))),
        read_comparison(name, results),
        reports / name,
    )
    described = description(name, results)
    study = Study(
        name=name,
        title=str(described.get("claim", f"Scores {name}")),
        scores=scores,
        comparison=comparison,
        facts=facts(described),
        notes=notes(scores),
        recipes=recipes(described, scores, results),
        glossary=glossary(scores, comparison),
        flips=flips(scores, comparison, results, data_dir) if data_dir else None,
    )
    built = tables.build_tables(scores, comparison, out, spread=spread)
    printed, refused = fed_tables(name, described, results, out)
    drawn = figures.build_figures(scores, comparison, out)
    pages = build_pages(study, out, (*built.tables, *printed.tables), drawn.figures)
    # Markdown's escapes are for files; a terminal shows them as they are.
    texts = [to_markdown(table).replace("\\", "") for table in built.tables if table.name == "overview"]
    overview = texts[0] if texts else ""
    skipped = built.skipped | refused | drawn.skipped
    return Report(overview, (*built.paths, *printed.paths, *drawn.paths, pages[0]), skipped)


def fed_tables(name: str, described: dict[str, object], results: Path, out: Path) -> tuple[BuiltPapers, dict[str, str]]:
    """Write the papers' tables that the study ``name`` says it feeds, its numbers beside the papers'.

    What it says that stands for what is put there, marked; so are stimuli that were made here.

    Returns:
        What was built, and why nothing was: something stands for what is in none of these tables, or the scores of a
        number are of several recipes.
    """
    feeds, stands = described.get("feeds"), described.get("stands")
    names = tuple(str(table) for table in feeds if table in layouts()) if isinstance(feeds, list) else ()
    terms = Terms(dict(stands) if isinstance(stands, dict) else {}, allow_made=True)
    try:
        built = build_paper_tables(Request(names, name, terms=terms), results, out)
    except UserError as error:
        return BuiltPapers((), ()), {", ".join(names): str(error)}
    return built, {}


def flips(scores: pd.DataFrame, comparison: pd.DataFrame, results: Path, data_dir: Path) -> Flips:
    """Return the clean test images that the methods of tidy ``scores`` answer otherwise than their baselines."""
    clean = scores[scores["benchmark"] == CLEAN.benchmark]
    worlds = {str(dataset): str(world) for dataset, world in clean[["dataset", "world"]].drop_duplicates().to_numpy()}
    return find_flips(summarise(scores, comparison), worlds, Results(results), data_dir)


def recipes(described: dict[str, object], scores: pd.DataFrame, results: Path) -> dict[str, dict[str, object]]:
    """Return the recipes of the networks of ``scores``, by fingerprint: the study's, else those of the checkpoints."""
    told = described.get("recipes")
    known = dict(told) if isinstance(told, dict) else {}
    records = Results(results).checkpoints()
    found = {
        name: known.get(name) or (records[name].recipe if name in records else None)
        for name in set(scores["fingerprint"])
    }
    return {name: recipe for name, recipe in sorted(found.items()) if recipe}


def build_tables(
    name: str,
    results: Path,
    reports: Path,
    names: Sequence[str] | None = None,
    spread: Spread = "deviation",
    formats: Sequence[str] = tables.REPORTED,
) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Write the tables ``names`` of the scores ``name``; return their files, and why others were not built."""
    scores, comparison = read_scores(scores_path(name, results)), read_comparison(name, results)
    built = tables.build_tables(scores, comparison, reports / name, names, spread, formats)
    return built.paths, built.skipped


def build_figures(
    name: str, results: Path, reports: Path, names: Sequence[str] | None = None
) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Draw the figures ``names`` of the scores ``name``; return their files, and why others were not built."""
    scores, comparison = read_scores(scores_path(name, results)), read_comparison(name, results)
    drawn = figures.build_figures(scores, comparison, reports / name, names)
    return drawn.paths, drawn.skipped


def draw_comparison(comparison: pd.DataFrame, out: Path) -> tuple[Path, ...]:
    """Draw the recall changes of ``comparison`` below ``out`` and return the files."""
    return figures.build_figures(pd.DataFrame(), comparison, out, ["recall_change"]).paths


def scores_path(name: str, results: Path) -> Path:
    """Return where the scores ``name`` are."""
    return results / "scores" / f"{name}.csv.gz"


def read_comparison(name: str, results: Path) -> pd.DataFrame:
    """Return the comparison ``name``, or an empty frame where there is none.

    Raises:
        DamagedData: the file is not a comparison.
    """
    path = results / "comparisons" / f"{name}.csv"
    if not path.exists():
        return pd.DataFrame()
    missing = {name: [""] for name in COLUMNS if name not in TEXT}
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=missing)
        # Comparisons were of the clean images alone before the column was there.
        return frame.assign(on=frame.get("on", CLEAN.text))[list(COLUMNS)]
    except (KeyError, ValueError, OSError) as error:
        raise DamagedData(f"{path} is not a comparison ({error}); delete it and run the study again") from None


def description(name: str, results: Path) -> dict[str, object]:
    """Return what a study said of itself in ``<name>.json``; nothing where it said nothing.

    Raises:
        DamagedData: the file is not a JSON object.
    """
    path = results / f"{name}.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DamagedData(f"{path} is not a study's description ({error}); run the study again") from None
    if not isinstance(found, dict):
        raise DamagedData(f"{path} is not a study's description ({type(found).__name__}); run the study again")
    return found


def facts(described: dict[str, object]) -> dict[str, str]:
    """Return what the numbers rest on, in words: recipe, benchmarks, machine, hours, command and commit."""
    if not described:
        return {}
    machine, hours, benchmarks, recipes = (
        dict(found) if isinstance(found := described.get(key), dict) else {}
        for key in ("machine", "hours", "benchmarks", "recipes")
    )
    shared = shared_settings(list(recipes.values()))
    told = {
        "recipe": ", ".join(f"{name} {value}" for name, value in shared.items()),
        "networks": str(len(recipes)),
        "test images": ", ".join(f"{name}: {limit or 'all'}" for name, limit in benchmarks.items()),
        "machine": ", ".join(f"{name} {value}" for name, value in machine.items()),
        "hours": ", ".join(f"{name} {value}" for name, value in hours.items()) + " (worker hours)" * bool(hours),
        "command": str(described.get("command", "")),
        "commit": str(described.get("commit", "")),
        "made": str(described.get("created", "")),
    }
    return {name: text for name, text in told.items() if text}


def shared_settings(recipes: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return the fields that all ``recipes`` have in common, but for empty lists and tables."""
    first = recipes[0] if recipes else {}
    return {
        name: value
        for name, value in first.items()
        if value not in ({}, []) and all(recipe.get(name) == value for recipe in recipes)
    }


def notes(scores: pd.DataFrame) -> list[str]:
    """Return what a reader should know first: what an aggregate is of, and which stimuli were made here."""
    told = []
    # That stimuli were made is told below.
    judged = scores[scores["benchmark"] != TRAINING]
    for flag in sorted(set(judged["flags"]) - {"", "made"}):
        if not re.fullmatch(SEVERAL, flag):
            metrics = ", ".join(sorted(set(judged.loc[judged["flags"] == flag, "metric"])))
            told.append(f"{metrics}: {flag}.")
    if scores["benchmark"].str.endswith("_made").any():
        told.append("Stimuli that were made from the test images are not the official files, which hold other draws.")
    return told
