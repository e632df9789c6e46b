"""What a file of weights holds, and why it would not load. Nothing in the file is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from robustbench_msda.errors import UserError
from robustbench_msda.models.channels import GREY, takes_grey, with_channels
from robustbench_msda.models.checkpoints import METADATA, Checkpoint, described, fresh
from robustbench_msda.models.file_format import file_format, suffix_advice
from robustbench_msda.models.layers import MOST_CLASSES, classes_of, in_order, numbered
from robustbench_msda.models.names import MODELS
from robustbench_msda.models.sources import Options, runs_code
from robustbench_msda.models.weights import (
    SHAPE,
    check_exists,
    check_finite,
    differences,
    head_classes,
    listed,
    misfit,
    open_weights,
    readings,
    unprefixed,
)
from robustbench_msda.recipes import make_recipe

# Any number: a file of another is known by its shapes.
CLASSES = 10
# More trouble than this share of a file's tensors, and its nearest model says nothing.
NEAR = 0.25
REMEDIES: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"missing", "unexpected"}),
        "it is of another network, or names its layers otherwise: give its own as --model path/to/file.py:callable",
    ),
    (frozenset({"unexpected"}), "where these are heads for training only, delete them and save the rest"),
    (frozenset({"missing"}), "it is a part of the network: get the whole, or give the network it is of"),
    (frozenset({SHAPE}), "it is of another width, or of images with other channels: give the network it is of"),
    (frozenset(), "convert its numbers to floating point and save it again"),
)


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a file of weights holds.

    Attributes:
        path: the file.
        size: in bytes.
        format: by its first bytes.
        container: the entry of a training checkpoint that its tensors lie in; empty where they are the whole of it.
        beside: what else lies there.
        prefix: of wrappers, before every name.
        state: the tensors, by name without the prefix, in the order of the network as far as that is known.
        metadata: what it says of itself, as text; empty for a stranger's.
        checkpoint: what it says of itself; None for a stranger's.
        source: the model source it was compared with; empty for none.
        classes: how many it answers with, as far as its shapes tell; 0 where they do not.
        problems: how it differs from ``source``, as ``weights.differences`` has it.
        matches: which of our architectures have exactly its names and shapes; not looked for where ``source`` fits.
        nearest: the one of ours that lacks little, and what; empty for none.
        fault: one line, why it would not load and what to do; empty where it would.
    """

    path: Path
    size: int
    format: str
    container: str = ""
    beside: tuple[str, ...] = ()
    prefix: str = ""
    state: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: str = ""
    checkpoint: Checkpoint | None = None
    source: str = ""
    classes: int = 0
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    matches: tuple[str, ...] = ()
    nearest: str = ""
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of our architectures beside the tensors of a file.

    Attributes:
        name: of the architecture.
        state: the tensors, named and ordered as its own are.
        problems: what differs, apart from the number of classes.
        classes: how many the file answers with; 0 where it does not fit.
    """

    name: str
    state: Mapping[str, Tensor]
    problems: Mapping[str, list[str]]
    classes: int


def inspect(path: Path, source: str = "", classes: int = 0) -> Inspection:
    """Return what the file ``path`` holds and why it would not load; a ``source`` that is a file is run.

    Args:
        path: a file of weights, of whatever kind.
        source: the model source it is to be loaded into; empty for what the file itself names, or else for a look
            among our own.
        classes: how many the data set has; 0 for as many as the file answers with.

    Raises:
        UserError: nothing is there.
        OSError: it cannot be opened.
    """
    check_exists(path)
    found = Inspection(path, path.stat().st_size, file_format(path))
    for step in (_opened, _described, partial(_compared, source=source, classes=classes), _finite):
        try:
            found = step(found)
        except UserError as error:
            return replace(found, fault=str(error))
        if found.fault:
            return found
    return found


def candidates(state: Mapping[str, Tensor]) -> Iterable[Candidate]:
    """Yield every architecture of ours beside the tensors ``state`` of a file; no weights are made."""
    for name in MODELS:
        with torch.device("meta"):
            expected = fresh(name, CLASSES, {}).state_dict()
            if takes_grey(unprefixed(state, expected), expected):
                expected = fresh(name, CLASSES, with_channels(name, {}, GREY)).state_dict()
        given = in_order(unprefixed(state, expected), expected)
        problems = differences(given, expected)
        other = list(problems) == [SHAPE] and head_classes(given, expected, CLASSES) == classes_of(given)
        fits = other or not problems
        yield Candidate(name, given, {} if fits else problems, classes_of(given) if fits else 0)


def _opened(found: Inspection) -> Inspection:
    try:
        weights = open_weights(found.path)
    except UserError as error:
        advice = suffix_advice(found.path, found.format)
        return replace(found, fault="; ".join(filter(None, (str(error), advice))))
    state = numbered(weights.state) if found.path.suffix == ".safetensors" else weights.state
    fault = "" if state else f"{found.path} holds no tensors: save the state dict of the trained network"
    text = weights.metadata.get(METADATA, "")
    return replace(found, container=weights.container, beside=weights.beside, state=state, metadata=text, fault=fault)


def _described(found: Inspection) -> Inspection:
    """Read what one of ours says of itself."""
    if not found.metadata:
        return found
    checkpoint = described(found.state, found.metadata, found.path)
    if checkpoint.recipe is not None:
        make_recipe(checkpoint.recipe, f"{found.path}: recipe")
    return replace(found, checkpoint=checkpoint)


def _compared(found: Inspection, source: str, classes: int) -> Inspection:
    own = found.checkpoint
    if own and source in ("", own.source):
        if runs_code(own.source) and not source:
            raise UserError(f"{found.path} wants to run the file {own.source}: if you trust it, say so with --model")
        options = with_channels(own.source, own.options, len(own.mean))
        return _beside(found, own.source, options, classes or len(own.classes))
    return _beside(found, source, {}, classes) if source else _identified(found, classes)


def _beside(found: Inspection, source: str, options: Options, classes: int) -> Inspection:
    """Compare the tensors with those of the network ``source``."""
    count = classes or classes_of(found.state) or CLASSES
    expected = {n: t for n, t in fresh(source, count, options).state_dict().items() if isinstance(t, Tensor)}
    given = in_order(unprefixed(found.state, expected), expected)
    if takes_grey(given, expected) and (grey := with_channels(source, options, GREY)) != options:
        return _beside(found, source, grey, classes)
    answers = classes_of(given) or classes
    seen = replace(_named(found, given), source=source, classes=answers, problems=differences(given, expected))
    if not seen.problems:
        return seen
    answered = head_classes(given, expected, count) if list(seen.problems) == [SHAPE] else None
    if answered and answered <= MOST_CLASSES and not classes:
        return _beside(found, source, options, answered)
    problem = misfit(given, expected, count)
    return replace(seen, fault=f"{found.path} {problem}") if answered else _advised(seen, problem)


def _advised(found: Inspection, problem: str) -> Inspection:
    """Say what to do about a file that does not fit."""
    matches = tuple(each.name for each in candidates(found.state) if not each.problems)
    advice = next(text for kinds, text in REMEDIES if kinds <= found.problems.keys())
    if prefix := _odd_prefix(found.problems):
        advice = f"the missing names are there with {prefix!r} before them: remove that and save it again"
    if matches:
        advice = f"it fits {' and '.join(matches)}: give that as --model"
    return replace(found, matches=matches, fault=f"{found.path} {problem}; {advice}")


def _odd_prefix(problems: Mapping[str, list[str]]) -> str:
    """Return what stands before every missing name among the unexpected ones; empty where nothing does."""
    missing, unexpected = problems.get("missing", []), set(problems.get("unexpected", []))
    longer = [name for name in sorted(unexpected) if missing and name.endswith(f".{missing[0]}")]
    prefixes = [name.removesuffix(missing[0]) for name in longer]
    return next((p for p in prefixes if all(p + name in unexpected for name in missing)), "")


def _identified(found: Inspection, classes: int) -> Inspection:
    """Look for the tensors among our architectures."""
    looked = list(candidates(found.state))
    exact = [each for each in looked if not each.problems]
    if not exact:
        return _unidentified(found, looked, classes)
    seen = replace(_named(found, exact[0].state), classes=exact[0].classes, matches=tuple(e.name for e in exact))
    return _of_data_set(seen, classes)


def _unidentified(found: Inspection, looked: list[Candidate], classes: int) -> Inspection:
    near = min(looked, key=lambda each: sum(map(len, each.problems.values())))
    little = sum(map(len, near.problems.values())) <= NEAR * len(found.state)
    seen = _named(found, near.state if little else in_order(readings(found.state)[-1], {}))
    nearest = f"{near.name} but for {listed(near.problems)}" if little else ""
    return _of_data_set(replace(seen, classes=classes_of(seen.state), nearest=nearest), classes)


def _of_data_set(found: Inspection, classes: int) -> Inspection:
    if found.classes and classes and found.classes != classes:
        fault = f"{found.path} answers with {found.classes} classes, the data set has {classes}: name its data set"
        return replace(found, fault=fault)
    return found


def _named(found: Inspection, state: Mapping[str, Tensor]) -> Inspection:
    """Take the names of ``state``, which lack a prefix that all names of the file share."""
    long, short = max(found.state, key=len), max(state, key=len)
    return replace(found, prefix=long[: len(long) - len(short)], state=state)


def _finite(found: Inspection) -> Inspection:
    # A tensor larger than the memory it lies in repeats its values: looking at each could take for ever.
    small = {n: t for n, t in found.state.items() if t.nbytes <= t.untyped_storage().nbytes()}
    check_finite({n: t.float() if t.is_floating_point() else t for n, t in small.items()}, str(found.path))
    return found
