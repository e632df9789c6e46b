"""``robustbench-msda models``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_msda.cli import options

if TYPE_CHECKING:
    from robustbench_msda.models.checkpoints import Checkpoint
    from robustbench_msda.models.inspection import Inspection

# A hostile file may hold names of any length.
LONGEST = 1000
WIDTH = 18
SHOWN = 6
Row = tuple[str, str]


@click.group()
def models() -> None:
    """List our architectures, and say what is in a file of weights."""


@models.command("list")
def list_() -> None:
    """List our architectures, as ``list models`` does."""
    from robustbench_msda.cli.display import table
    from robustbench_msda.cli.listing import models as listed

    table(*listed())


@models.command(epilog="Example: robustbench-msda models inspect weights.pth --model timm/resnet18 --dataset cifar10")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", default="", help="The model source it is to fit.  [default: its own, or a look among ours]")
@click.option("--dataset", default="", help="The data set whose classes it is to answer with.")
@options.data_dir
def inspect(file: Path, model: str, dataset: str, data_dir: Path) -> None:
    """Print what FILE, a file of weights or a run folder, holds, and why it would not load.

    Nothing in FILE is run; a --model that is a Python file is. Leaves with status 1 where FILE would not load.
    """
    from robustbench_msda.errors import UserError
    from robustbench_msda.models import inspection
    from robustbench_msda.models.checkpoints import in_folder
    from robustbench_msda.training.loop import CHECKPOINT

    classes = _classes(dataset, data_dir) if dataset else 0
    found = inspection.inspect(in_folder(file, CHECKPOINT), model, classes)
    for label, text in rows(found):
        click.echo(f"{label:<{WIDTH}}{printable(text)}")
    if found.fault:
        raise UserError(printable(found.fault))


def _classes(dataset: str, data_dir: Path) -> int:
    """Return how many classes a data set has; a known one need not be here."""
    from robustbench_msda.data.datasets import dataset_name, open_dataset
    from robustbench_msda.data.known import DATASETS

    known = DATASETS.get(dataset_name(dataset))
    return len(known.classes if known else open_dataset(dataset, data_dir).classes)


def printable(text: str) -> str:
    """Return ``text`` on one line, without what would move a terminal's cursor, and not for ever."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def rows(found: Inspection) -> Iterator[Row]:
    """Yield what an inspection found, a label and a text a line."""
    yield "file", f"{found.path}, {found.size:,} bytes"
    yield "format", found.format
    yield from _origin(found) if found.state else ()
    yield from _tensors(found) if found.state else ()
    yield from _fit(found) if found.state else ()


def _origin(found: Inspection) -> Iterator[Row]:
    """Yield whose it is, and what it was wrapped in."""
    if found.checkpoint:
        yield from _ours(found.checkpoint)
    elif not found.metadata:
        yield "made by", "another program: it says nothing of its model, classes and normalisation"
    if found.container:
        yield "taken from", f"entry {found.container}{_beside(found.beside)}"
    if found.prefix:
        yield "prefix", f"{found.prefix} before every name, left out below and in loading"


def _beside(names: tuple[str, ...]) -> str:
    return f", beside {_some(names)}" if names else ""


def _ours(checkpoint: Checkpoint) -> Iterator[Row]:
    from robustbench_msda.recipes import make_recipe

    yield "made by", "this package"
    yield "fingerprint", checkpoint.fingerprint
    given = "".join(f", {key}={value}" for key, value in checkpoint.options.items())
    yield "model", f"{checkpoint.source}{given}"
    if checkpoint.recipe is None:
        yield "recipe", "none: another program's weights, kept by this one"
    else:
        recipe = make_recipe(checkpoint.recipe)
        yield "recipe", f"{recipe.id}: {recipe.augmentation}, {recipe.epochs} epochs, seed {recipe.seed}"
    yield "data set", f"{checkpoint.dataset}, {len(checkpoint.classes)} classes: {_some(checkpoint.classes)}"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (checkpoint.mean, checkpoint.std))
    yield "normalisation", f"mean {mean}; std {std}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _tensors(found: Inspection) -> Iterator[Row]:
    """Yield counts, kinds of numbers, and the layers that show what the network eats and answers."""
    from robustbench_msda.models.layers import first_layer, last_layer, parameters

    yield "tensors", f"{len(found.state):,}, with {parameters(found.state):,} parameters"
    kinds = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in found.state.values())
    yield "numbers", ", ".join(f"{kind} in {n:,}" for kind, n in kinds.most_common())
    for label, name in (("first layer", first_layer(found.state)), ("last layer", last_layer(found.state))):
        if name:
            yield label, f"{name} {tuple(found.state[name].shape)}"
    yield "classes", f"{found.classes:,}" if found.classes else "unknown: no layer looks like the last"


def _fit(found: Inspection) -> Iterator[Row]:
    """Yield which network it is of."""
    if found.source:
        fits = "no" if found.problems else "yes"
        yield "fits", f"{found.source}: {fits}"
        yield from ((kind, f"{len(names):,}: {_some(tuple(names))}") for kind, names in found.problems.items())
    if found.matches:
        yield "names, shapes", f"those of {' and of '.join(found.matches)}"
    elif not found.source:
        yield "names, shapes", "none of ours has these: give --model SOURCE"
    if found.nearest:
        yield "nearest", found.nearest
