"""The reference's draws, replayed from its seeds: frozen legacy streams of NumPy, image after image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_msda.corruptions import noise


def batch(images: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def pixels(images: Tensor) -> NDArray[np.uint8]:
    return images.permute(0, 2, 3, 1).numpy()


def normal_fields(seed: int, shape: tuple[int, ...]) -> Iterator[NDArray[np.float64]]:
    stream = np.random.RandomState(seed)  # noqa: NPY002
    while True:
        yield stream.normal(size=shape)


def impulse_fields(seed: int, shape: tuple[int, ...]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Yield what decides replacement, and whether white, of one image after another."""
    stream = np.random.RandomState(seed)  # noqa: NPY002
    while True:
        own = np.random.RandomState(stream.randint(2**31 - 1)).randint(2**31 - 1)  # noqa: NPY002
        rng = np.random.default_rng(own)
        yield rng.random(shape), rng.random(shape)


def gaussian_noise(images: NDArray[np.uint8], std: float, fields: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    return pixels(noise.add_levels(batch(images), (255 * std * batch(np.stack(fields))).floor().short()))


def shot_noise(images: NDArray[np.uint8], photons: float, stream: np.random.RandomState) -> NDArray[np.uint8]:
    counts = np.stack([stream.poisson(image / 255.0 * photons) for image in images])
    return pixels(noise.from_counts(batch(counts), photons))


def impulse_noise(images: NDArray[np.uint8], share: float, fields: list[tuple]) -> NDArray[np.uint8]:
    """Apply our one field, made of the reference's two: under half the share is white, under the share black."""
    replaced, white = (np.stack(field) for field in zip(*fields, strict=True))
    uniforms = np.where(replaced > share, 0.99, np.where(white <= 0.5, 0.25 * share, 0.75 * share))
    return pixels(noise.impulse_noise(batch(images), (share,), batch(uniforms)))
