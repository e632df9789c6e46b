"""Fast AutoAugment's policies on disk: a JSON file, or the published Python file, which is read and never run."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from robustbench_msda.augmentations.policies import PUBLISHED_NAMES

SOURCE = "FastAutoAugment/archive.py in github.com/kakaobrain/fast-autoaugment"
CUTOUT = "Cutout"
KNOWN = frozenset({*PUBLISHED_NAMES, CUTOUT})
EXPECTED = "a list of sub-policies, each a list of [operation, probability, level]"


class Entry(NamedTuple):
    """One operation by its published name, its probability and its level, both in [0, 1]."""

    name: str
    probability: float
    level: float


SubPolicy = tuple[Entry, ...]


def read_policy(text: str) -> tuple[SubPolicy, ...]:
    """Return the sub-policies of ``text``: the path of a JSON file, or ``archive.py:function`` whose literal is read.

    Raises:
        ValueError: the file cannot be read or holds no policy.
    """
    path, _, function = text.rpartition(":") if ".py:" in text else (text, "", "")
    try:
        content = Path(path).read_text(encoding="utf-8")
        found = _literal(content, function) if function else json.loads(content)
    except OSError as error:
        raise ValueError(f"cannot read the policy {text}: {error.strerror}; the published ones: {SOURCE}") from None
    except (ValueError, SyntaxError, RecursionError):
        hint = "a JSON file, or archive.py:function with a list in that function"
        raise ValueError(f"cannot read the policy {text}: expected {hint}") from None
    if not isinstance(found, list) or not found:
        raise ValueError(f"cannot read the policy {text}: expected {EXPECTED}, found {type(found).__name__}")
    return tuple(_sub_policy(item, text) for item in found)


def _literal(content: str, function: str) -> object:
    """Return the first list that ``function`` assigns or returns."""
    for node in ast.parse(content).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for statement in node.body:
                if isinstance(statement, ast.Assign | ast.Return) and isinstance(statement.value, ast.List):
                    return ast.literal_eval(statement.value)
    raise ValueError(function)


def _sub_policy(item: object, text: str) -> SubPolicy:
    if not isinstance(item, list | tuple) or not item:
        raise ValueError(f"cannot read the policy {text}: expected {EXPECTED}, found the sub-policy {item!r}")
    return tuple(_entry(operation, text) for operation in item)


def _entry(item: object, text: str) -> Entry:
    match item:
        case [str(name), int() | float() as probability, int() | float() as level]:
            if name in KNOWN and 0 <= probability <= 1 and 0 <= level <= 1:
                return Entry(name, float(probability), float(level))
    known = ", ".join(sorted(KNOWN))
    raise ValueError(
        f"cannot read the policy {text}: expected [operation, probability, level] with numbers in [0, 1] and an "
        f"operation of {known}, found {item!r}"
    )


def digest_of(policy: tuple[SubPolicy, ...]) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the policy as canonical JSON."""
    return hashlib.sha256(json.dumps(policy, separators=(",", ":")).encode()).hexdigest()[:12]


@cache
def policy_of(text: str, digest: str) -> tuple[SubPolicy, ...]:
    """Return ``read_policy(text)``, once a process, checked against ``digest``.

    Raises:
        ValueError: as ``read_policy``, or the file holds another policy.
    """
    policy = read_policy(text)
    if digest_of(policy) != digest:
        raise ValueError(f"expected the policy {digest} in {text}, found {digest_of(policy)}: the file has changed")
    return policy
