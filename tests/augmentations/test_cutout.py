from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robustbench_msda.augmentations.cutout import Cutout, cutout
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream

FILL = torch.tensor([0.25, 0.5, 0.75]).reshape(3, 1, 1)


@given(height=st.integers(1, 20), width=st.integers(1, 20), size=st.integers(0, 24), data=st.data())
def test_agrees_with_a_loop_over_pixels(height: int, width: int, size: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, height - 1), min_size=2, max_size=2))
    columns = data.draw(st.lists(st.integers(0, width - 1), min_size=2, max_size=2))
    images = torch.arange(2.0 * 3 * height * width).reshape(2, 3, height, width) + 2
    holed = cutout(images, torch.tensor(rows), torch.tensor(columns), size, FILL).numpy()
    expected = images.numpy().copy()
    for i in range(2):
        for y in range(max(0, rows[i] - size // 2), min(height, rows[i] - size // 2 + size)):
            for x in range(max(0, columns[i] - size // 2), min(width, columns[i] - size // 2 + size)):
                expected[i, :, y, x] = FILL[:, 0, 0]
    np.testing.assert_array_equal(holed, expected)
    holes = (holed != images.numpy()).any(1).sum((1, 2))
    assert (holes <= size**2).all()
    if size:
        assert (holed[[0, 1], :, rows, columns] == FILL[:, 0, 0].numpy()).all()


def test_size_zero_is_the_identity() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(cutout(images, torch.arange(4), torch.arange(4), 0, FILL), images)


class Coloured(nn.Module):
    """Keeps what it was fed; the colour that normalisation maps to zero is ``FILL``."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", FILL)
        self.fed: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.fed.append(images)
        return images.mean((2, 3))


def holes(size: int, n: int) -> Tensor:
    """Return (n, 32, 32) where the method cut."""
    model, batch = Coloured(), Batch(torch.zeros(n, 3, 32, 32), torch.eye(n), torch.arange(n))
    Cutout(size).loss(model, batch, lambda logits, targets: logits.sum(), stream("test", "cutout"))
    cut = (model.fed[0] != 0).any(1)
    coloured = model.fed[0].permute(0, 2, 3, 1)[cut]
    assert (coloured == FILL[:, 0, 0]).all()
    return cut


def test_each_image_has_its_own_hole_of_the_mean_colour() -> None:
    cut = holes(16, 500)
    areas = cut.sum((1, 2))
    assert int(areas.max()) == 256
    assert int(areas.min()) >= 64
    assert len({tuple(hole.flatten().nonzero()[0].tolist()) for hole in cut}) > 100
    # Centres are uniform over all pixels; the border clips what lies outside.
    side = sum(min(centre + 8, 32) - max(centre - 8, 0) for centre in range(32)) / 32
    assert float(areas.float().mean()) == pytest.approx(side**2, rel=0.05)


def test_hole_is_a_rectangle() -> None:
    for hole in holes(10, 50):
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None, :])
        for line in (rows, columns):
            where = line.nonzero()[:, 0]
            assert int(where[-1] - where[0]) + 1 == len(where)


@pytest.mark.parametrize("size", [-1, 2.0, "4"])
def test_size_is_checked(size: object) -> None:
    with pytest.raises(ValueError, match="expected a whole size >= 0"):
        Cutout(size)  # type: ignore[arg-type]
