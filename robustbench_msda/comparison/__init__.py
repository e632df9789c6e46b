"""What a treatment did to each class, against a baseline: paired on images, seeds averaged first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from robustbench_msda.comparison.changes import COLUMNS, Change, changes
from robustbench_msda.comparison.sides import (
    BENCHMARK,
    CLEAN,
    On,
    both_sides,
    check_comparable,
    differences,
    groups,
    names_of,
    parse_on,
)
from robustbench_msda.results.store import CheckpointRecord, Results

__all__ = ["BENCHMARK", "CLEAN", "COLUMNS", "Change", "On", "both_sides", "changes", "compare", "parse_on"]

REPLICATES = 2000


def compare(  # noqa: PLR0913
    results: Results,
    baseline: Sequence[CheckpointRecord],
    treatment: Sequence[CheckpointRecord],
    *,
    limit: int = 0,
    replicates: int = REPLICATES,
    on: On = CLEAN,
    among: Sequence[CheckpointRecord] = (),
) -> pd.DataFrame:
    """Return what every group of ``treatment`` did to each class, against the ``baseline`` of its model.

    A group is what differs in nothing but the seed; where two groups differ in more than the augmentation, every row's
    flags say in what. Signs of recall changes are decided on
    integers. Intervals are 95 %, a bootstrap over seeds, then images, paired on images. A class's p is the exact
    permutation over seeds where each side has at least four, else the paired image bootstrap; q is adjusted over the
    classes after Benjamini and Hochberg (5 %). Of several corruptions or severities, an image counts as the share of
    them that it is answered correctly under: images are drawn with all of their corruptions.

    Args:
        results: where the predictions are kept.
        baseline: for every model of ``treatment``, one group.
        treatment: any number of groups.
        limit: of the predictions, 0 for the whole test set.
        replicates: bootstrap samples.
        on: on which stimuli.
        among: other checkpoints whose scores stand beside: of several recipes of one augmentation, each is told apart.

    Returns:
        A frame with the fields of ``Change``: ``recall_change`` and ``confidence_change`` a class; counts, means and
        errors with subset ``all``.

    Raises:
        UserError: a side is not evaluated, or the sides are not comparable.
    """
    rows: list[Change] = []
    names = names_of([*baseline, *treatment, *among])
    for after in groups(treatment):
        before = [record for record in baseline if record.source == after[0].source]
        check_comparable(before, after)
        one, other = both_sides(results, before, after, limit, on)
        sides = (
            replace(one, name=names[before[0].fingerprint]),
            replace(other, name=names[after[0].fingerprint]),
        )
        told = differences(before[0], after[0])
        rows += [
            replace(row, flags="; ".join(filter(None, (row.flags, told))))
            for row in changes(after[0], sides, replicates, on)
        ]
    return pd.DataFrame([vars(row) for row in rows], columns=list(COLUMNS))
