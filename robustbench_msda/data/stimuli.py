"""What official benchmark files hold: the images, or videos, of one condition, checked, and read as they are asked for.

Layouts: hendrycks/robustness 8190fe3, ``make_cifar_c.py``, ``make_cifar_p.py``, ``make_imagenet_c.py`` and ``test.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.class_folders import Listing, check_missing, check_surplus, list_classes
from robustbench_msda.data.decoding import Images, PictureFiles, View
from robustbench_msda.data.pictures import SUFFIXES
from robustbench_msda.data.stored import read_array
from robustbench_msda.errors import DamagedData

AGAIN = "get it again"


class Condition(Protocol):
    """One condition at one level."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the class of each image or video."""

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at ``positions``, or all frames of the videos there: (m, side, side, 3), video by video.

        Raises:
            DamagedData: a file is not what it claims to be.
        """


@dataclass(frozen=True)
class Stills:
    """The images of one level.

    Attributes:
        images: of all levels that lie together, (N, side, side, 3).
        labels: (n,) the classes of this level.
        start: where this level begins among the images.
    """

    images: Images
    labels: NDArray[np.int64]
    start: int = 0

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at ``positions``, (m, side, side, 3)."""
        return np.asarray(self.images[positions + self.start])


@dataclass(frozen=True)
class VideoArray:
    """Videos in one array (n, frames, side, side, 3), memory-mapped; and their classes."""

    videos: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the frames of the videos at ``positions``, (m · frames, side, side, 3)."""
        return np.asarray(self.videos[positions]).reshape(-1, *self.videos.shape[2:])


def open_stills(path: Path, levels: int, level: int, clean: NDArray[np.int64], side: int) -> Stills:
    """Return one level of ``<condition>.npy``, where level follows level, each in the order of the clean images.

    Args:
        path: the array; ``labels.npy`` lies beside it.
        levels: how many levels it holds.
        level: which one, from 0.
        clean: (n,) the labels of the clean test images.
        side: of the images.

    Raises:
        DamagedData: the array is of another shape or type, or the labels are not the clean ones, level after level.
    """
    check_labels(path.with_name("labels.npy"), clean, levels)
    images = typed_array(path, (levels * len(clean), side, side, 3))
    return Stills(images, clean, level * len(clean))


def open_videos(path: Path, clean: NDArray[np.int64], frames: int, side: int) -> VideoArray:
    """Return the videos of ``<perturbation>.npy``, one a clean test image, in their order.

    Raises:
        DamagedData: the array is of another shape or type.
    """
    return VideoArray(typed_array(path, (len(clean), frames, side, side, 3)), clean)


def typed_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array at ``path``, memory-mapped, or raise ``DamagedData`` unless it is uint8 of ``shape``."""
    array = read_array(path)
    if array.shape != shape or array.dtype != np.uint8:
        raise DamagedData(f"{path}: expected {shape} uint8, found {array.shape} {array.dtype}; {AGAIN}")
    return array.astype(np.uint8, copy=False)


def check_labels(path: Path, clean: NDArray[np.int64], levels: int) -> None:
    """Raise ``DamagedData`` unless the labels at ``path`` are the ``clean`` ones, as often as there are ``levels``."""
    found = read_array(path)
    if found.shape != (levels * len(clean),) or found.dtype.kind not in "iu":
        raise DamagedData(
            f"{path}: expected {levels * len(clean):,} whole numbers, the labels of {len(clean):,} clean test images "
            f"{levels} times over, found {found.shape} {found.dtype}; {AGAIN}"
        )
    expected = np.tile(clean, levels)
    if (found == expected).all():
        return
    by_image = found.reshape(-1, levels)
    if (by_image == by_image[:, :1]).all():
        raise DamagedData(
            f"{path}: expected all labels of one severity, then of the next, found them interleaved; {AGAIN}"
        )
    first = int(np.argmax(found != expected))
    raise DamagedData(
        f"{path}: expected the labels of the clean test images {levels} times over, found {found[first]} where "
        f"{expected[first]} belongs (row {first:,}, counted from 0); {AGAIN}, or the clean images if they are in error"
    )


def all_there(folder: Path, found: Listing, clean: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise ``DamagedData`` unless class folders hold a file for each clean test image, in their order of classes."""
    check_surplus(folder, found.labels, clean, classes, AGAIN)
    check_missing(folder, found.labels, clean, classes, f"{AGAIN}, or take what is there with --allow-partial")
    if (found.labels != clean).any():
        raise DamagedData(
            f"{folder}: expected the classes in the order of the clean test images, which do not come class by class; "
            "prepare the data set from class folders"
        )


def some_there(folder: Path, found: Listing, clean: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise ``DamagedData`` where class folders hold nothing, or more than the clean test images."""
    check_surplus(folder, found.labels, clean, classes, AGAIN)
    if not found.files:
        raise DamagedData(f"{folder}: expected {len(clean):,} files, found none; {AGAIN}")


Accept = Callable[[Path, Listing, NDArray[np.int64], Sequence[str]], None]


def open_folder(folder: Path, classes: Sequence[str], clean: NDArray[np.int64], view: View, accept: Accept) -> Stills:
    """Return the pictures of ``<level>/<class>/``, listed by class, then name.

    Args:
        folder: of the level.
        classes: names, in label order.
        clean: (n,) the labels of the clean test images.
        view: how pictures become images.
        accept: raises unless what is there will do.

    Raises:
        DamagedData: a folder is no class, a file no picture, or ``accept`` refuses.
    """
    found = list_classes(folder, classes, SUFFIXES)
    accept(folder, found, clean, classes)
    return Stills(PictureFiles(folder, found.files, view), found.labels)
