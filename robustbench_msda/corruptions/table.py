"""The table of corruptions and the one function that applies them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions import (
    blur,
    digital,
    elastic,
    fog,
    frost,
    glass,
    motion,
    noise,
    severities,
    snow,
    spatter,
    weather,
    zoom,
)
from robustbench_msda.corruptions.severities import Parameter, Severities
from robustbench_msda.errors import UserError, pick

# Pixels that are worked on at once: on a CPU what its caches hold, elsewhere what keeps the device busy; and images at
# least, for a call costs more than what caches lose.
CPU_PIXELS = 2**15
FEWEST = 2
DEVICE_PIXELS = 2**24

Apply = Callable[..., Tensor]
Draw = Callable[[np.random.Generator, int, Parameter], tuple[NDArray[np.generic], ...]]


@dataclass(frozen=True)
class Corruption:
    """One way to spoil an image.

    Attributes:
        severities: image side to the parameters of severity 1 … 5.
        apply: (B, 3, S, S) uint8 images, a parameter and the stacked draws, an argument each, to images of the same
            shape and type.
        draw: one image's random arrays, on the CPU, from its generator, its side and the parameter; ``None`` where
            there is no chance.
    """

    severities: Severities
    apply: Apply
    draw: Draw | None = None


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(severities.GAUSSIAN_NOISE, noise.gaussian_noise, noise.draw_image),
    "shot_noise": Corruption(severities.SHOT_NOISE, noise.shot_noise, noise.draw_image),
    "impulse_noise": Corruption(severities.IMPULSE_NOISE, noise.impulse_noise, noise.draw_image),
    "defocus_blur": Corruption(severities.DEFOCUS_BLUR, blur.defocus_blur),
    "glass_blur": Corruption(severities.GLASS_BLUR, glass.glass_blur, glass.draw_offsets),
    "motion_blur": Corruption(severities.MOTION_BLUR, motion.motion_blur, motion.draw_angle),
    "zoom_blur": Corruption(severities.ZOOM_BLUR, zoom.zoom_blur),
    "snow": Corruption(severities.SNOW, snow.snow, snow.draw_snow),
    "frost_procedural": Corruption(severities.FROST, frost.frost_procedural, frost.draw_crystals),
    "fog": Corruption(severities.FOG, fog.fog, fog.draw_plasma),
    "brightness": Corruption(severities.BRIGHTNESS, weather.brightness),
    "contrast": Corruption(severities.CONTRAST, digital.contrast),
    "elastic_transform": Corruption(
        severities.ELASTIC_TRANSFORM, elastic.elastic_transform, elastic.draw_shifts_and_fields
    ),
    "pixelate": Corruption(severities.PIXELATE, digital.pixelate),
    "jpeg_compression": Corruption(severities.JPEG_COMPRESSION, digital.jpeg_compression),
    "speckle_noise": Corruption(severities.SPECKLE_NOISE, noise.speckle_noise, noise.draw_image),
    "gaussian_blur": Corruption(severities.GAUSSIAN_BLUR, blur.gaussian_blur),
    "spatter": Corruption(severities.SPATTER, spatter.spatter, spatter.draw_field),
    "saturate": Corruption(severities.SATURATE, digital.saturate),
}


def with_frost(textures: Sequence[NDArray[np.uint8]]) -> dict[str, Corruption]:
    """Return the table with ``frost``, made of ``textures``, in the place of its stand-in.

    Args:
        textures: each (3, H, W) uint8 and larger than the images; those of ``frost.read_textures`` for the reference's.
    """
    real = Corruption(severities.FROST, frost.frost, frost.draw_from(textures))
    table = {**CORRUPTIONS, "frost_procedural": real}
    return {("frost" if name == "frost_procedural" else name): corruption for name, corruption in table.items()}


def corrupt(
    images: Tensor,
    name: str,
    severity: int,
    rngs: Sequence[np.random.Generator] = (),
    table: Mapping[str, Corruption] = CORRUPTIONS,
) -> Tensor:
    """Return corrupted copies of ``images``, a function of each image and its generator alone.

    How the images are batched, and on which device, changes no more than one grey level; on one device, nothing.

    Args:
        images: (B, 3, S, S) uint8 with S a side of the corruption's severity tables.
        name: a name in ``table``.
        severity: 1 … 5.
        rngs: one generator an image; not looked at where the corruption has no chance in it.
        table: the corruptions there are.

    Raises:
        UnknownName: the corruption is not in the table.
        UserError: there are no severities for images of this side.
        ValueError: the images, the severity or the number of generators is not as above.
    """
    corruption = pick(table, name, "corruption")
    parameter = parameter_of(corruption, side_of(images, name, corruption.severities), severity)
    if corruption.draw is not None and len(rngs) != len(images):
        raise ValueError(f"expected one generator an image, got {len(rngs)} for {len(images)}: {name} draws at random")
    pixels = CPU_PIXELS if images.device.type == "cpu" else DEVICE_PIXELS
    step = max(FEWEST, pixels // images.shape[-1] ** 2)
    pieces = []
    for start in range(0, len(images), step):
        piece = images[start : start + step].contiguous()
        drawn = draws(corruption.draw, rngs[start : start + step], images.shape[-1], parameter)
        pieces.append(corruption.apply(piece, parameter, *(each.to(images.device) for each in drawn)))
    return pieces[0] if len(pieces) == 1 else torch.cat([images[:0], *pieces])


def parameter_of(corruption: Corruption, side: int, severity: int) -> Parameter:
    """Return what ``severity``, 1 … 5, means for images of ``side`` pixels.

    Raises:
        ValueError: the severity is not 1 … 5.
    """
    levels = corruption.severities[side]
    if not 1 <= severity <= len(levels):
        raise ValueError(f"expected a severity in 1 … {len(levels)}, got {severity}")
    return levels[severity - 1]


def draws(
    draw: Draw | None, rngs: Sequence[np.random.Generator], side: int, parameter: Parameter
) -> tuple[Tensor, ...]:
    """Return the random arrays of a batch on the CPU, one image's a row; none where there is no chance."""
    if draw is None:
        return ()
    drawn = zip(*(draw(rng, side, parameter) for rng in rngs), strict=True)
    return tuple(torch.from_numpy(np.stack(arrays)) for arrays in drawn)


def side_of(images: Tensor, name: str, sides: Collection[int]) -> int:
    """Return the side of square ``images``, one of the ``sides`` that ``name`` is defined for.

    Raises:
        UserError: it is another.
        ValueError: the images are not (B, 3, S, S) uint8.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected (B, 3, S, S) uint8 images, got {tuple(images.shape)} {images.dtype}")
    height, width = images.shape[-2:]
    if height != width or width not in sides:
        known = ", ".join(str(side) for side in sides)
        raise UserError(
            f"{name} has no severities for images of {height}x{width}: expected a square of side {known}; "
            "prepare the data set at one of these"
        )
    return int(width)
