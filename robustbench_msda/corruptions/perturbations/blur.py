"""Perturbations by blur: a line that turns, a Gaussian that widens. Both blur every frame, the first as well."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_msda.corruptions.blur import smooth
from robustbench_msda.corruptions.motion import smear
from robustbench_msda.corruptions.perturbations.parameters import values
from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter


def motion_blur(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` smeared along a line that turns from frame to frame.

    Differs from the reference: at 64 pixels it smears a larger image and then shrinks it.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, radius and standard deviation of the smear, degrees of the first frame, step.
    """
    frames, radius, sigma, first, step = parameter
    return turning(images, radius, sigma, values((frames, first, step)))


def turning(images: Tensor, radius: float, sigma: float, angles: list[float]) -> Tensor:
    """Return the (B, F, C, S, S) smears of (B, C, S, S) uint8 ``images``, all in the direction of their frame."""
    # The images of a batch are smeared alike: as channels of one.
    together = images.flatten(0, 1).unsqueeze(0)
    return torch.stack([smear(together, radius, sigma, [angle]).view(images.shape) for angle in angles], 1)


def gaussian_blur(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` blurred by a Gaussian that widens from frame to frame, borders continued by the edge pixel.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, standard deviations at which the Gaussian is cut, that of the first frame, step.
    """
    frames, truncate, first, step = parameter
    unit = to_unit(images)
    return torch.stack([to_uint8(smooth(unit, sigma, truncate)) for sigma in values((frames, first, step))], 1)
