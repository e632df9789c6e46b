"""``robustbench-msda list``."""

from __future__ import annotations

from collections.abc import Mapping

import click


@click.command("list", epilog="Example: robustbench-msda list augmentations")
@click.argument(
    "what",
    type=click.Choice(["augmentations", "models", "benchmarks", "attacks", "metrics", "tables", "figures", "presets"]),
)
def list_(what: str) -> None:
    """List the names of a kind, with what they stand for."""
    from robustbench_msda.cli.display import table

    header, rows = LISTINGS[what]()
    table(header, rows)


# A name that no data set has.
ANY = "any_data_set"
Listing = tuple[list[str], list[list[str]]]


def augmentations() -> Listing:
    """Return every augmentation with its defaults."""
    from robustbench_msda.augmentations import AUGMENTATIONS

    return expressions_of(AUGMENTATIONS)


def attacks() -> Listing:
    """Return every attack with its defaults."""
    from robustbench_msda.attacks import ATTACKS

    return expressions_of(ATTACKS)


def expressions_of(table: Mapping[str, type]) -> Listing:
    """Return every name of a table with the defaults of its fields."""
    from robustbench_msda.expressions import defaults

    return ["name", "with its defaults", ""], [[n, defaults(n, table), first_line(c)] for n, c in table.items()]


def models() -> Listing:
    """Return every architecture of ours."""
    from robustbench_msda.models.names import MODELS

    rows = [[name, f"{model.parameters:,}", model.description, model.paper] for name, model in MODELS.items()]
    others = ["timm/NAME, torchvision/NAME, hf-hub:ID, path/to/file.py:callable", "", "any other classifier", ""]
    return ["name", "parameters", "", ""], [*rows, others]


def benchmarks() -> Listing:
    """Return the benchmarks of every known data set; those that any data set has are named once."""
    from robustbench_msda.benchmarks import benchmarks_of
    from robustbench_msda.data.known import DATASETS

    rows = {}
    for benchmark in benchmarks_of(ANY).values():
        name = benchmark.name.replace(ANY, "<dataset>")
        rows[name] = [name, str(benchmark.version), first_line(type(benchmark))]
    for dataset in DATASETS:
        for benchmark in benchmarks_of(dataset).values():
            if benchmark.name.replace(dataset, "<dataset>") not in rows:
                rows[benchmark.name] = [benchmark.name, str(benchmark.version), first_line(type(benchmark))]
    return ["name", "version", ""], list(rows.values())


def metrics() -> Listing:
    """Return the metrics and their definitions."""
    from robustbench_msda.metrics import METRICS

    return ["name", "definition"], [[name, text] for name, text in METRICS.items()]


def tables() -> Listing:
    """Return the tables: ours, then the papers'."""
    from robustbench_msda.papers import layouts
    from robustbench_msda.tables import TABLES

    own = [[name, first_line(table)] for name, table in TABLES.items()]
    alone = " (the paper's numbers alone)"
    return ["name", ""], [*own, *([name, each.title + alone * bool(each.needs)] for name, each in layouts().items())]


def figures() -> Listing:
    """Return the figures."""
    from robustbench_msda.figures import FIGURES

    return ["name", ""], [[name, first_line(figure)] for name, figure in FIGURES.items()]


def presets() -> Listing:
    """Return the training settings of the papers."""
    from robustbench_msda.recipes import PRESETS

    return ["name", "settings"], [[name, ", ".join(f"{k}={v}" for k, v in p.items())] for name, p in PRESETS.items()]


def first_line(thing: object) -> str:
    """Return the first line of a docstring."""
    return (thing.__doc__ or "").strip().partition("\n")[0].replace("``dataset``", "the data set").replace("``", "")


LISTINGS = {
    "augmentations": augmentations,
    "models": models,
    "benchmarks": benchmarks,
    "attacks": attacks,
    "metrics": metrics,
    "tables": tables,
    "figures": figures,
    "presets": presets,
}
