"""How each number is defined: from the tables of metrics, benchmarks, attacks and augmentations themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping

import pandas as pd

from robustbench_msda.metrics import METRICS

# Section to name to what it stands for.
Glossary = dict[str, dict[str, str]]


def glossary(scores: pd.DataFrame, comparison: pd.DataFrame) -> Glossary:
    """Return what stands behind the names in ``scores`` and ``comparison``, each from the docstring of its code."""
    # The tables of methods need torch, which pages of stored numbers otherwise do not.
    from robustbench_msda.attacks import ATTACKS
    from robustbench_msda.augmentations import AUGMENTATIONS
    from robustbench_msda.benchmarks import benchmarks_of

    if scores.empty:
        return {}
    metrics = {*scores["metric"], *comparison.get("metric", ())}
    benchmarks: dict[str, str] = {}
    for dataset, rows in scores.groupby("dataset"):
        table = benchmarks_of(str(dataset))
        for name in sorted(rows["benchmark"].unique()):
            if name in table:
                benchmarks[name] = f"{docstring(table[name])} Version {table[name].version}."
    conditions = scores.loc[scores["condition"].str.contains("(", regex=False), "condition"]
    sections = {
        "Metrics": {name: text for name, text in METRICS.items() if name in metrics},
        "Benchmarks": benchmarks,
        "Attacks": told(ATTACKS, conditions.unique()),
        "Augmentations": told(AUGMENTATIONS, scores["augmentation"].unique()),
    }
    return {title: found for title, found in sections.items() if found}


def told(table: Mapping[str, type], texts: Iterable[str]) -> dict[str, str]:
    """Return the docstring of everything of ``table`` that is named in call expressions ``texts``, in its order."""
    named = {name for text in texts for name in re.findall(r"[^\W\d]\w*", text)}
    return {name: docstring(found) for name, found in table.items() if name in named}


def docstring(thing: object) -> str:
    """Return what the docstring of ``thing`` says before its attributes are listed, on one line."""
    text = inspect.getdoc(thing) or ""
    return " ".join(re.split(r"\n\s*(?:Attributes|Args):", text)[0].replace("``", "").split())
