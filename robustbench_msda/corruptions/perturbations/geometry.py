"""The perturbations that move an image: translate, rotate, shear, scale, tilt, and zoom_blur, which adds scales up.

Differs from the reference: above 32 pixels it moves a larger image and then crops, so that little black comes into
view; the clean test images are cropped already, so that here black comes in at all sides, as it does there at 32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import hypot

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.perturbations.parameters import values
from robustbench_msda.corruptions.perturbations.sampling import (
    Sampling,
    affine_sampling,
    perspective_sampling,
    resample,
)
from robustbench_msda.corruptions.pixels import to_uint8
from robustbench_msda.corruptions.severities import Parameter

Make = Callable[[int, Parameter], Sampling]


def translate(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` shifted to the right by whole pixels, black where nothing is.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, pixels of the first, step.
    """
    shifts = [int(shift) for shift in values(parameter)]
    left, right = max(0, *shifts), max(0, *(-shift for shift in shifts))
    windows = pad(images, (left, right)).unfold(-1, images.shape[-1], 1)
    return torch.stack([windows[..., left - shift, :] for shift in shifts], 1)


def rotate(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` turned clockwise, bilinear, black where nothing is.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, degrees of the first, step.
    """
    return _moved(images, parameter, rotation_sampling)


def shear(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` sheared along the rows, bilinear, black where nothing is.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, degrees of the first, step.
    """
    return _moved(images, parameter, shear_sampling)


def scale(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` scaled, bilinear, black where nothing is.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, factor of the first, step.
    """
    return _moved(images, parameter, scale_sampling)


def tilt(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` turned out of their plane about both axes, bilinear, black where nothing is.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, degrees of the first about each axis, step.
    """
    return resample(images, _cached(tilt_sampling, images.shape[-1], parameter, images.device), 0.5)


def zoom_blur(images: Tensor, parameter: Parameter) -> Tensor:
    """Return the running means of ``images`` and their scales, added in float32 as the reference does.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, factor of the first, step.
    """
    scales = scale(images, parameter)
    total = torch.zeros(images.shape, device=images.device)
    for count, frame in enumerate(scales.unbind(1), start=1):
        total.add_(frame.float().div_(255))
        frame.copy_(to_uint8(total / count))
    return scales


def rotation_sampling(side: int, parameter: Parameter) -> Sampling:
    """Return the sampling of ``rotate``."""
    return affine_sampling(side, affine_matrices(side, angle=np.deg2rad(values(parameter))))


def shear_sampling(side: int, parameter: Parameter) -> Sampling:
    """Return the sampling of ``shear``."""
    return affine_sampling(side, affine_matrices(side, shear=np.deg2rad(values(parameter))))


def scale_sampling(side: int, parameter: Parameter) -> Sampling:
    """Return the sampling of ``scale``."""
    return affine_sampling(side, affine_matrices(side, factor=np.array(values(parameter))))


def tilt_sampling(side: int, parameter: Parameter) -> Sampling:
    """Return the sampling of ``tilt``."""
    matrices = [tilt_matrix(side, angle) for angle in np.deg2rad(values(parameter))]
    return perspective_sampling(side, np.linalg.inv(np.stack(matrices)))


def affine_matrices(
    side: int,
    angle: NDArray[np.float64] | float = 0.0,
    shear: NDArray[np.float64] | float = 0.0,
    factor: NDArray[np.float64] | float = 1.0,
) -> NDArray[np.float64]:
    """Return the (F, 2, 3) matrices from a pixel to its source about (S/2 + 1/2, S/2 + 1/2), half a pixel off centre.

    The inverses of factor·[[cos a, −sin(a + s)], [sin a, cos(a + s)]], as torchvision 0.2 … 0.6.1 had them in
    ``transforms.functional.affine`` (pytorch/vision pull request 2468 mended the centre).

    Args:
        side: of the images.
        angle: (F,) a, clockwise, in radians.
        shear: (F,) s, in radians.
        factor: (F,) above 0.
    """
    angle, shear, factor = np.broadcast_arrays(angle, shear, factor)
    both = 1 / factor / np.cos(shear)
    entries = (np.cos(angle + shear), np.sin(angle + shear), -np.sin(angle), np.cos(angle))
    linear = np.stack([entry * both for entry in entries], -1).reshape(-1, 2, 2)
    centre = side / 2 + 0.5
    offset = centre - linear[..., 0] * centre - linear[..., 1] * centre
    return np.concatenate((linear, offset[..., None]), -1)


def tilt_matrix(side: int, angle: float) -> NDArray[np.float64]:
    """Return the (3, 3) homography of an image at distance f + 1, turned about its vertical, then horizontal axis.

    f, the focal length in pixels, is the image's diagonal. The image being at f + 1 and not f, an angle of 0 shrinks it
    a little: the reference's middle frame is not the clean image.

    Args:
        side: of the image.
        angle: of both turns, in radians.
    """
    focal, middle = hypot(side, side), side / 2
    sine, cosine = np.sin(angle), np.cos(angle)
    onto_plane = np.array([[1, 0, -middle], [0, 1, -middle], [0, 0, 1]])
    about_y = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    # The plane's points have third coordinate 1 and fourth coordinate 1, which the distance f multiplies.
    away = np.array([[0, 0, 0], [0, 0, 0], [0, 0, focal]])
    pinhole = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1]])
    return np.asarray(pinhole @ (about_x @ about_y @ onto_plane + away))


def _moved(images: Tensor, parameter: Parameter, make: Make) -> Tensor:
    return resample(images, _cached(make, images.shape[-1], parameter, images.device), 0.0)


@lru_cache(maxsize=2)
def _cached(make: Make, side: int, parameter: Parameter, device: torch.device) -> Sampling:
    """Return the sampling that ``make`` makes, on ``device``: 1 MB at 32 pixels, 50 MB at 224."""
    return make(side, parameter).to(device)
