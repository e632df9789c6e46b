"""Decoding pictures for training, against torchvision's own transforms behind the same loader, both in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from perf.measure import Row, paired, summary
from robustbench_msda.augmentations.resized_crop import draw_resized_crops
from robustbench_msda.data.loading import Loader, Request
from robustbench_msda.streams import stream

PICTURES = 48
BATCH = 16
SIZE = (375, 500)  # height and width of most ImageNet pictures
FORMS = ((224, (0.08, 1.0)), (64, (0.08, 1.0)), (64, (0.8, 1.0)), (64, (0.25, 0.4)))


def rows() -> Iterator[Row]:
    """Yield images/s over torchvision's at the sizes and crops of the papers."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(Path(folder))
        for side, scale in FORMS:
            ratios = paired(peer(Path(folder), side, scale), ours(paths, side, scale))
            unit = f"images/s, ours / torchvision, JPEG of {SIZE[1]}x{SIZE[0]}, area {scale[0]} to {scale[1]}, one core"
            yield summary(f"pictures/{side} px, area {scale[0]}-{scale[1]}", ratios, unit)


def photographs(folder: Path) -> list[Path]:
    """Write parts of scikit-learn's two photographs as JPEG files of one class and return their paths."""
    rng = np.random.default_rng(0)
    whole = load_sample_images().images
    (folder / "photographs").mkdir()
    paths = [folder / "photographs" / f"{number:02}.jpg" for number in range(PICTURES)]
    for number, path in enumerate(paths):
        levels = whole[number % len(whole)]
        top, left = (int(rng.integers(0, have - want + 1)) for have, want in zip(levels.shape[:2], SIZE, strict=True))
        Image.fromarray(levels[top : top + SIZE[0], left : left + SIZE[1]]).save(path, quality=92)
    return paths


def ours(paths: list[Path], side: int, scale: tuple[float, float]) -> Callable[[], None]:
    """Return an epoch of our loader."""
    draws = draw_resized_crops(len(paths), 0.5, stream("perf"))
    asked = [
        Request(str(path), attempts.numpy(), bool(mirrored), scale)
        for path, attempts, mirrored in zip(paths, *draws, strict=True)
    ]
    loader = Loader(side, 0)

    def epoch() -> None:
        for _ in loader.epoch(asked[at : at + BATCH] for at in range(0, len(asked), BATCH)):
            pass

    return epoch


def peer(folder: Path, side: int, scale: tuple[float, float]) -> Callable[[], None]:
    """Return an epoch of torchvision's folder and transforms."""
    steps = [v2.RandomResizedCrop(side, scale, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    loader = DataLoader(ImageFolder(folder, v2.Compose(steps)), BATCH)

    def epoch() -> None:
        for _ in loader:
            pass

    return epoch
