"""Corruptions against imagecorruptions: images a second, ours over theirs, at 32 px on one thread.

Each row runs all five severities over the same photographs, theirs an image at a time as its interface has it, ours as
batches, a new random stream for each image included. Theirs uses its own severities, those of 224 px at every size.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from perf.measure import Row, paired, summary
from robustbench_msda.corruptions import CORRUPTIONS, corrupt
from robustbench_msda.streams import stream

SIDE = 32
IMAGES = 256
SEVERITIES = range(1, 6)
UNIT = "images/s, ours / imagecorruptions, 32 px, one core"
Peer = Callable[[NDArray[np.uint8], int, str], NDArray[np.uint8]]


def rows() -> Iterator[Row]:
    """Yield a row for each corruption, then their geometric mean."""
    torch.set_num_threads(1)
    peer = load_peer()
    images = photographs()
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    ratios = {name: ratios_of(name, images, batch, peer) for name in CORRUPTIONS}
    for name, values in ratios.items():
        yield summary(f"corruptions/{name}", values, UNIT)
    means = np.exp(np.log(np.array(list(ratios.values()))).mean(axis=0))
    yield summary("corruptions/geometric mean", means.tolist(), UNIT)


def ratios_of(name: str, images: NDArray[np.uint8], batch: torch.Tensor, peer: Peer) -> list[float]:
    """Return their time over ours for all severities of a corruption."""

    def theirs() -> None:
        for severity in SEVERITIES:
            for image in images:
                peer(image, severity, name)

    def mine() -> None:
        for severity in SEVERITIES:
            ours(batch, name, severity)

    return paired(theirs, mine)


def ours(batch: torch.Tensor, name: str, severity: int) -> torch.Tensor:
    """Return the corrupted batch, streams and draws included, as the benchmark makes it."""
    random = CORRUPTIONS[name].draw is not None
    rngs = [stream("perf", 1, name, str(severity), index) for index in range(len(batch) * random)]
    return corrupt(batch, name, severity, rngs)


def photographs() -> NDArray[np.uint8]:
    """Return ``IMAGES`` tiles of scikit-learn's two photographs, (n, 32, 32, 3)."""
    tiles = []
    for file in ("china.jpg", "flower.jpg"):
        photograph = load_sample_image(file)
        height, width = (size // SIDE for size in photograph.shape[:2])
        cut = photograph[: height * SIDE, : width * SIDE].reshape(height, SIDE, width, SIDE, 3)
        tiles.append(cut.swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3))
    stacked = np.concatenate(tiles)
    return np.ascontiguousarray(stacked[:: len(stacked) // IMAGES][:IMAGES])


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


def _gaussian(image: NDArray[np.float64], sigma: float, multichannel: bool = False) -> NDArray[np.float64]:
    """Blur as scikit-image did when ``multichannel`` was an argument of its Gaussian."""
    gaussian = import_module("skimage.filters").gaussian
    return np.asarray(gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None))
