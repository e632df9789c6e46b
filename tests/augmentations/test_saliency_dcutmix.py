from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_msda.augmentations.dcutmix import draw_boxes, nested_boxes
from robustbench_msda.augmentations.rectangles import inside, patchwork, visible_shares
from robustbench_msda.augmentations.saliency_dcutmix import SaliencyDCutMix, shifts
from robustbench_msda.augmentations.several_images import draw_partners
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream


def window_start(centre: int, extent: int, side: int) -> int:
    """Return where a window of an extent starts that is centred on a pixel, or as near to it as the image lets it."""
    return max(0, min(centre - extent // 2, side - extent))


@given(height=st.integers(8, 30), width=st.integers(8, 30), k=st.integers(2, 5), seed=st.integers(0, 99))
def test_each_box_shows_the_window_around_its_images_centre(height: int, width: int, k: int, seed: int) -> None:
    n, rng = 4, np.random.default_rng(seed)
    boxes = nested_boxes(rng.dirichlet(np.ones(k), n), rng.random((k - 1, 2, n)), height, width)
    rows, columns = rng.integers(0, height, (k, n)), rng.integers(0, width, (k, n))
    partners = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(k - 1))])
    images = rng.random((n, 3, height, width), np.float32)
    expected = images.copy()
    for j in range(1, k):
        for i in range(n):
            top, bottom, left, right = boxes[j, i]
            tall, wide = bottom - top, right - left
            y, x = window_start(rows[j, i], tall, height), window_start(columns[j, i], wide, width)
            if tall and wide:
                assert y <= rows[j, i] < y + tall
                assert x <= columns[j, i] < x + wide
            expected[i, :, top:bottom, left:right] = images[partners[j, i], :, y : y + tall, x : x + wide]
    at = torch.from_numpy(boxes)
    shift = shifts(torch.from_numpy(rows), torch.from_numpy(columns), at, height, width)
    assert not shift[0].any()
    ours = patchwork(torch.from_numpy(images), torch.from_numpy(partners), at, shift)
    np.testing.assert_array_equal(ours.numpy(), expected)


def spotted_batch(n: int, side: int) -> Batch:
    """Return grey images of distinct levels, each with a spot of a level of its own."""
    images = torch.zeros(n, 3, side, side)
    for i in range(n):
        row, column = stream("test", "spot", i).integers(1, side - 1, 2)
        images[i] += (i + 1) / 10
        images[i, :, row - 1 : row + 2, column - 1 : column + 2] += 0.04
    return Batch(images.to(memory_format=torch.channels_last), torch.eye(n), torch.arange(n))


def test_boxes_show_the_peaks_of_their_images() -> None:
    n, side = 8, 32
    batch = spotted_batch(n, side)
    mixed = SaliencyDCutMix(2, 3.0).mix(batch, stream("test", "peaks"))
    shown = 0
    for i, target in enumerate(mixed.targets):
        for j in range(n):
            if j != i and float(target[j]) > 0.02:
                level = batch.images[j].max()
                shown += 1
                assert (mixed.images[i] - level).abs().min() < 1e-6
    assert shown >= 4


def test_boxes_and_labels_are_dcutmixs() -> None:
    batch = spotted_batch(6, 20)
    mixed = SaliencyDCutMix(4, 0.7).mix(batch, stream("test", "as dcutmix"))
    rng = stream("test", "as dcutmix")
    partners = draw_partners(batch, 4, rng)
    boxes = draw_boxes(batch, 4, 0.7, rng)
    shares = visible_shares(boxes)
    for i in range(6):
        expected = sum(float(shares[k, i]) * torch.eye(6)[partners[k, i]] for k in range(4))
        torch.testing.assert_close(mixed.targets[i], expected, atol=1e-6, rtol=0)
    outside = ~inside(boxes[1], 20, 20)
    for i in range(6):
        assert torch.equal(mixed.images[i][:, outside[i]], batch.images[i][:, outside[i]])


@given(n=st.integers(1, 6), k=st.integers(2, 5), seed=st.integers(0, 30))
def test_labels_are_the_colours_seen(n: int, k: int, seed: int) -> None:
    images = torch.eye(n)[:, :, None, None].expand(n, n, 9, 14).contiguous()
    batch = Batch(images, torch.eye(n), torch.arange(n))
    mixed = SaliencyDCutMix(k, 0.5).mix(batch, stream("test", "colours", seed))
    torch.testing.assert_close(mixed.images.mean((2, 3)), mixed.targets, atol=1e-6, rtol=0)
    assert torch.equal(batch.images, images)
