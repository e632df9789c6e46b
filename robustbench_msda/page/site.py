"""The folder of pages: every page rendered, linked and written; what an earlier report left is taken away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from robustbench_msda.figures import FIGURES, FigureFile
from robustbench_msda.files import write_text
from robustbench_msda.page.addresses import addresses
from robustbench_msda.page.class_index import class_index
from robustbench_msda.page.class_numbers import ClassNumbers, class_numbers
from robustbench_msda.page.classes import Name, class_names, class_page
from robustbench_msda.page.flipped import Flips
from robustbench_msda.page.glossary import Glossary
from robustbench_msda.page.groups import group_page
from robustbench_msda.page.leaderboard import Headlines, headlines, leaderboard
from robustbench_msda.page.networks import recipe_lines, train_command
from robustbench_msda.page.summary import Summary, Who, summarise
from robustbench_msda.page.versus import versus
from robustbench_msda.papers import layouts
from robustbench_msda.results.aggregates import tidy
from robustbench_msda.tables import FORMATS, TABLES, TableData
from robustbench_msda.tables.html import to_html

# Above the 96 of CSS, so that the text of a figure is near the size of the text around it.
PIXELS_PER_INCH = 120
# Of a thousand classes those that moved most have pages; the others are in the table of classes.
MOST_CLASSES = 200
STATIC = ("style.css", "page.js")
FORMAT_NAMES = {"csv": "CSV", "tex": "LaTeX", "md": "Markdown", "html": "HTML"}


@dataclass(frozen=True)
class Study:
    """What the pages are of.

    Attributes:
        name: of the scores.
        title: what was studied, such as its claim.
        scores: score rows.
        comparison: rows of a comparison, possibly none.
        facts: what the numbers rest on: recipe, machine, hours, commit, command, split, …
        notes: what a reader should know before the numbers, a paragraph each.
        recipes: by fingerprint, as JSON has them.
        glossary: how each number is defined.
        flips: the images that flipped, and where they are; none where no data set was named.
    """

    name: str
    title: str
    scores: pd.DataFrame
    comparison: pd.DataFrame
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    recipes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    glossary: Glossary = field(default_factory=dict)
    flips: Flips | None = None


@dataclass(frozen=True)
class Site:
    """A study with all numbers averaged, and where its pages are: relative to the folder, percent-encoded."""

    study: Study
    summary: Summary
    found: Headlines
    numbers: Mapping[Who, ClassNumbers]
    groups: Mapping[Who, str]
    classes: Mapping[Name, str]


def build_pages(
    study: Study, out: Path, tables: Sequence[TableData], figures: Sequence[FigureFile]
) -> tuple[Path, ...]:
    """Write the pages of ``study`` below ``out``, which open from the disk, and return where they are, index first.

    Args:
        study: what they are of.
        out: where ``build_tables`` and ``build_figures`` wrote.
        tables: what the first returned.
        figures: what the second returned.

    Raises:
        ValueError: a figure is not below ``out``.
        UserError: the scores are of several worlds, or a file cannot be written.
    """
    site = site_of(study)
    environment = Environment(
        loader=PackageLoader(__package__ or "robustbench_msda.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    written = []
    for address, template, values in rendered(site, tables, [page_figure(figure, out) for figure in figures]):
        root = "../" * address.count("/")
        page = environment.get_template(f"{template}.html.j2").render(study=study, root=root, here=template, **values)
        write_text(out / address, page)
        written.append(out / address)
    for name in STATIC:
        write_text(out / name, resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
        written.append(out / name)
    written += study.flips.write(out) if study.flips else []
    files = [out / "tables" / f"{table.name}.{suffix}" for table in tables for suffix in FORMATS]
    files += [path for figure in figures for path in (figure.svg, figure.png, figure.csv)]
    clear(out, [*written, *files])
    return tuple(written)


def site_of(study: Study) -> Site:
    """Return ``study`` with its numbers averaged and the addresses of its pages."""
    frame = tidy(study.scores)
    summary = summarise(frame, study.comparison)
    groups = {who: f"groups/{name}.html" for who, name in addresses(summary.groups).items()}
    numbers = class_numbers(summary)
    classes = {key: f"classes/{name}.html" for key, name in addresses(chosen_classes(numbers)).items()}
    return Site(study, summary, headlines(frame, study.comparison), numbers, groups, classes)


def chosen_classes(numbers: Mapping[Who, ClassNumbers]) -> list[Name]:
    """Return the classes that get pages: all of them, or those whose recall moved most under any method."""
    names = class_names(numbers)
    if len(names) <= MOST_CLASSES:
        return names
    moved: dict[Name, float] = {}
    for who, known in numbers.items():
        for name, change in known.changes.items():
            moved[who[0], name] = max(moved.get((who[0], name), 0.0), abs(change.value))
    kept = set(sorted(names, key=lambda name: -moved.get(name, 0.0))[:MOST_CLASSES])
    return [name for name in names if name in kept]


# Address, name of the template, and what it is filled with.
Page = tuple[str, str, dict[str, object]]


def rendered(site: Site, tables: Sequence[TableData], figures: Sequence[PageFigure]) -> Iterator[Page]:
    """Yield what every page is made of."""
    study, summary = site.study, site.summary
    groups = {who: quote(address) for who, address in site.groups.items()}
    names = {name: quote(address) for name, address in site.classes.items()}
    board = leaderboard(site.found, summary, groups) if groups else None
    yield "index.html", "index", {"board": board, "filters": filters(groups), "tables": tables, "figures": figures}
    yield "compare.html", "compare", {"data": versus(site.found, summary, groups)}
    yield (
        "classes.html",
        "classes",
        {"grids": class_index(site.numbers, summary.baselines, names), "left_out": left_out(site)},
    )
    yield "tables.html", "tables", {"tables": [page_table(table) for table in tables]}
    yield "figures.html", "figures", {"figures": figures}
    yield "definitions.html", "definitions", {}
    yield "study.html", "study", {}
    above_groups = {who: f"../{href}" for who, href in groups.items()}
    above_names = {name: f"../{href}" for name, href in names.items()}
    for place, (who, address) in enumerate(site.groups.items()):
        own_names = {name: href for (dataset, name), href in above_names.items() if dataset == who[0]}
        page = group_page(site.found, summary, site.numbers, who, own_names)
        base = (who[0], who[1], page.baseline)
        links = {
            "baseline_href": above_groups.get(base, ""),
            "compare": f"{list(groups).index(base) if base in groups else 0}-{place}",
        }
        yield address, "group", {"page": page, **links, **trained(site, who)}
    for name, address in site.classes.items():
        flips = study.flips.of_class(name, above_groups) if study.flips else ()
        page_of_class = class_page(site.numbers, summary.baselines, name, above_groups)
        yield address, "class", {"page": page_of_class, "flips": flips, **beside(site, name)}


def beside(site: Site, name: Name) -> dict[str, object]:
    """Return the classes before and after ``name``, with their pages."""
    listed = [each for each in site.classes if each[0] == name[0]]
    place = listed.index(name)
    around = {"before": place - 1, "after": place + 1}
    return {
        key: (listed[k][1], f"../{quote(site.classes[listed[k]])}") if 0 <= k < len(listed) else None
        for key, k in around.items()
    }


def left_out(site: Site) -> int:
    """Return how many classes have no page."""
    return len(class_names(site.numbers)) - len(site.classes)


def filters(groups: Mapping[Who, str]) -> dict[str, list[str]]:
    """Return the data sets and models a reader chooses from; none where there is one."""
    found = {name: sorted({who[k] for who in groups}) for k, name in enumerate(("Data set", "Model"))}
    return {name: values for name, values in found.items() if len(values) > 1}


def trained(site: Site, who: Who) -> dict[str, object]:
    """Return the recipe of a method and the commands that train its networks, where they are known."""
    networks = site.summary.networks[who].sort_values(["seed", "fingerprint"], kind="stable")
    recipes = [site.study.recipes[name] for name in networks["fingerprint"] if name in site.study.recipes]
    return {
        "recipe": recipe_lines(recipes[0]) if recipes else {},
        "commands": [train_command(recipe) for recipe in recipes],
    }


@dataclass(frozen=True)
class PageTable:
    """A table as the template writes it: its title, its HTML, and format to relative address."""

    name: str
    title: str
    html: str
    links: dict[str, str]


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template writes it: addresses are relative, sizes in CSS pixels."""

    name: str
    title: str
    caption: str
    alt: str
    width: int
    height: int
    links: dict[str, str]


def page_table(table: TableData) -> PageTable:
    """Return ``table`` as HTML with addresses relative to the folder."""
    links = {FORMAT_NAMES[suffix]: quote(f"tables/{table.name}.{suffix}") for suffix in FORMATS}
    return PageTable(table.name, table.title, to_html(table), links)


def page_figure(figure: FigureFile, out: Path) -> PageFigure:
    """Return ``figure`` with addresses relative to ``out``."""
    paths = {"SVG": figure.svg, "PNG": figure.png, "CSV": figure.csv}
    links = {suffix: quote(path.relative_to(out).as_posix()) for suffix, path in paths.items()}
    width, height = (round(PIXELS_PER_INCH * side) for side in figure.inches)
    return PageFigure(figure.name, figure.title, figure.caption, figure.alt, width, height, links)


def clear(out: Path, written: Iterable[Path]) -> None:
    """Delete what an earlier report wrote below ``out`` and this one did not: it would mislead."""
    kept = set(written)
    found = [*(out / "images").glob("*.png")]
    found += [path for folder in ("groups", "classes") for path in (out / folder).glob("*.html")]
    tables = {*TABLES, *layouts()}
    found += [path for suffix in FORMATS for path in (out / "tables").glob(f"*.{suffix}") if path.stem in tables]
    drawn = [path for suffix in ("svg", "png", "csv") for path in (out / "figures").glob(f"*.{suffix}")]
    found += [path for path in drawn if path.name.partition(".")[0] in FIGURES]
    for path in sorted(set(found) - kept):
        path.unlink()
