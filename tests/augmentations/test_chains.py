from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_msda.augmentations.chains import (
    OPERATIONS,
    Chains,
    draw_chains,
    magnitudes_of,
    require_severity,
    run_chains,
)
from robustbench_msda.augmentations.operations import apply
from robustbench_msda.streams import stream

LEVEL_3 = json.loads((Path(__file__).parents[1] / "golden" / "augmix_32.json").read_text())["level_3"]
GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def pictures(n: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(n, channels, 16, 12, generator=torch.Generator().manual_seed(n))


def magnitude(name: str, level: float, sign: float = 1.0, size: tuple[int, int] = (32, 32)) -> float:
    return float(magnitudes_of(np.array(name), np.array(level), np.array(sign), size))


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0, 1.9, 2.0, 2.5, 2.999, 3.0, 5.0, 7.4, 9.99])
def test_magnitudes_are_the_authors(level: float) -> None:
    """Their ``int_parameter`` and ``float_parameter``, one level at a time."""
    expected = {
        "autocontrast": 0,
        "equalize": 0,
        "posterize": 4 - int(level * 4 / 10),
        "rotate": int(level * 30 / 10),
        "solarize": 256 - int(level * 256 / 10),
        "shear_x": float(level) * 0.3 / 10.0,
        "shear_y": float(level) * 0.3 / 10.0,
        "translate_x": int(level * (32 / 3) / 10),
        "translate_y": int(level * (32 / 3) / 10),
    }
    assert tuple(expected) == OPERATIONS
    for name, value in expected.items():
        assert magnitude(name, level) == value
        assert magnitude(name, level, -1.0) == (-value if name in GEOMETRIC else value)


def test_small_levels_move_nothing() -> None:
    assert magnitude("rotate", 0.33) == 0
    assert magnitude("translate_x", 0.93) == 0
    assert magnitude("rotate", 0.34) == 1
    assert magnitude("translate_x", 0.94) == 1


def test_translations_follow_the_side_they_move_along() -> None:
    assert magnitude("translate_x", 9, size=(16, 64)) == int(9 * (64 / 3) / 10) == 19
    assert magnitude("translate_y", 9, size=(16, 64)) == int(9 * (16 / 3) / 10) == 4


def recovered_levels(chains: Chains) -> np.ndarray:
    """Return the levels of shears, whose magnitudes are not truncated."""
    sheared = np.isin(chains.names, ("shear_x", "shear_y"))
    return np.abs(chains.magnitudes[sheared]) / 0.03


def test_levels_are_distributed_as_by_the_authors() -> None:
    chains = draw_chains(stream("test", "levels"), OPERATIONS, np.full(30_000, 3), 3.0, (32, 32))
    levels = recovered_levels(chains)
    assert len(levels) > 19_000
    # Theirs are estimates from a run too.
    assert levels.mean() == pytest.approx(LEVEL_3["mean"], abs=0.03)
    assert levels.std() == pytest.approx(LEVEL_3["deviation"], abs=0.02)
    assert levels.min() == pytest.approx(LEVEL_3["lowest"], abs=2e-3)
    assert levels.max() == pytest.approx(LEVEL_3["highest"], abs=2e-3)


def test_operations_and_signs_are_uniform() -> None:
    chains = draw_chains(stream("test", "uniform"), OPERATIONS, np.full(9000, 3), 3.0, (32, 32))
    counts = Counter(chains.names.ravel().tolist())
    assert set(counts) == set(OPERATIONS)
    # 27,000 draws of 9: four standard deviations of 51.6.
    assert all(abs(count - 3000) < 4 * 51.6 for count in counts.values())
    sheared = chains.magnitudes[chains.names == "shear_x"]
    assert (sheared > 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / 2800**0.5)


def test_chains_end_at_their_depth() -> None:
    depths = np.array([1, 3, 2, 1, 5])
    chains = draw_chains(stream("test", "depths"), ["rotate", "posterize"], depths, 3.0, (32, 32))
    assert chains.names.shape == chains.magnitudes.shape == (5, 5)
    assert ((chains.names != "identity").sum(1) == depths).all()
    assert (chains.magnitudes[chains.names == "identity"] == 0).all()
    assert (chains.names[:, 0] != "identity").all()


def test_the_stream_decides() -> None:
    def drawn(key: int) -> Chains:
        return draw_chains(stream("test", key), OPERATIONS, np.full(20, 3), 3.0, (32, 32))

    assert (drawn(1).names == drawn(1).names).all()
    assert (drawn(1).magnitudes == drawn(1).magnitudes).all()
    assert (drawn(1).magnitudes != drawn(2).magnitudes).any()


def test_a_step_follows_the_step_before() -> None:
    images = pictures(2)
    names = np.array([["rotate", "posterize", "identity"], ["translate_x", "hflip", "equalize"]])
    magnitudes = np.array([[25.0, 2.0, 0.0], [4.0, 0.0, 0.0]])
    rows = run_chains(images, Chains(names, magnitudes))
    for row in range(2):
        one = images[row : row + 1].mul(255).round().to(torch.uint8)
        for name, amount in zip(names[row].tolist(), magnitudes[row], strict=True):
            one = apply(one, [name], np.array([amount]))
        assert torch.equal(rows[row], one[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_take_the_images_in_turn(channels: int) -> None:
    images = pictures(3, channels)
    rows = run_chains(images, Chains(np.full((6, 1), "identity"), np.zeros((6, 1))))
    assert rows.dtype == torch.uint8
    assert torch.equal(rows, images.mul(255).round().to(torch.uint8).repeat(2, 1, 1, 1))


def test_grey_levels_survive() -> None:
    levels = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16)
    for images in (levels / 255, levels * (1 / 255)):
        rows = run_chains(images, Chains(np.full((1, 1), "identity"), np.zeros((1, 1))))
        assert torch.equal(rows, levels.to(torch.uint8))


@pytest.mark.parametrize("severity", [0.0, 0.05, 10.5, -1.0, float("nan"), float("inf")])
def test_severity_is_checked(severity: float) -> None:
    with pytest.raises(ValueError, match=r"expected severity in \[0.1, 10\]"):
        require_severity(severity)


@pytest.mark.parametrize("severity", [0.1, 10.0])
def test_the_ends_of_the_severity_are_taken(severity: float) -> None:
    require_severity(severity)
    chains = draw_chains(stream("test", "ends"), OPERATIONS, np.full(200, 3), severity, (16, 12))
    rows = run_chains(pictures(200), chains)
    assert rows.shape == (200, 3, 16, 12)
    assert float(recovered_levels(chains).max()) <= severity + 1e-9
