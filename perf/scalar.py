"""The nineteen corruptions as published, an image at a time in NumPy, SciPy, Pillow and OpenCV: what batching is worth.

Hendrycks, Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019. Each
function takes an (S, S, 3) uint8 image, the severity's parameters and a generator, and returns grey levels 0 … 255.
"""

from __future__ import annotations

from io import BytesIO
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import color

from robustbench_msda.corruptions import CORRUPTIONS
from robustbench_msda.corruptions.blur import disk
from robustbench_msda.corruptions.severities import Parameter

Floats = NDArray[np.floating]
Bytes = NDArray[np.uint8]
Rng = np.random.Generator
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
WATER = np.array([175, 238, 238]) / 255
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
MUD = np.array([63, 42, 20]) / 255


def corrupt(image: Bytes, name: str, severity: int, rng: Rng, textures: tuple[Bytes, ...]) -> Bytes:
    """Return the image corrupted; ``textures``, (3, H, W), are those of frost at the image's size."""
    row = CORRUPTIONS["frost_procedural" if name == "frost" else name].severities[len(image)]
    if name == "frost":
        return finish(frost(image, row[severity - 1], rng, textures))
    return finish(FUNCTIONS[name](image, row[severity - 1], rng))


def finish(levels: Floats) -> Bytes:
    """Return ``levels`` clipped and truncated."""
    return np.clip(levels, 0, 255).astype(np.uint8)


def gaussian_noise(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Add normal noise."""
    return 255 * (image / 255 + rng.normal(0, parameter[0], image.shape))


def speckle_noise(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Add normal noise in proportion to brightness."""
    return 255 * (image / 255 * (1 + rng.normal(0, parameter[0], image.shape)))


def shot_noise(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Count photons."""
    return 255 * (rng.poisson(image / 255 * parameter[0]) / parameter[0])


def impulse_noise(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Replace values by black or white."""
    hit, white = rng.random(image.shape) < parameter[0], rng.random(image.shape) < 0.5
    return np.where(hit, 255.0 * white, image)


def gaussian_blur(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Blur by a Gaussian."""
    sigma = parameter[0]
    blurred: Floats = ndimage.gaussian_filter(image / 255, (sigma, sigma, 0), mode="nearest", truncate=4.0)
    return 255 * blurred


def defocus_blur(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Blur by a disk."""
    return 255 * np.asarray(cv2.filter2D(image / 255, -1, disk(*parameter)), dtype=np.float64)


def glass_blur(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Blur, copy near pixels one after the other, blur."""
    sigma, reach, rounds = parameter[0], int(parameter[1]), int(parameter[2])
    pixels, size = finish(gaussian_blur(image, (sigma,), rng)), len(image)
    for _ in range(rounds):
        moves = iter(rng.integers(-reach, reach, ((size - 2 * reach) ** 2, 2)).tolist())
        for row in range(size - reach, reach, -1):
            for column in range(size - reach, reach, -1):
                right, down = next(moves)
                pixels[row, column] = pixels[row + down, column + right]
    return gaussian_blur(pixels, (sigma,), rng)


def motion_blur(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Smear along a random direction."""
    return smear(image, parameter[0], parameter[1], rng.uniform(-45, 45))


def smear(image: Bytes, radius: float, sigma: float, angle: float) -> Floats:
    """Return the sum of the pixels ahead, weighted by one side of a Gaussian."""
    steps = np.arange(2 * ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    places = np.arange(len(image))
    total = np.zeros(image.shape)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        rows = np.clip(places + ceil(step * np.sin(np.radians(angle)) - 0.5), 0, len(image) - 1)
        columns = np.clip(places + ceil(step * np.cos(np.radians(angle)) - 0.5), 0, len(image) - 1)
        total += weight * image[rows][:, columns]
    return np.floor(257 * total + 0.5) // 257


def zoom_blur(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Average zooms about the centre."""
    unit = (image / 255).astype(np.float32)
    factors = np.arange(*parameter)
    total = unit + sum(clipped_zoom(unit, factor) for factor in factors)
    return 255 * np.asarray(total / (len(factors) + 1), dtype=np.float64)


def clipped_zoom(field: Floats, factor: float) -> Floats:
    """Return the middle of the field, enlarged."""
    side, part = len(field), ceil(len(field) / factor)
    start = (side - part) // 2
    zooms = (factor, factor, 1)[: field.ndim]
    large = ndimage.zoom(field[start : start + part, start : start + part], zooms, order=1)
    cut = (len(large) - side) // 2
    return np.asarray(large[cut : cut + side, cut : cut + side])


def snow(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Whiten and add flakes."""
    mean, std, zoom, threshold, radius, sigma, share = parameter
    layer = clipped_zoom(rng.normal(mean, std, image.shape[:2]), zoom)
    layer[layer < threshold] = 0
    flakes = smear(finish(255 * layer), radius, sigma, rng.uniform(-135, -45))[..., None]
    unit = (image / 255).astype(np.float32)
    bright = 1.5 * (unit @ LUMA)[..., None] + 0.5
    white = share * unit + (1 - share) * np.maximum(unit, bright)
    return np.asarray(255 * white + flakes + flakes[::-1, ::-1])


def frost(image: Bytes, parameter: Parameter, rng: Rng, textures: tuple[Bytes, ...]) -> Floats:
    """Add a piece of a photograph."""
    texture = textures[rng.integers(5)]
    row, column = (rng.integers(size - len(image)) for size in texture.shape[1:])
    crop = texture[:, row : row + len(image), column : column + len(image)]
    return parameter[0] * image + parameter[1] * np.moveaxis(crop, 0, -1)


def fog(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Add haze."""
    weight, decay = parameter
    unit, side = image / 255, len(image)
    haze = plasma(2 ** (side - 1).bit_length(), decay, rng)[:side, :side, None]
    return np.asarray(255 * (unit + weight * haze) * unit.max() / (unit.max() + weight))


def plasma(size: int, decay: float, rng: Rng) -> Floats:
    """Return a fractal map by the diamond-square algorithm."""
    heights, step, amplitude = np.zeros((size, size)), size, 100.0
    while step > 1:
        half, count = step // 2, size // step
        noise = amplitude * rng.uniform(-amplitude, amplitude, (3, count, count))
        corners = heights[::step, ::step]
        pairs = corners + np.roll(corners, -1, 0)
        centres = (pairs + np.roll(pairs, -1, 1)) / 4 + noise[0]
        upper = (centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)) / 4 + noise[1]
        left = (centres + np.roll(centres, 1, 1) + pairs) / 4 + noise[2]
        heights[half::step, half::step], heights[::step, half::step], heights[half::step, ::step] = centres, upper, left
        step, amplitude = half, amplitude / decay
    heights -= heights.min()
    return np.asarray(heights / heights.max())


def brightness(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Raise the value of HSV."""
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + parameter[0], 0, 1)
    return 255 * np.asarray(color.hsv2rgb(hsv))


def saturate(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Change the saturation of HSV."""
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * parameter[0] + parameter[1], 0, 1)
    return 255 * np.asarray(color.hsv2rgb(hsv))


def contrast(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Draw towards the mean."""
    unit = image / 255
    mean = unit.mean((0, 1), keepdims=True)
    return 255 * np.asarray((unit - mean) * parameter[0] + mean)


def elastic_transform(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Bend by an affine map and a smooth field."""
    alpha, sigma, reach = parameter
    side = len(image)
    centre, third = side // 2, side // 3
    corners = np.array([[1, 1], [1, -1], [-1, -1]], dtype=np.float32) * third + centre
    moved = (corners + rng.uniform(-reach, reach, (3, 2))).astype(np.float32)
    affine = cv2.getAffineTransform(corners, moved)
    unit = cv2.warpAffine((image / 255).astype(np.float32), affine, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    right, down = (
        alpha * ndimage.gaussian_filter(rng.uniform(-1, 1, (side, side)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    rows, columns = np.indices((side, side))
    places = (rows + down, columns + right)
    bands = [ndimage.map_coordinates(unit[..., k], places, order=1, mode="reflect") for k in range(3)]
    return 255 * np.stack(bands, -1)


def pixelate(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Shrink and enlarge."""
    side = len(image)
    small = int(side * parameter[0])
    box = Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((small, small), box).resize((side, side), box), dtype=np.float64)


def jpeg_compression(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:  # noqa: ARG001
    """Save and open."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(parameter[0]))
    return np.asarray(Image.open(file), dtype=np.float64)


def spatter(image: Bytes, parameter: Parameter, rng: Rng) -> Floats:
    """Put drops on the lens."""
    mean, std, sigma, threshold, strength, kind = parameter
    layer = ndimage.gaussian_filter(rng.normal(mean, std, image.shape[:2]), sigma, mode="nearest", truncate=4.0)
    unit = image / 255
    if kind == 1:
        mask = ndimage.gaussian_filter((layer > threshold).astype(np.float32), strength, mode="nearest", truncate=4.0)
        mask[mask < 0.8] = 0
        return np.asarray(255 * (unit * (1 - mask[..., None]) + mask[..., None] * MUD))
    mask = water(finish(255 * np.where(layer < threshold, 0, layer)))
    return 255 * (unit + strength * mask[..., None] * WATER)


def water(drops: Bytes) -> Floats:
    """Return how much of the water's colour each pixel gets."""
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    spread = cv2.equalizeHist(cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8))
    mask = drops * cv2.blur(cv2.filter2D(spread, cv2.CV_8U, EMBOSS), (3, 3)).astype(np.float64)
    return np.asarray(mask / max(mask.max(), 1))


FUNCTIONS = {
    function.__name__: function
    for function in (
        *(gaussian_noise, shot_noise, impulse_noise, defocus_blur, glass_blur, motion_blur, zoom_blur, snow, fog),
        *(brightness, contrast, elastic_transform, pixelate, jpeg_compression),
        *(speckle_noise, gaussian_blur, spatter, saturate),
    )
}
