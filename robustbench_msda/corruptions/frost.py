"""Frost (Hendrycks & Dietterich 2019, section 3): photographs of frosted glass, or drawn crystals, over the image.

The reference's textures are third parties' photographs, so they do not come with this package: ``read_textures`` finds
them. ``frost_procedural`` is a stand-in under its own name, for where there are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from robustbench_msda.corruptions.fog import draw_plasma, plasma
from robustbench_msda.corruptions.noise import middles
from robustbench_msda.corruptions.pixels import truncated
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.errors import DamagedData, MissingData

# What each side shrinks the textures by; the others take them as they are.
SHRINK = {32: 0.2, 64: 0.3}
FULL_SIZE = (224, 299)
# Weights of OpenCV's bilinear resizing have this many bits.
WEIGHT_BITS = 11

# The colour of ice between crystals and what a crystal adds, in grey levels: together near the textures' mean of
# (166, 157, 151) with a standard deviation near 30.
ICE = (122.0, 132.0, 138.0)
GLINT = (110.0, 106.0, 102.0)
CRYSTAL_DECAY = 1.6
SHARPNESS = 3


@dataclass(frozen=True)
class Source:
    """One file of textures: its name and the SHA-256 of its bytes."""

    name: str
    sha256: str


# hendrycks/robustness 8190fe3, ImageNet-C/create_c. Its randint(5) never comes to frost6.jpg; frost2 and frost3 show
# the same, so that picture has two chances of five.
SOURCES = (
    Source("frost1.png", "ff9f907860bd7a835d459e32f9d588062b7f61ee267343cc7222b56753a14755"),
    Source("frost2.png", "fe211a89b336999c207a852ce05818d4545d0b57c5beadd824b4cc9d9a9b6137"),
    Source("frost3.png", "2d0d50b4a9bb213f38b024ef7768731bb83cc08d2f26b5766bbc167cdfa0e504"),
    Source("frost4.jpg", "3f8b91ca1a9fa7167b09e773da53f5ae60d0a1fd88f02a783f6e328a72887f6e"),
    Source("frost5.jpg", "5fc6a19df4a429ba68abdcc8f8a4278d4c9f81c9ccafd2c92ab0c8cf8992ebd2"),
)


def frost(images: Tensor, parameter: Parameter, textures: Tensor) -> Tensor:
    """Return ``images`` and ``textures`` added by weight, in float64 and truncated.

    Args:
        images: (B, 3, H, W) uint8.
        parameter: the weight of the image and that of the texture.
        textures: (B, 3, H, W), grey levels 0 … 255.
    """
    own, other = parameter
    total = images.double().mul_(own).add_(textures.double().mul_(other))
    return truncated(total)


def frost_procedural(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` under ice crystals that are drawn, not photographed.

    Differs from the reference: a texture of our own, so results are not comparable with those of ``frost``.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: the weight of the image and that of the texture.
        draws: (B, n² − 1) slices or floats in [0, 1), n being the power of two that holds S; see ``plasma``.
    """
    side = images.shape[-1]
    return frost(images, parameter, crystals(middles(draws))[..., :side, :side])


draw_crystals = draw_plasma


def crystals(uniforms: Tensor) -> Tensor:
    """Return (B, 3, n, n) float grey levels: bluish ice with bright veins along the middle contour of a fractal map.

    Args:
        uniforms: (B, n² − 1) float in [0, 1), as ``plasma`` takes them.
    """
    heights = plasma(uniforms, CRYSTAL_DECAY)
    middle = heights.mean((1, 2), keepdim=True)
    veins = (heights - middle).abs_().mul_(-2).add_(1).clamp_(0, 1).pow_(SHARPNESS).unsqueeze(1)
    ice, glint = (heights.new_tensor(colour).view(1, 3, 1, 1) for colour in (ICE, GLINT))
    return ice + glint * veins


@dataclass(frozen=True)
class TextureDraw:
    """The draw of a crop of a texture; ``sizes`` holds, for each image side, the textures each (3, H, W) uint8."""

    sizes: Mapping[int, tuple[NDArray[np.uint8], ...]]

    def __call__(
        self,
        rng: np.random.Generator,
        side: int,
        parameter: Parameter,  # noqa: ARG002
    ) -> tuple[NDArray[np.uint8]]:
        """Return one (3, side, side) crop; the last row and column a crop could start at are left out, as there."""
        textures = self.sizes[side]
        # 64 bits scaled to a whole number: a tenth of the time of ``Generator.integers``, and as even as it need be.
        which, down, right = rng.bit_generator.random_raw(3).tolist()
        texture = textures[which * len(textures) >> 64]
        _, height, width = texture.shape
        row, column = down * (height - side) >> 64, right * (width - side) >> 64
        return (texture[:, row : row + side, column : column + side],)


def draw_from(textures: Sequence[NDArray[np.uint8]]) -> TextureDraw:
    """Return the draw of crops of ``textures``, each (3, H, W) uint8, shrunk for the sides that have them so."""
    shrunk = {side: tuple(shrink(texture, factor) for texture in textures) for side, factor in SHRINK.items()}
    return TextureDraw(shrunk | dict.fromkeys(FULL_SIZE, tuple(textures)))


def read_textures(folder: Path | None = None) -> tuple[NDArray[np.uint8], ...]:
    """Return the reference's five textures, each (3, H, W) uint8 RGB.

    Args:
        folder: where hendrycks' ``frost1.png`` … ``frost5.jpg`` are; by default those that an installed
            ``imagecorruptions`` brings along, which is found but not imported.

    Raises:
        MissingData: there is no such package, or a file is not in the folder.
        DamagedData: a file is not the reference's.
    """
    folder = folder or _installed()
    return tuple(_read(folder, source) for source in SOURCES)


def _installed() -> Path:
    spec = find_spec("imagecorruptions")
    if spec is None or spec.origin is None:
        raise MissingData(
            "frost needs its textures: name a folder with frost1.png … frost5.jpg of hendrycks/robustness, or install "
            "the package imagecorruptions, which holds them"
        )
    return Path(spec.origin).parent / "frost"


def _read(folder: Path, source: Source) -> NDArray[np.uint8]:
    path = folder / source.name
    if not path.is_file():
        raise MissingData(f"{path}: no such file; frost needs the five textures of hendrycks/robustness")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise DamagedData(f"{path}: not the texture of hendrycks/robustness, whose SHA-256 is {source.sha256[:16]}…")
    with Image.open(BytesIO(content)) as image:
        return np.ascontiguousarray(np.moveaxis(np.asarray(image.convert("RGB")), -1, 0))


def shrink(texture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return (3, H, W) ``texture`` resized by ``factor`` as OpenCV's bilinear resizing of bytes does.

    Two neighbours each way at half-pixel centres, without smoothing; weights of 11 bits; sums shifted in two steps.
    """
    _, height, width = texture.shape
    left, right, weights = _bilinear(width, factor)
    rows = texture[:, :, left].astype(np.int32) * weights[0] + texture[:, :, right].astype(np.int32) * weights[1]
    upper, lower, weights = _bilinear(height, factor)
    top, bottom = (
        (rows[:, source] >> 4) * weight[:, None] >> 16 for source, weight in zip((upper, lower), weights, strict=True)
    )
    return np.asarray((top + bottom + 2) >> 2, dtype=np.uint8)


def _bilinear(size: int, factor: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return for each new pixel its two old neighbours and, in two rows, their weights of ``WEIGHT_BITS`` bits."""
    # Python rounds halves to even, as OpenCV does.
    new = np.arange(round(size * factor))
    position = ((new + 0.5) * (1 / factor) - 0.5).astype(np.float32)
    before = np.floor(position)
    share = position - before
    weights = np.rint(np.stack((1 - share, share)) * np.float32(2**WEIGHT_BITS)).astype(np.int32)
    first = before.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), weights
