from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from robustbench_msda.augmentations.rectangles import areas, inside, patchwork, visible_shares


def spans(side: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, side), min_size=2, max_size=2).map(sorted)


def boxes_in(data: st.DataObject, count: int, n: int, height: int, width: int) -> Tensor:
    """Return (count, n, 4): boxes anywhere, the first of each image the whole of it."""
    drawn = [[data.draw(spans(height)) + data.draw(spans(width)) for _ in range(n)] for _ in range(count - 1)]
    return torch.tensor([[[0, height, 0, width]] * n, *drawn])


@given(height=st.integers(1, 12), width=st.integers(1, 12), data=st.data())
def test_boxes_are_rows_and_columns(height: int, width: int, data: st.DataObject) -> None:
    boxes = boxes_in(data, 2, 3, height, width)
    expected = np.zeros((2, 3, height, width), bool)
    for index in np.ndindex(2, 3):
        top, bottom, left, right = boxes[index]
        expected[index][top:bottom, left:right] = True
    np.testing.assert_array_equal(inside(boxes, height, width).numpy(), expected)
    np.testing.assert_array_equal(areas(boxes).numpy(), expected.sum((2, 3)))


@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.sampled_from([1, 3]), data=st.data())
def test_patchwork_pastes_as_slices_do(height: int, width: int, channels: int, data: st.DataObject) -> None:
    n, k = 3, 3
    images = torch.arange(float(n * channels * height * width)).reshape(n, channels, height, width)
    images = images.to(memory_format=torch.channels_last)
    before = images.clone()
    boxes = boxes_in(data, k, n, height, width)
    partners = torch.stack([torch.arange(n), *(torch.tensor(data.draw(st.permutations(range(n)))) for _ in "ab")])
    expected = images.clone()
    for j in range(1, k):
        for i in range(n):
            top, bottom, left, right = boxes[j, i]
            expected[i, :, top:bottom, left:right] = images[partners[j, i], :, top:bottom, left:right]
    pasted = patchwork(images, partners, boxes)
    assert torch.equal(pasted, expected)
    assert pasted.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_patchwork_shifts_what_a_box_shows() -> None:
    images = torch.arange(2.0 * 4 * 5).reshape(2, 1, 4, 5)
    boxes = torch.tensor([[[0, 4, 0, 5]] * 2, [[2, 4, 0, 2], [0, 1, 1, 4]]])
    shift = torch.tensor([[0, 0], [-2 * 5 + 3, 3 * 5 - 1]])
    pasted = patchwork(images, torch.tensor([[0, 1], [1, 0]]), boxes, shift)
    expected = images.clone()
    expected[0, :, 2:4, 0:2] = images[1, :, 0:2, 3:5]
    expected[1, :, 0:1, 1:4] = images[0, :, 3:4, 0:3]
    assert torch.equal(pasted, expected)


def test_what_is_seen_of_nested_boxes() -> None:
    boxes = torch.tensor([[[0, 4, 0, 8]], [[1, 4, 2, 6]], [[2, 3, 2, 4]]])
    torch.testing.assert_close(visible_shares(boxes), torch.tensor([[20.0], [10.0], [2.0]]) / 32)
