"""scikit-learn's handwritten digits as a data set that is always there: real images, embedded in a dependency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.records import limited

SIDE = 32
TEST_COUNT = 500
GREYEST = 16


def split_positions(digits: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sorted positions of the training and of the test images.

    The test images are every (n/500)-th of the images stably sorted by digit, so that each digit keeps its share to
    within one image and no generator is involved.

    Args:
        digits: (n,) the digit of each image.
    """
    by_digit = np.argsort(digits, kind="stable")
    is_test = np.zeros(len(digits), dtype=np.bool_)
    is_test[by_digit[limited(len(digits), TEST_COUNT)]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def upscale(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return an 8×8 image of ink 0…16 as (32, 32, 3) uint8: scaled to 0…255, rounded, Pillow's bilinear resize."""
    grey = np.rint(image * (255 / GREYEST)).astype(np.uint8)
    large = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(large)[:, :, None], 3, axis=2)


@lru_cache(maxsize=1)
def load() -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Return images (N, 32, 32, 3) uint8 and labels (N,) int64 of the splits ``train`` (1,297) and ``test`` (500).

    Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998, its 1,797 test images, as
    scikit-learn ships them. The arrays are shared and read-only.
    """
    from sklearn.datasets import load_digits  # here, since it takes a second to import

    bunch = load_digits()
    images = np.stack([upscale(image) for image in bunch.images])
    labels = np.asarray(bunch.target, dtype=np.int64)
    train, test = split_positions(labels)
    splits = {"train": (images[train], labels[train]), "test": (images[test], labels[test])}
    for arrays in splits.values():
        for array in arrays:
            array.setflags(write=False)
    return splits
