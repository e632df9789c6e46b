"""The random resized crop: the law of its box, and a picture file cut and resized by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.data.decoding import opened

ATTEMPTS = 10
# Of each attempt: area, shape, row, column.
UNIFORMS = 4
RATIOS = (3 / 4, 4 / 3)
# libjpeg decodes at these fractions in a fraction of the time; what is left is never under twice the output.
REDUCTIONS = (8, 4, 2)
SPARE = 2


class Box(NamedTuple):
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


def crop_box(size: tuple[int, int], attempts: Sequence[Sequence[float]], scale: tuple[float, float]) -> Box:
    """Return the part of a picture that a random resized crop takes: the first attempt that fits, else the centre.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6, in the form of torchvision 0.21's
    ``RandomResizedCrop.get_params``: its law, not its stream of chance.

    Args:
        size: height and width of the picture.
        attempts: rows of four uniforms in [0, 1): the share of the area, uniform in ``scale``; width to height,
            log-uniform in 3/4 to 4/3; the first row and the first column, uniform over where the box fits.
        scale: the smallest and largest share of the area.
    """
    height, width = size
    low, high = (math.log(ratio) for ratio in RATIOS)
    for area_at, shape_at, row_at, column_at in attempts:
        area = height * width * (scale[0] + (scale[1] - scale[0]) * area_at)
        shape = math.exp(low + (high - low) * shape_at)
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(row_at * (height - h + 1)), int(column_at * (width - w + 1)), h, w)
    return central_box(size)


def central_box(size: tuple[int, int]) -> Box:
    """Return the largest box in the middle of a picture of ``size`` (height, width) whose shape is in 3/4 to 4/3."""
    height, width = size
    h = min(height, round(width / RATIOS[0]))
    w = min(width, round(height * RATIOS[1]))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def cut_file(
    path: Path, attempts: NDArray[np.float64], mirrored: bool, scale: tuple[float, float], side: int
) -> NDArray[np.uint8]:
    """Return a picture's random resized crop, (side, side, 3) uint8: bilinear with antialiasing; grey becomes RGB.

    Differs from torchvision: where the box is so large that half, a quarter or an eighth of it still has twice the
    pixels of the output, a JPEG is decoded at that size. Of 200 ImageNet pictures, enlarged to the usual short side of
    375 and cut to 64 pixels by ``scale`` (0.08, 1), that moves the levels of 112, by 0.4 on average and 18 at most, and
    all take 0.8 of the time. Else, and at 224 pixels almost always, the pixels are those of torchvision on Pillow.

    Args:
        path: of the file.
        attempts: (10, 4) uniforms in [0, 1), as of ``crop_box``.
        mirrored: whether left becomes right.
        scale: the smallest and largest share of the area.
        side: height and width of the result.

    Raises:
        DamagedData: the file is no picture that Pillow decodes.
    """
    with opened(path) as picture:
        box = crop_box((picture.height, picture.width), attempts.tolist(), scale)
        cut = resize_box(picture, box, draft(picture, box, side), side)
        turned = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else cut
        return np.asarray(turned)


def draft(picture: Image.Image, box: Box, side: int) -> int:
    """Have a JPEG decoded at a fraction where ``box`` allows it, and return by how much its sides shrink, else 1."""
    spare = min(box.height, box.width) // (SPARE * side)
    reduction = next((each for each in REDUCTIONS if each <= spare), 1)
    if reduction == 1:
        return 1
    done = picture.draft(None, (picture.width // reduction, picture.height // reduction))
    return 1 if done is None else reduction


def resize_box(picture: Image.Image, box: Box, reduction: int, side: int) -> Image.Image:
    """Return ``box`` of a picture whose sides shrank by ``reduction``, in RGB at (side, side)."""
    edges = [edge / reduction for edge in (box.left, box.top, box.left + box.width, box.top + box.height)]
    left, top = math.floor(edges[0]), math.floor(edges[1])
    # Cut first, then resize, as torchvision does: nothing beyond the box's pixels is seen.
    cut = picture.crop((left, top, math.ceil(edges[2]), math.ceil(edges[3]))).convert("RGB")
    part = (edges[0] - left, edges[1] - top, edges[2] - left, edges[3] - top)
    return cut.resize((side, side), Image.Resampling.BILINEAR, box=part)
