"""A camera that moves while the shutter is open: xy_motion_blur and z_motion_blur (Kar et al. 2022, section 3.2).

The reference renders frames by 3D Ken Burns (Niklaus et al. 2019): a cloud of the image's points, what is
uncovered painted in by a network. Differs from the reference: a pixel looks back along its own depth, so what is
uncovered repeats what is beside it; and a frame is rounded to grey levels, not truncated.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.three_d.maps import check_maps

# The camera's whole way has this many frames; the reference measures its shifts in pixels of a frame this wide.
WAY = 60
REFERENCE_SIDE = 512
SMALLEST_DEPTH = 1e-7

Way = tuple[NDArray[np.float64]]


def draw_xy_path(rng: np.random.Generator, side: int, parameter: Parameter) -> Way:  # noqa: ARG001
    """Return the (3,) end of a way along the picture: to the right, down (shares of the width), no zoom (1).

    The nearest point in the middle of the picture moves by 50 … 75 pixels of 512 to one side, by up to 75 up or down.
    """
    right = rng.integers(50, 75) if rng.integers(2) else rng.integers(-75, -50)
    return (np.array([right / REFERENCE_SIDE, rng.integers(-75, 75) / REFERENCE_SIDE, 1.0]),)


def draw_z_path(rng: np.random.Generator, side: int, parameter: Parameter) -> Way:  # noqa: ARG001
    """Return the (3,) end of a way into the picture: right, down (up to 30 pixels of 512), what is left of the way.

    The last is 0.5 … 0.6: the distance to the nearest point in the middle of the picture, as a share of what it was.
    """
    right, down = rng.integers(-30, 30, 2) / REFERENCE_SIDE
    return (np.array([right, down, 0.5 + 0.1 * rng.random()]),)


def xy_motion_blur(images: Tensor, depth: Tensor, parameter: Parameter, path: Tensor) -> Tensor:
    """Return the mean of the first frames of a camera's way along the picture.

    Args:
        images: (B, 3, S, S) uint8.
        depth: (B, S, S) float, more than 0, in any unit: only ratios count.
        parameter: how many of the way's 60 frames are averaged.
        path: (B, 3), drawn by ``draw_xy_path``.

    Raises:
        ValueError: the depth does not fit the images or is not positive.
    """
    (frames,) = parameter
    check_maps(images, depth, SMALLEST_DEPTH, "depth")
    total = torch.zeros(images.shape, device=images.device)
    for step in range(int(frames)):
        total += view(images, depth, path, torch.full((len(images),), step / (WAY - 1), device=images.device))
    return total.div_(int(frames)).to(torch.uint8)


def z_motion_blur(images: Tensor, depth: Tensor, parameter: Parameter, path: Tensor) -> Tensor:
    """Return the mean of the first frames of a camera's way into the picture.

    The arguments and errors are those of ``xy_motion_blur``, the path is drawn by ``draw_z_path``.
    """
    return xy_motion_blur(images, depth, parameter, path)


def view(images: Tensor, depth: Tensor, path: Tensor, step: Tensor) -> Tensor:
    """Return what a camera sees after the share ``step`` of its ``path``, in grey levels, rounded, as float32.

    A point at (x, y) from the centre, at depth z, is seen at (x·z − s·n′) / (z + n′ − n), s being the shift so far, n
    the nearest depth in the middle half of the picture and n′ what is left of it; so the nearest point moves most. Here
    the formula is solved for x with the depth z of the pixel that looks. Beyond the border the picture is mirrored.

    Args:
        images: (B, 3, S, S) uint8.
        depth: (B, S, S) positive float.
        path: (B, 3), shifts as shares of the width and the share of the nearest depth that is left at the end.
        step: (B,) in [0, 1].
    """
    side = images.shape[-1]
    middle = depth[:, side // 4 : side - side // 4, side // 4 : side - side // 4].float()
    nearest = middle.amin((1, 2))
    path, step = path.float(), step.float()
    left = nearest * (1 + step * (path[:, 2] - 1))
    # What lies before the middle's nearest point may fall behind the camera; it is seen as if it touched it.
    ahead = (depth.float() + (left - nearest)[:, None, None]).clamp(min=0)
    shift = 2 * (step * left)[:, None] * path[:, :2]
    centres = (torch.arange(side, device=images.device) * 2 + 1) / side - 1
    across = (centres * ahead + shift[:, 0, None, None]) / depth.float()
    down = (centres[:, None] * ahead + shift[:, 1, None, None]) / depth.float()
    grid = torch.stack((across, down), -1)
    return grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False).round_()
