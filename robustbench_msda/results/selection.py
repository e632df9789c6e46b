"""Which checkpoints a user means: a path, a fingerprint prefix, or fields of the recipe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from robustbench_msda.errors import UserError, unknown
from robustbench_msda.results.store import CheckpointRecord

FIELDS = ("augmentation", "model", "dataset", "seed", "group", "recipe_id")


def select(
    selections: Iterable[str], records: Mapping[str, CheckpointRecord], short: Callable[[str], str] = str
) -> list[CheckpointRecord]:
    """Return the records that any of ``selections`` names, each once, by augmentation, model and seed.

    Args:
        selections: each a run folder, a checkpoint file, a fingerprint prefix of at least four digits, or fields such
            as ``augmentation=cutmix,model=resnet20``, all of which must hold.
        records: by fingerprint.
        short: gives the short text of an augmentation, which is what records hold, in whatever form a user wrote it.

    Raises:
        UserError: a selection names nothing.
    """
    chosen: dict[str, CheckpointRecord] = {}
    for selection in selections:
        found = [record for record in records.values() if matches(selection, record, short)]
        if not found:
            known = sorted({record.augmentation for record in records.values()} - {""})
            raise UserError(
                f"no evaluated checkpoint matches {selection!r} among {len(records)} (augmentations: {known}); "
                "evaluate it first, or select by augmentation=…, model=…, a run folder or a fingerprint"
            )
        chosen |= {record.fingerprint: record for record in found}
    return sorted(chosen.values(), key=lambda record: (record.augmentation, record.source, record.seed or 0))


def matches(selection: str, record: CheckpointRecord, short: Callable[[str], str] = str) -> bool:
    """Return whether ``selection`` names ``record``."""
    if "=" in selection and not Path(selection).exists():
        return all(value == field_text(record, name) for name, value in clauses(selection, short))
    if re.fullmatch(r"[0-9a-f]{4,12}", selection) and record.fingerprint.startswith(selection):
        return True
    path = Path(selection).resolve()
    return Path(record.path).resolve() in (path, path / "checkpoint.safetensors")


def clauses(selection: str, short: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """Return the (field, value) pairs of ``augmentation=dropmix(rate=0.4, of=cutmix),model=resnet20``."""
    pairs = []
    for clause in outside_brackets(selection):
        name, _, value = clause.strip().partition("=")
        if name not in FIELDS:
            raise unknown(name, FIELDS, f"field of a selection in {selection!r}:")
        pairs.append((name, re.sub(r"\s", "", short(value) if name == "augmentation" else value)))
    return pairs


def outside_brackets(text: str) -> list[str]:
    """Return the pieces of ``text`` between commas that are in no brackets."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def field_text(record: CheckpointRecord, name: str) -> str:
    """Return the value of a field of ``record`` as a selection writes it."""
    value = record.source if name == "model" else getattr(record, name)
    return "" if value is None else re.sub(r"\s", "", str(value))
