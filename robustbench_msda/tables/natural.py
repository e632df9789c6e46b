"""Columns on natural shift, detection of strange images, and people's answers, where they were scored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from robustbench_msda.results.aggregates import WHO
from robustbench_msda.tables.assembly import Filled, filled, sentences
from robustbench_msda.tables.values import Column, Format


class Shown(NamedTuple):
    """What is shown of a benchmark: one metric, of one condition or, where that is '', of every one.

    Conditions that a user named are ``<name>=<digits>``; their name is the title where none is given.
    """

    benchmark: str
    metric: str
    condition: str = ""
    title: str = ""
    span: str = ""
    format: Format = "share"


MASKED = "masked"
SHOWN = (
    Shown("imagenet_a", "error", MASKED, "ImageNet-A"),
    Shown("imagenet_r", "error", MASKED, "ImageNet-R"),
    Shown("imagenet_v2", "error", "matched_frequency", "ImageNetV2"),
    Shown("shift", "error"),
    Shown("imagenet_o", "aupr", MASKED, "ImageNet-O", "AUPR (%)"),
    Shown("ood", "auroc", span="AUROC (%)"),
    Shown("cifar10h", "kl_human_model", span="KL, CIFAR-10H (nats)", format="quantity"),
)
SENTENCES = {
    "imagenet_a": "ImageNet-A and -R: over the logits of their 200 classes alone.",
    "imagenet_r": "ImageNet-A and -R: over the logits of their 200 classes alone.",
    "ood": "AUROC: the chance that a picture of a folder has less confidence than a clean test image.",
    "cifar10h": "KL: divergence of the network from what people answer, KL(human ‖ network).",
}


def natural_columns(frame: pd.DataFrame, error: str) -> Iterator[Filled]:
    """Yield a column for everything of ``SHOWN`` that ``frame`` holds; errors stand below the header ``error``."""
    for shown in SHOWN:
        rows = rows_of(frame, shown)
        conditions = sorted(rows["condition"].unique())
        for condition in conditions:
            column = Column(
                f"{shown.metric}:{shown.benchmark}:{condition}",
                shown.title or short_condition(condition, conditions),
                shown.format,
                shown.span or error,
            )
            yield filled(column, rows[rows["condition"] == condition], WHO)


def rows_of(frame: pd.DataFrame, shown: Shown) -> pd.DataFrame:
    """Return the rows that are shown."""
    rows = frame[(frame["benchmark"] == shown.benchmark) & (frame["metric"] == shown.metric)]
    rows = rows[rows["subset"] == "all"]
    return rows[rows["condition"] == shown.condition] if shown.condition else rows


def short_condition(condition: str, among: list[str]) -> str:
    """Return the name in a condition, all of it where another one has that name."""
    name = condition.rpartition("=")[0]
    same = [each for each in among if each.rpartition("=")[0] == name]
    return name if name and len(same) == 1 else condition


def natural_sentence(frame: pd.DataFrame) -> str:
    """Return what the columns of ``natural_columns`` mean; '' where there are none."""
    there = [shown.benchmark for shown in SHOWN if len(rows_of(frame, shown))]
    told = dict.fromkeys(SENTENCES[name] for name in there if name in SENTENCES)
    chances = frame[(frame["benchmark"] == "imagenet_o") & (frame["metric"] == "aupr_chance")]["value"]
    detected = ""
    if len(chances):
        share = f"{100 * chances.min():.1f}"
        detected = f"AUPR: ImageNet-O told from test images of its 200 classes by confidence; chance is {share} %."
    return sentences(*told, detected)
