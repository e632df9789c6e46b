"""The reference's draws for one image after another of glass, motion, snow and elastic, and what we make of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from reference_draws import batch, pixels

from robustbench_msda.corruptions import CORRUPTIONS, snow
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.table import parameter_of

Drawn = tuple[NDArray[np.generic], ...]


def glass_offsets(stream: np.random.RandomState, side: int, parameter: Parameter) -> Drawn:
    """Return the offsets with rows, columns and axes in our order: the reference goes backwards and draws x first."""
    _, reach, rounds = (int(value) for value in parameter)
    size = side - 2 * reach
    pairs = stream.randint(-reach, reach, size=(rounds, size, size, 2))
    return (pairs[:, ::-1, ::-1, ::-1].transpose(0, 3, 1, 2).astype(np.int8),)


def motion_angle(stream: np.random.RandomState, side: int, parameter: Parameter) -> Drawn:
    return (np.array(stream.uniform(-45, 45)),)


def snow_field_and_angle(stream: np.random.RandomState, side: int, parameter: Parameter) -> Drawn:
    return stream.normal(size=(side, side)), np.array(stream.uniform(-135, -45))


def elastic_shifts_and_fields(stream: np.random.RandomState, side: int, parameter: Parameter) -> Drawn:
    shifts = stream.uniform(-parameter[-1], parameter[-1], size=(3, 2))
    return shifts, (stream.uniform(-1, 1, size=(2, side, side)) + 1) / 2


DRAWS = {
    "glass_blur": glass_offsets,
    "motion_blur": motion_angle,
    "snow": snow_field_and_angle,
    "elastic_transform": elastic_shifts_and_fields,
}


def drawn(name: str, severity: int, side: int, seed: int) -> Iterator[Drawn]:
    """Yield the draws of one image after another from one seed."""
    stream = np.random.RandomState(seed)  # noqa: NPY002
    parameter = parameter_of(CORRUPTIONS[name], side, severity)
    while True:
        yield DRAWS[name](stream, side, parameter)


def corrupted(images: NDArray[np.uint8], name: str, severity: int, draws: list[Drawn]) -> NDArray[np.uint8]:
    """Return (B, S, S, 3) ``images`` corrupted with the reference's draws, one tuple an image."""
    parameter = parameter_of(CORRUPTIONS[name], images.shape[1], severity)
    arrays = [torch.from_numpy(np.stack(array)) for array in zip(*draws, strict=True)]
    if name != "snow":
        return pixels(CORRUPTIONS[name].apply(batch(images), parameter, *arrays))
    field, angles = arrays
    return pixels(snow.add_flakes(snow.whitened(batch(images), parameter[-1]), snow.flakes(field, parameter, angles)))
