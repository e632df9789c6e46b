"""Images beside a data set: other prepared sets of its classes, and folders of pictures of anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.datasets import Dataset, dataset_name
from robustbench_msda.data.decoding import Images, View
from robustbench_msda.data.members import hidden
from robustbench_msda.data.pictures import SUFFIXES
from robustbench_msda.data.stored import CLASSES, META, one_line, read_classes, read_meta
from robustbench_msda.errors import DamagedData, UserError

# ITU-R 601-2 in 16 bits, as Pillow's ``convert("L")``.
LUMA = np.array([19_595, 38_470, 7_471], dtype=np.uint32)


def prepared_like(dataset: Dataset, data_dir: Path) -> tuple[str, ...]:
    """Return the names of the prepared sets in ``data_dir`` whose test images ``dataset``'s networks can be shown.

    They have its classes, in its order, its side and channels; ``dataset`` itself is among them where it lies there.
    What cannot be read is left out: ``data check`` says of it what is wrong.
    """
    folders = sorted(path.parent for path in data_dir.glob(f"[!.]*/{META}"))
    return tuple(folder.name for folder in folders if _is_like(dataset, folder))


def _is_like(dataset: Dataset, folder: Path) -> bool:
    try:
        meta = read_meta(folder)
        if not dataset_name(folder.name) == folder.name == meta.name or not meta.test:
            return False
        same = (meta.side, meta.channels) == (dataset.side, dataset.channels)
        return same and read_classes(folder / CLASSES) == dataset.classes
    except UserError:
        return False


@lru_cache(maxsize=256)
def pictures_below(folder: Path) -> tuple[tuple[str, int], ...]:
    """Return the sorted (path, size in bytes) of every picture below ``folder``, as when this process first looked.

    What is hidden, or named as no picture, is left out.

    Raises:
        DamagedData: a folder cannot be read.
    """
    found: list[tuple[str, int]] = []

    def refuse(error: OSError) -> None:
        raise DamagedData(f"{folder}: cannot be read ({one_line(error)}); mend the permissions or the link") from None

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not hidden(name)]
        paths = (Path(place, name) for name in files if not hidden(name) and name.lower().endswith(SUFFIXES))
        found += [(path.relative_to(folder).as_posix(), _size(path)) for path in paths]
    return tuple(sorted(found))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DamagedData(f"{path}: cannot be read ({one_line(error)}); mend the permissions or the link") from None


def view_of(dataset: Dataset) -> View:
    """Return how a picture of any size becomes an image of the side of ``dataset``.

    As its own test pictures do; where those are arrays, the shorter side is resized to it and the centre cut out.
    """
    return dataset.view or View(dataset.side, short=dataset.side)


@dataclass(frozen=True)
class Grey:
    """RGB images, as the grey ones that Pillow makes of them."""

    images: Images

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, side, side, 1)."""
        return (*self.images.shape[:3], 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Return the images at ``index``, (n, side, side, 1) uint8."""
        levels = self.images[index].astype(np.uint32) @ LUMA
        return ((levels + 0x8000) >> 16).astype(np.uint8)[..., None]
