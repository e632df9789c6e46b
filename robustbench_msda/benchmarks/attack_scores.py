"""The scores of attacks: by attack and ε, with what failed a check, by box, and in the worst case over attacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.benchmarks.attack_checks import FLAGS, FLAT
from robustbench_msda.benchmarks.base import Basis
from robustbench_msda.benchmarks.corruption_scores import told
from robustbench_msda.benchmarks.rows import condition_scores
from robustbench_msda.errors import DamagedData
from robustbench_msda.records import Cell, Predictions, Score, level_value
from robustbench_msda.statistics import exact_mcnemar, wilson_interval

NOISES = ("uniform_noise", "l2_uniform_noise")
OUTSIDE = "changes above ε"
MASKED = "weaker than uniform noise (masked gradients?)"
OUTDONE = "weaker than what was made of a substitute (masked gradients?)"
BOXES = ("gray_box", "black_box")
SIGNIFICANT = 0.05
# Rounding of a stored change, in either norm.
RELATIVE, ABSOLUTE = 1e-3, 1e-6


def attack_scores(
    cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis, attacks: Sequence[str]
) -> Iterator[Score]:
    """Yield the scores of every attack and ε, then those of each box, then those in the worst case over ``attacks``.

    All scores of a cell bear what failed a check in it.

    Args:
        cells: the complete conditions of one world.
        classes: names, in label order.
        basis: what failed a check, and whether the worst case may be over some of the attacks.
        attacks: all attacks of the benchmark.
    """
    failed = {cell: failures(cell, predictions, basis.checks.get(cell, {})) for cell, predictions in cells.items()}
    for cell, predictions in cells.items():
        at = Score(cell.benchmark, "", np.nan, len(predictions), "", "", cell.condition, cell.level, cell.source)
        noise = beside_noise(cell, cells)
        # What was made of another network may well be weaker than noise.
        masked = "" if cell.source else noise_flag(noise)
        flags = told(*failed[cell], masked, transfer_flag(cell, cells))
        for score in condition_scores(cell, predictions, classes):
            yield replace(score, flags=told(score.flags, flags))
        if FLAT in basis.checks.get(cell, {}):
            yield share(replace(at, metric=FLAT, flags=flags), basis.checks[cell][FLAT], len(predictions))
        if noise is not None:
            yield share(replace(at, metric="noise_only_error", flags=flags), noise[0], len(predictions))
    yield from box_errors(cells, failed, basis)
    yield from worst_cases(cells, failed, attacks, basis)


def failures(cell: Cell, predictions: Predictions, checks: Mapping[str, int]) -> tuple[str, ...]:
    """Return what failed in ``cell``: in its stored changes, and in ``checks``."""
    delta, most = predictions.delta_max, level_value(cell.level) * (1 + RELATIVE) + ABSOLUTE
    outside = delta is not None and not bool((delta <= most).all())
    return (*([OUTSIDE] if outside else []), *(flag for name, flag in FLAGS.items() if checks.get(name)))


def beside_noise(cell: Cell, cells: Mapping[Cell, Predictions]) -> tuple[int, int] | None:
    """Return how many images only uniform noise fools and how many only ``cell`` does, at one ε; None without noise."""
    noises = [other for other in cells if is_noise(other) and cell == other._replace(condition=cell.condition)]
    if is_noise(cell) or not noises:
        return None
    by_noise, by_attack = fooled({each: cells[each] for each in (noises[0], cell)})
    return int((by_noise & ~by_attack).sum()), int((by_attack & ~by_noise).sum())


def noise_flag(counts: tuple[int, int] | None) -> str:
    """Return the flag of an attack that noise outdoes beyond chance (exact McNemar), '' for any other."""
    if counts is None or counts[0] <= counts[1] or exact_mcnemar(*counts) >= SIGNIFICANT:
        return ""
    return MASKED


def transfer_flag(cell: Cell, cells: Mapping[Cell, Predictions]) -> str:
    """Return the flag of a white box that what was made of a substitute outdoes beyond chance, '' for any other.

    Exact McNemar tests at one ε, as many as there are substitutes (Bonferroni).
    """
    rivals = [other for other in cells if other.source and other._replace(source="") == cell]
    for rival in rivals:
        by_rival, by_attack = fooled({each: cells[each] for each in (rival, cell)})
        more, less = int((by_rival & ~by_attack).sum()), int((by_attack & ~by_rival).sum())
        if more > less and exact_mcnemar(more, less) * len(rivals) < SIGNIFICANT:
            return OUTDONE
    return ""


def box_errors(
    cells: Mapping[Cell, Predictions], failed: Mapping[Cell, Sequence[str]], basis: Basis
) -> Iterator[Score]:
    """Yield for every attack and ε the error in the gray and in the black box, the mean over substitutes.

    An interval over images stands only beside a single substitute.
    """
    shown = [cell for cell in cells if cell.source]
    for white in dict.fromkeys(cell._replace(source="") for cell in shown):
        for box in BOXES:
            members = [
                cell for cell in shown if cell._replace(source="") == white and basis.boxes.get(cell.source) == box
            ]
            if not members:
                continue
            wrong = np.array([int((~cells[cell].correct).sum()) for cell in members])
            n = len(cells[members[0]])
            several = f"mean over {len(members)} substitutes" if len(members) > 1 else ""
            flags = told(several, *dict.fromkeys(flag for cell in members for flag in failed[cell]))
            at = Score(white.benchmark, f"{box}_error", np.nan, n, "", "", white.condition, white.level, flags=flags)
            yield share(at, int(wrong[0]), n) if len(members) == 1 else replace(at, value=float(wrong.mean() / n))


def is_noise(cell: Cell) -> bool:
    """Return whether ``cell`` is uniform noise."""
    return cell.condition.partition("(")[0] in NOISES


def worst_cases(
    cells: Mapping[Cell, Predictions], failed: Mapping[Cell, Sequence[str]], attacks: Sequence[str], basis: Basis
) -> Iterator[Score]:
    """Yield at every ε the share of images that some attack fools (Harris et al. 2020, Fig. 1): not monotone in ε.

    Only over all ``attacks``, unless the basis allows partial aggregates, which say what they are of.
    """
    white = [cell for cell in cells if not cell.source and cell.condition in attacks]
    for level in dict.fromkeys(cell.level for cell in white):
        members = {cell: cells[cell] for cell in white if cell.level == level}
        missing = len(members) < len(attacks)
        if len(attacks) < 2 or (missing and not basis.allow_partial):
            continue
        some = np.asarray(fooled(members).any(axis=0))
        flags = told(
            f"partial: {len(members)} of {len(attacks)} attacks" if missing else "",
            *dict.fromkeys(flag for cell in members for flag in failed[cell]),
        )
        at = Score(white[0].benchmark, "worst_case_error", np.nan, len(some), level=level, flags=flags)
        yield share(at, int(some.sum()), len(some))


def fooled(cells: Mapping[Cell, Predictions]) -> NDArray[np.bool_]:
    """Return (cells, n) whether each image is answered wrongly, joined on its index.

    Raises:
        DamagedData: the cells do not hold the same images.
    """
    orders = [np.argsort(predictions.index, kind="stable") for predictions in cells.values()]
    indices = [predictions.index[order] for predictions, order in zip(cells.values(), orders, strict=True)]
    if not all(np.array_equal(index, indices[0]) for index in indices):
        names = ", ".join(f"{cell.condition} at {cell.level}" for cell in cells)
        cell = next(iter(cells))
        raise DamagedData(
            f"the predictions of {cell.fingerprint} on {cell.benchmark} ({names}) are of different images; "
            "delete them and evaluate again"
        )
    return np.stack([~predictions.correct[order] for predictions, order in zip(cells.values(), orders, strict=True)])


def share(at: Score, count: int, n: int) -> Score:
    """Return ``at`` with the share ``count`` of ``n`` and its Wilson interval."""
    low, high = wilson_interval(count, n)
    return replace(at, value=count / n, n=n, low=low, high=high)
