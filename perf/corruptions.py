"""Corruptions: images a second, ours over those of imagecorruptions and of plain scalar code, on one thread.

Each row runs all five severities over the same photographs: theirs an image at a time, ours as a batch, a new random
stream for each image included. imagecorruptions uses its own severities, those of 224 px at every size; the scalar code
those of the size, as ours does.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from perf import scalar
from perf.measure import Row, paired, summary
from robustbench_msda.conditions import EXTRA, FIFTEEN
from robustbench_msda.corruptions import Corruption, corrupt
from robustbench_msda.corruptions.frost import draw_from, read_textures
from robustbench_msda.corruptions.table import with_frost
from robustbench_msda.streams import stream

SEVERITIES = range(1, 6)
Peer = Callable[[NDArray[np.uint8], int, str], NDArray[np.uint8]]


@dataclass(frozen=True)
class Work:
    """What is corrupted: the side of the images, how many are ours at a time, and how many theirs."""

    side: int
    ours: int
    theirs: int


# Enough of ours to fill a batch; of theirs, which is a loop, enough to be measured.
WORKS = (Work(32, 64, 2), Work(224, 2, 1))


def rows() -> Iterator[Row]:
    """Yield a row for each corruption and side against each of the two, each set followed by its geometric mean."""
    torch.set_num_threads(1)
    textures = read_textures()
    table, peer = with_frost(textures), load_peer()
    for work in WORKS:
        own = draw_from(textures).sizes[work.side]
        plain = partial(_scalar, rng=stream("perf", 0), textures=own)
        yield from against(peer, work, table, ("corruptions", "imagecorruptions"))
        yield from against(plain, work, table, ("scalar", "scalar code"))


def against(peer: Peer, work: Work, table: dict[str, Corruption], names: tuple[str, str]) -> Iterator[Row]:
    """Yield the rows against one peer, called ``names``: in the rows and in their unit."""
    short, title = names
    unit = f"images/s, ours / {title}, {work.side} px, one core"
    images = photographs(work.side, work.ours)
    ratios = {}
    for name in (*FIFTEEN, *EXTRA):
        ratios[name] = ratios_of(name, images, work, table, peer)
        yield summary(f"{short}_{work.side}/{name}", ratios[name], unit)
    means = np.exp(np.log(np.array(list(ratios.values()))).mean(axis=0))
    yield summary(f"{short}_{work.side}/geometric mean", means.tolist(), unit)


def ratios_of(
    name: str, images: NDArray[np.uint8], work: Work, table: dict[str, Corruption], peer: Peer
) -> list[float]:
    """Return their time an image over ours, for all severities of a corruption."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def theirs() -> None:
        for severity in SEVERITIES:
            for image in images[: work.theirs]:
                peer(image, severity, name)

    def mine() -> None:
        for severity in SEVERITIES:
            ours(batch, name, severity, table)

    return [ratio * work.ours / work.theirs for ratio in paired(theirs, mine)]


def ours(batch: torch.Tensor, name: str, severity: int, table: dict[str, Corruption]) -> torch.Tensor:
    """Return the corrupted batch, streams and draws included, as the benchmark makes it."""
    random = table[name].draw is not None
    rngs = [stream("perf", 1, name, str(severity), index) for index in range(len(batch) * random)]
    return corrupt(batch, name, severity, rngs, table)


def photographs(side: int, count: int) -> NDArray[np.uint8]:
    """Return ``count`` tiles of scikit-learn's two photographs, (count, side, side, 3)."""
    tiles = []
    for file in ("china.jpg", "flower.jpg"):
        photograph = load_sample_image(file)
        rows, columns = (size // side for size in photograph.shape[:2])
        cut = photograph[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
        tiles.append(cut.swapaxes(1, 2).reshape(-1, side, side, 3))
    stacked = np.concatenate(tiles)
    return np.ascontiguousarray(stacked[:: len(stacked) // count][:count])


def _scalar(
    image: NDArray[np.uint8],
    severity: int,
    name: str,
    rng: np.random.Generator,
    textures: tuple[NDArray[np.uint8], ...],
) -> NDArray[np.uint8]:
    return scalar.corrupt(image, name, severity, rng, textures)


def load_peer() -> Peer:
    """Return ``imagecorruptions.corrupt``, mended for today's NumPy, SciPy, setuptools and scikit-image.

    Version 1.1.2 uses names they have removed: ``pkg_resources``, ``scipy.ndimage.interpolation``, ``numpy.float_`` and
    the ``multichannel`` argument of scikit-image's Gaussian. What it computes is left alone.
    """
    spec = find_spec("imagecorruptions")
    if spec is None or spec.origin is None:
        raise SystemExit("imagecorruptions is not installed: pip install 'robustbench-msda[perf]'")
    folder = Path(spec.origin).parent
    resources = types.ModuleType("pkg_resources")
    vars(resources)["resource_filename"] = lambda _, name: str(folder / name)
    interpolation = types.ModuleType("scipy.ndimage.interpolation")
    vars(interpolation)["map_coordinates"] = scipy.ndimage.map_coordinates
    sys.modules |= {"pkg_resources": resources, "scipy.ndimage.interpolation": interpolation}
    vars(np)["float_"] = np.float64
    import_module("cv2").setNumThreads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = import_module("imagecorruptions")
    package.corruptions.gaussian = _gaussian
    peer: Peer = package.corrupt
    return peer


def _gaussian(
    image: NDArray[np.float64],
    sigma: float,
    multichannel: bool = False,
    mode: str = "nearest",
    truncate: float = 4.0,
) -> NDArray[np.float64]:
    """Blur as scikit-image did when ``multichannel`` was an argument of its Gaussian."""
    gaussian = import_module("skimage.filters").gaussian
    axis = -1 if multichannel else None
    return np.asarray(gaussian(image, sigma=sigma, mode=mode, truncate=truncate, channel_axis=axis))
