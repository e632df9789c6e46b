"""Attacked images on disk, made once and read by every cell that wants them: deletable, for they are made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from robustbench_msda.errors import DamagedData
from robustbench_msda.files import whole
from robustbench_msda.records import Cell, World, encode

if TYPE_CHECKING:
    from robustbench_msda.attacks.base import Moved
    from robustbench_msda.benchmarks.adversarial import Stimulus

# What stands for not known beside the 0 and 1 of whether an image's gradient was zero.
UNKNOWN = -1


def sets_of(folder: Path, cell: Cell) -> Path:
    """Return where in ``folder`` the images are kept that the gradients of one network made, ``cell``'s among them."""
    return folder / (cell.source or cell.fingerprint)


def set_path(folder: Path, cell: Cell, world: World) -> Path:
    """Return where the images of ``cell`` are kept in ``folder``: by the network whose gradients made them."""
    return sets_of(folder, cell) / f"{encode(cell.benchmark)}@{world.id}" / f"{cell._replace(source='').filename}.npy"


def keeping(stimuli: Iterator[Stimulus], path: Path, count: int) -> Iterator[Stimulus]:
    """Yield ``stimuli``, ``count`` images in all, and keep what the attack made of them at ``path``, whole.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    with whole(path) as temporary, temporary.open("wb") as file:
        for number, stimulus in enumerate(stimuli):
            rows = as_rows(stimulus.moved)
            if number == 0:
                header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(file, header)
            # Not mapped: a full disk would kill the process.
            file.write(rows.tobytes())
            yield stimulus


def read_rows(path: Path, first: int, count: int, like: Tensor) -> Moved:
    """Return what was made of as many images as ``like`` holds, from position ``first`` on.

    Args:
        path: where ``keeping`` kept them.
        first: the first of them.
        count: how many images there must be in all.
        like: (B, C, H, W), the clean images, for their shape and device.

    Raises:
        DamagedData: the file does not hold ``count`` such images.
    """
    from robustbench_msda.attacks.base import Moved

    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedData(f"{path} cannot be read ({type(error).__name__}); delete it: it is made again") from None
    if stored.dtype != row_type(tuple(like.shape[1:])) or stored.shape != (count,):
        raise DamagedData(
            f"{path} does not hold {count} images of {tuple(like.shape[1:])}; delete it: it is made again"
        )
    rows = stored[first : first + len(like)]
    flat = torch.from_numpy(np.array(rows["flat"])).to(like.device)
    images = torch.from_numpy(np.array(rows["images"])).to(like.device)
    return Moved(images, None if bool((flat == UNKNOWN).any()) else flat == 1)


def as_rows(moved: Moved) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return what an attack made as rows of a file."""
    rows = np.empty(len(moved.images), row_type(tuple(moved.images.shape[1:])))
    rows["images"] = moved.images.detach().cpu().numpy()
    rows["flat"] = UNKNOWN if moved.flat is None else moved.flat.cpu().numpy()
    return rows


def row_type(shape: tuple[int, ...]) -> np.dtype[np.void]:
    """Return the type of a row: an image of ``shape`` and whether its gradient was zero."""
    return np.dtype([("images", "<f4", shape), ("flat", "<i4")])
