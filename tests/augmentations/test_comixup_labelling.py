from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_msda.augmentations import comixup_labelling
from robustbench_msda.augmentations.comixup_labelling import (
    BLENDS,
    BLOCKS,
    SINGLES,
    Offer,
    Problem,
    coverage,
    labelling,
    penalty,
    relabelled,
    shortlist,
    twins_apart,
)
from robustbench_msda.streams import stream


def problem(parts: int, inputs: int, seed: int, gamma: float = 1.0) -> Problem:
    """Return a problem of heavy-tailed smooth saliencies with the authors' parameters."""
    rng = stream("test", "comixup", seed)
    coarse = torch.from_numpy(np.exp(rng.normal(size=(parts, inputs, 1, 3, 3)))).float()
    grown = torch.nn.functional.interpolate(coarse.flatten(0, 1), size=(4, 4), mode="bilinear", align_corners=False)
    saliency = grown.reshape(parts, inputs, BLOCKS)
    saliency = saliency / saliency.sum(2, keepdim=True)
    prior = torch.from_numpy(rng.dirichlet([2.0] * inputs, size=parts)).float()
    return Problem(
        costs=-saliency.mT - 0.05 / BLOCKS * prior.log()[:, None],
        compatibility=torch.eye(inputs).expand(parts, inputs, inputs),
        smoothness=0.32 / BLOCKS,
        diversity=gamma / BLOCKS,
        threshold=0.83 * BLOCKS,
    )


def start(parts: int, inputs: int, seed: int) -> Tensor:
    return torch.from_numpy(stream("test", "start", seed).integers(inputs, size=(parts, inputs, BLOCKS)))


def masks(pairs: Tensor, inputs: int) -> Tensor:
    """Return (..., 16, m), the share of each input in each block."""
    return torch.nn.functional.one_hot(pairs, inputs).double().mean(-2)


def objective(given: Problem, pairs: Tensor, part: int) -> float:
    """Return what the authors' code reports (match.py, obj_fn): the three terms, the last without its threshold."""
    z = masks(pairs[part], given.costs.shape[-1]).numpy()
    costs = given.costs[part].double().numpy()
    total = (z * costs).sum()
    grid = z.reshape(len(z), 4, 4, -1)
    total += given.smoothness / 2 * (np.diff(grid, axis=1) ** 2).sum()
    total += given.smoothness / 2 * (np.diff(grid, axis=2) ** 2).sum()
    shown = z.sum(1)
    return float(total + given.diversity * ((shown.sum(0) ** 2).sum() - (shown**2).sum()))


def test_coverage_counts_blocks_and_halves() -> None:
    pairs = torch.tensor([[[0, 0], [0, 2], [2, 2], [1, 2]]])
    assert coverage(pairs, 4).tolist() == [[1.5, 0.5, 2.0, 0.0]]


def test_coverage_is_the_sum_of_the_masks() -> None:
    pairs = torch.from_numpy(stream("test", "coverage").integers(5, size=(2, 3, BLOCKS, 2)))
    torch.testing.assert_close(coverage(pairs, 5).double(), masks(pairs, 5).sum(-2))


def test_the_penalty_is_of_the_weighed_coverage_above_the_threshold() -> None:
    given = replace(
        problem(1, 3, 0),
        compatibility=torch.tensor([[[0.9, 0.2, 0.0], [0.2, 0.9, 0.0], [0.0, 0.0, 0.9]]]),
        threshold=13.0,
        diversity=0.5,
    )
    elsewhere = torch.tensor([[14.0, 4.0, 15.0]])
    # 0.9 * 14 + 0.2 * 4 = 13.4 > 13; 0.2 * 14 + 0.9 * 4 = 6.4; 0.9 * 15 = 13.5 > 13.
    torch.testing.assert_close(penalty(given, elsewhere), torch.tensor([[13.4, 0.0, 13.5]]))


def test_the_shortlist_is_the_three_shown_most_then_those_nearest_to_winning() -> None:
    unary = torch.arange(12.0).repeat(1, BLOCKS, 1)
    held = torch.zeros(1, 12)
    held[0, 11], held[0, 9], held[0, 10] = 8, 5, 3
    assert shortlist(unary, held).tolist() == [[11, 9, 10, 0, 1, 2, 3, 4, 5, 6]]
    unary[0, 4:8, 8] = -1  # the best input of a few blocks, and the worst of the others
    unary[0, 8:, 8] = 99
    assert shortlist(unary, held).tolist() == [[11, 9, 10, 0, 8, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        ([0.0] * 4, set()),
        ([16.0, 0, 0, 0], set()),
        ([10.0, 0, 6, 0], {(0, 2)}),
        ([7.0, 5, 4, 0], {(0, 1), (0, 2), (1, 2)}),
        ([7.0, 2, 3, 4], {(0, 2), (0, 3), (2, 3)}),
    ],
    ids=str,
)
def test_blends_are_of_the_main_inputs_only(held: list[float], allowed: set[tuple[int, int]]) -> None:
    """With equal costs everywhere a blend is 0.0005 cheaper, so that it is taken if there is one."""
    pairs = relabelled(torch.zeros(1, BLOCKS, 4), torch.tensor([held]), 0.02, BLENDS)
    kinds = {(min(pair), max(pair)) for pair in pairs[0].tolist()}
    assert len(kinds) == 1
    assert kinds <= allowed if allowed else all(a == b for a, b in kinds)


def test_single_inputs_are_all_that_is_offered_at_first() -> None:
    pairs = relabelled(
        torch.rand(1, BLOCKS, 4, generator=torch.Generator().manual_seed(0)), torch.ones(1, 4), 0.0, SINGLES
    )
    assert torch.equal(pairs[..., 0], pairs[..., 1])


def test_a_blend_is_taken_only_where_its_inputs_cost_about_the_same() -> None:
    unary = torch.zeros(1, BLOCKS, 2)
    unary[0, :8, 0], unary[0, 8:, 1] = 0.0012, 0.0008
    pairs = relabelled(unary, torch.tensor([[8.0, 8.0]]), 0.0, BLENDS)
    # A blend costs half the difference less 0.0005: 0.0001 more in the upper half, 0.0001 less in the lower.
    assert (pairs[0, :8] == 1).all()
    assert (pairs[0, 8:].sort(1).values == torch.tensor([0, 1])).all()


def test_twins_are_charged_as_by_the_authors() -> None:
    counts = torch.tensor([[4.0, 0, 12, 0], [0, 16, 0, 0], [8, 0, 8, 0], [0, 16, 0, 0]])[None]
    expected = [[1.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert twins_apart(counts)[0].tolist() == expected


def test_a_triplet_is_charged_as_by_the_authors() -> None:
    counts = torch.tensor([[[8.0, 8, 0], [8, 8, 0], [4, 12, 0]]])
    assert twins_apart(counts)[0].tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_the_objective_falls_in_every_part() -> None:
    given, first = problem(3, 12, 1), start(3, 12, 1)
    pairs = labelling(given, first)
    random = first[..., None].expand(-1, -1, -1, 2)
    falls = [objective(given, random, part) - objective(given, pairs, part) for part in range(3)]
    assert min(falls) > 0.2 * abs(objective(given, random, 0))


def local_optimum(unary: Tensor, smoothness: float) -> Tensor:
    """Return ``relabelled`` by iterated conditional modes over all single inputs."""
    answer = []
    for costs in unary:
        grid, labels = costs.reshape(4, 4, -1), costs.reshape(4, 4, -1).argmin(2)
        for _ in range(5):
            for row in range(4):
                for column in range(4):
                    beside = [(row + a, column + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))]
                    near = [labels[r, c] for r, c in beside if 0 <= r < 4 and 0 <= c < 4]
                    unlike = sum((torch.arange(grid.shape[2]) != label).float() for label in near)
                    labels[row, column] = (grid[row, column] + smoothness * unlike).argmin()
        answer.append(labels.flatten())
    return torch.stack(answer)[..., None].expand(-1, -1, 2)


def inner_energy(unary: Tensor, pairs: Tensor, smoothness: float) -> Tensor:
    """Return (P,), the cost of single-input labels of one output."""
    labels = pairs[..., 0].unflatten(1, (4, 4))
    total = unary.gather(2, pairs[..., :1])[..., 0].sum(1)
    down, right = labels[:, 1:] != labels[:, :-1], labels[:, :, 1:] != labels[:, :, :-1]
    return total + smoothness * (down.flatten(1).sum(1) + right.flatten(1).sum(1))


def test_no_inner_problem_is_solved_worse_than_by_a_local_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all inputs of all outputs of the first sweep: the shortlist costs nothing that a local search would find."""
    asked: list[tuple[Tensor, Tensor, float, Offer]] = []
    plain = relabelled

    def recording(unary: Tensor, held: Tensor, smoothness: float, offer: Offer) -> Tensor:
        asked.append((unary, held, smoothness, offer))
        return plain(unary, held, smoothness, offer)

    monkeypatch.setattr(comixup_labelling, "relabelled", recording)
    monkeypatch.setattr(comixup_labelling, "SWEEPS", 1)
    labelling(problem(2, 20, 2), start(2, 20, 2))
    assert len(asked) == 20
    gaps = torch.cat(
        [
            inner_energy(unary, plain(unary, held, smoothness, offer), smoothness)
            - inner_energy(unary, local_optimum(unary, smoothness), smoothness)
            for unary, held, smoothness, offer in asked
        ]
    )
    assert float(gaps.max()) < 1e-5
    assert float(gaps.min()) < -0.001


def test_outputs_show_two_or_three_inputs_and_every_input_is_shown() -> None:
    """Measured by the authors' solver on such saliencies: 2.4 inputs an output, coverage 13.5 to 21.9 of 16 blocks.

    On the saliency of a trained network coverage reaches from none to 28 blocks, by either solver.
    """
    counts = coverage(labelling(problem(5, 20, 3), start(5, 20, 3)), 20)
    assert float((counts > 0).sum(-1).float().mean()) == pytest.approx(2.5, abs=0.5)
    covered = counts.sum(1)
    assert float(covered.min()) > 10
    assert float(covered.max()) < 30
    torch.testing.assert_close(counts.sum(-1), torch.full((5, 20), 16.0))


def test_without_diversity_all_outputs_are_the_same() -> None:
    given = problem(2, 10, 4, gamma=0.0)
    pairs = labelling(given, start(2, 10, 4))
    assert (coverage(pairs, 10) == coverage(pairs, 10)[:, :1]).all()
    for part in range(2):
        smooth = inner_energy(given.costs, pairs[:, 0], given.smoothness)[part]
        assert float(smooth) < float(inner_energy(given.costs, start(2, 10, 5)[:, 0, :, None], given.smoothness)[part])


def test_without_diversity_and_smoothness_every_block_shows_its_most_salient_input() -> None:
    given = replace(problem(2, 6, 4, gamma=0.0), smoothness=0.0)
    pairs = labelling(given, start(2, 6, 4))
    best = given.costs.argmin(2)
    shown = given.costs[:, None].expand(-1, 6, -1, -1).gather(3, pairs).mean(-1)
    cheapest = given.costs.gather(2, best[..., None])[:, None, :, 0].expand_as(shown)
    # A blend may be up to its bonus dearer.
    assert float((shown - cheapest).max()) <= comixup_labelling.BLEND_BONUS + 1e-6
    assert float((pairs == best[:, None, :, None]).double().mean()) > 0.9


@pytest.mark.parametrize("inputs", [1, 2, 3, 6])
def test_small_parts_are_labelled(inputs: int) -> None:
    pairs = labelling(problem(2, inputs, 5), start(2, inputs, 5))
    assert pairs.shape == (2, inputs, BLOCKS, 2)
    assert 0 <= int(pairs.min()) <= int(pairs.max()) < inputs


def test_parts_do_not_see_each_other() -> None:
    given, first = problem(3, 8, 6), start(3, 8, 6)
    together = labelling(given, first)
    for part in range(3):
        alone = replace(given, costs=given.costs[part : part + 1], compatibility=given.compatibility[part : part + 1])
        assert torch.equal(labelling(alone, first[part : part + 1])[0], together[part])


def test_smoother_masks_have_fewer_inputs() -> None:
    given, first = problem(2, 12, 7), start(2, 12, 7)
    plain = (coverage(labelling(given, first), 12) > 0).sum()
    smoother = replace(given, smoothness=10 * given.smoothness)
    assert int((coverage(labelling(smoother, first), 12) > 0).sum()) < int(plain)
