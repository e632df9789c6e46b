from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.augmentations.cutmix import box_around
from robustbench_msda.augmentations.rectangles import inside
from robustbench_msda.augmentations.saliency import peaks
from robustbench_msda.augmentations.saliencymix import SaliencyMix, boxes_around
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


@given(height=st.integers(8, 40), width=st.integers(8, 40), lam=st.floats(0, 1), data=st.data())
def test_boxes_are_cutmixs_around_their_own_pixel(height: int, width: int, lam: float, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, height - 1), min_size=3, max_size=3))
    columns = data.draw(st.lists(st.integers(0, width - 1), min_size=3, max_size=3))
    boxes = boxes_around(torch.tensor(rows), torch.tensor(columns), lam, height, width)
    assert boxes.tolist() == [list(box_around(height, width, lam, *at)) for at in zip(rows, columns, strict=True)]
    masks = inside(boxes, height, width)
    if min(height, width) * np.sqrt(1 - lam) >= 2:
        assert all(masks[i, rows[i], columns[i]] for i in range(3))


def spotted_batch(n: int, side: int) -> tuple[Batch, list[tuple[int, int]]]:
    """Return grey images of distinct levels, each with a faint spot, and where the spots are."""
    spots = [tuple(int(at) for at in stream("test", "spot", i).integers(1, side - 1, 2)) for i in range(n)]
    images = torch.linspace(0.1, 0.4, n)[:, None, None, None].expand(n, 3, side, side).clone()
    for i, (row, column) in enumerate(spots):
        images[i, :, row - 1 : row + 2, column - 1 : column + 2] += 0.04
    return Batch(images.to(memory_format=torch.channels_last), torch.eye(n), torch.arange(n)), spots


def test_what_is_pasted_is_the_partners_spot_with_its_surround() -> None:
    n, side = 9, 24
    batch, spots = spotted_batch(n, side)
    whole = batch.images.clone()
    pasted = 0
    for seed in range(20):
        mixed = SaliencyMix().mix(batch, stream("test", "saliencymix", seed))
        for i, target in enumerate(mixed.targets):
            changed = (mixed.images[i] != batch.images[i]).any(0)
            if not changed.any():
                assert float(target[i]) == 1
                continue
            pasted += 1
            (partner,) = [j for j in range(n) if j != i and float(target[j]) > 0]
            assert changed[spots[partner]]
            rows, columns = changed.any(1), changed.any(0)
            assert torch.equal(changed, rows[:, None] & columns[None])
            assert torch.equal(mixed.images[i][:, changed], batch.images[partner][:, changed])
            assert float(target[partner]) == pytest.approx(float(changed.float().mean()), abs=1e-6)
    assert pasted > 100
    assert torch.equal(batch.images, whole)


def test_boxes_are_of_one_size_a_batch_but_for_the_border() -> None:
    batch, _ = spotted_batch(40, 33)
    rng = stream("test", "one size")
    lam = float(stream("test", "one size").beta(1.0, 1.0))
    targets = SaliencyMix(1.0).mix(batch, rng).targets
    expected = {
        box_around(33, 33, lam, int(row), int(column)).area / 33**2
        for row, column in zip(*peaks(batch.images), strict=True)
    }
    seen = {float(share) for row, i in zip(targets, range(40), strict=True) if (share := 1 - row[i]) > 0}
    assert len(seen) > 3
    assert all(min(abs(share - other) for other in expected) < 1e-6 for share in seen)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected alpha > 0"):
        SaliencyMix(alpha)
