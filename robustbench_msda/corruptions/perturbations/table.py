"""The table of perturbations and the one function that applies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustbench_msda.corruptions.perturbations import blur, geometry, noise, parameters, weather
from robustbench_msda.corruptions.perturbations.parameters import Frames
from robustbench_msda.corruptions.spatter import draw_field
from robustbench_msda.corruptions.table import Apply, Draw, draws, side_of
from robustbench_msda.errors import pick

# Pixels of frames that are worked on at once: on a CPU what its caches hold, elsewhere what keeps the device busy.
CPU_PIXELS = 2**18
DEVICE_PIXELS = 2**24


@dataclass(frozen=True)
class Perturbation:
    """One way to make a video of an image.

    Attributes:
        parameters: image side to the number of frames and what else ``apply`` unpacks.
        apply: (B, 3, S, S) uint8 images, a parameter and the stacked draws, an argument each, to (B, F, 3, S, S) uint8.
        draw: one image's random arrays, on the CPU, from its generator, its side and the parameter; ``None`` where
            there is no chance.
    """

    parameters: Frames
    apply: Apply
    draw: Draw | None = None

    def frames(self, side: int) -> int:
        """Return how many frames a video of ``side`` pixels has."""
        return int(self.parameters[side][0])


# The ten of the paper, then the four for validation (Hendrycks & Dietterich 2019, section 3).
PERTURBATIONS: dict[str, Perturbation] = {
    "gaussian_noise": Perturbation(parameters.GAUSSIAN_NOISE, noise.gaussian_noise, noise.draw_frames),
    "shot_noise": Perturbation(parameters.SHOT_NOISE, noise.shot_noise, noise.draw_frames),
    "motion_blur": Perturbation(parameters.MOTION_BLUR, blur.motion_blur),
    "zoom_blur": Perturbation(parameters.ZOOM_BLUR, geometry.zoom_blur),
    "snow": Perturbation(parameters.SNOW, weather.snow, draw_field),
    "brightness": Perturbation(parameters.BRIGHTNESS, weather.brightness),
    "translate": Perturbation(parameters.TRANSLATE, geometry.translate),
    "rotate": Perturbation(parameters.ROTATE, geometry.rotate),
    "tilt": Perturbation(parameters.TILT, geometry.tilt),
    "scale": Perturbation(parameters.SCALE, geometry.scale),
    "speckle_noise": Perturbation(parameters.SPECKLE_NOISE, noise.speckle_noise, noise.draw_frames),
    "gaussian_blur": Perturbation(parameters.GAUSSIAN_BLUR, blur.gaussian_blur),
    "spatter": Perturbation(parameters.SPATTER, weather.spatter, draw_field),
    "shear": Perturbation(parameters.SHEAR, geometry.shear),
}


def perturb(images: Tensor, name: str, rngs: Sequence[np.random.Generator] = ()) -> Tensor:
    """Return videos (B, F, 3, S, S) uint8 of ``images``, each a function of its image and its generator alone.

    How the images are batched, and on which device, changes no more than one grey level; on one device, nothing.

    Args:
        images: (B, 3, S, S) uint8 with S a side of the perturbation's parameters.
        name: a name in ``PERTURBATIONS``.
        rngs: one generator an image; not looked at where the perturbation has no chance in it.

    Raises:
        UnknownName: the perturbation is not in the table.
        UserError: there are no parameters for images of this side.
        ValueError: the images or the number of generators is not as above.
    """
    perturbation = pick(PERTURBATIONS, name, "perturbation")
    side = side_of(images, name, perturbation.parameters)
    parameter, frames = perturbation.parameters[side], perturbation.frames(side)
    if perturbation.draw is not None and len(rngs) != len(images):
        raise ValueError(f"expected one generator an image, got {len(rngs)} for {len(images)}: {name} draws at random")
    pixels = CPU_PIXELS if images.device.type == "cpu" else DEVICE_PIXELS
    step = max(1, pixels // (frames * side**2))
    pieces = []
    for start in range(0, len(images), step):
        piece = images[start : start + step].contiguous()
        drawn = draws(perturbation.draw, rngs[start : start + step], side, parameter)
        pieces.append(perturbation.apply(piece, parameter, *(each.to(images.device) for each in drawn)))
    return torch.cat(pieces) if pieces else images.new_empty((0, frames, *images.shape[1:]))
