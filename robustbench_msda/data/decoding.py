"""Pictures that stay in their files: a sequence of images that decodes what is asked of it, many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from robustbench_msda.data.stored import one_line
from robustbench_msda.engines.local import cores
from robustbench_msda.errors import DamagedData

# Pillow decodes without the interpreter's lock; more threads than this wait for the disk together.
MOST_READERS = 16
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
UNDECODABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, OverflowError, MemoryError),
    *(Image.DecompressionBombWarning, Image.DecompressionBombError),
)


class Images(Protocol):
    """Images in memory, on disk or in files of their own: an array of them, or what answers like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, side, side, 3)."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, index: NDArray[np.int64] | slice, /) -> NDArray[np.uint8]:
        """Return the images at ``index``, (n, side, side, 3) uint8."""


@dataclass(frozen=True)
class View:
    """How a picture becomes an image.

    Attributes:
        side: height and width of the image.
        stored: height and width the picture must have; 0 for any.
        short: what the shorter side is resized to before the centre is cut out; 0 for no resizing.
    """

    side: int
    stored: int = 0
    short: int = 0


# Resize(256) and CenterCrop(224) of torchvision: how the papers see ImageNet's clean images.
IMAGENET_VIEW = View(224, short=256)
# Resize(64) and CenterCrop(64): the clean images of networks that are trained at 64 pixels.
IMAGENET_VIEW_64 = View(64, short=64)


@dataclass(frozen=True)
class PictureFiles:
    """Pictures in a folder, as images.

    Attributes:
        root: the folder.
        files: their paths below it.
        view: how they become images.
    """

    root: Path
    files: tuple[str, ...]
    view: View

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, side, side, 3)."""
        return (len(self.files), self.view.side, self.view.side, 3)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Return the pictures at ``index``, decoded: (n, side, side, 3) uint8.

        Raises:
            DamagedData: a file is no picture, or one of another size.
        """
        files = self.files[index] if isinstance(index, slice) else [self.files[i] for i in index]
        return decode_files([self.root / file for file in files], self.view)


def decode_files(paths: Sequence[Path], view: View) -> NDArray[np.uint8]:
    """Return the pictures at ``paths`` as images (n, side, side, 3) uint8, decoded by a pool of threads."""
    images = np.empty((len(paths), view.side, view.side, 3), np.uint8)

    def decode(position: int) -> None:
        images[position] = decode_file(paths[position], view)

    with ThreadPoolExecutor(min(MOST_READERS, cores())) as pool:
        for _ in pool.map(decode, range(len(paths))):
            pass
    return images


def decode_file(path: Path, view: View) -> NDArray[np.uint8]:
    """Return one picture as an image (side, side, 3) uint8; grey becomes RGB.

    Raises:
        DamagedData: the file is no picture that Pillow decodes, or one of another size than ``view.stored``.
    """
    with opened(path) as picture:
        if view.stored and picture.size != (view.stored, view.stored):
            raise DamagedData(
                f"{path}: expected {view.stored}×{view.stored} pixels, found {picture.width}×{picture.height}: "
                f"images of another release of the benchmark; get those of {view.stored} px"
            )
        return np.asarray(seen(picture.convert("RGB"), view))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Give a picture of 8-bit levels that is not decoded yet.

    Raises:
        DamagedData: the file is no picture that Pillow decodes; also of what fails while it is open.
    """
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.mode.startswith(("I", "F")):
                raise DamagedData(f"{path}: expected 8-bit grey or RGB, found mode {picture.mode}; convert it")
            yield picture
    except UNDECODABLE as error:
        raise DamagedData(f"{path}: expected a picture ({reason(error)}); get it again") from None


def reason(error: BaseException) -> str:
    """Return why a picture cannot be decoded, on one line."""
    # Pillow's own text on what it does not know names a place in memory.
    return "not recognised" if isinstance(error, UnidentifiedImageError) else one_line(error)


def seen(picture: Image.Image, view: View) -> Image.Image:
    """Return what ``view`` shows of ``picture``: torchvision's Resize (bilinear, shorter side) and CenterCrop."""
    if not view.short:
        return picture
    width, height = picture.size
    # torchvision 0.21, functional.py: the longer side is cut to a whole number, the corner of the crop rounded.
    if width <= height:
        size = (view.short, int(view.short * height / width))
    else:
        size = (int(view.short * width / height), view.short)
    left, top = (round((length - view.side) / 2) for length in size)
    resized = picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + view.side, top + view.side))
