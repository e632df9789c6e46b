"""The published generator's outputs and its figures over seeds, as the reference folder's ``data`` holds them."""

from __future__ import annotations

import csv
import json
import math
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.corruptions import Corruption

CERTAIN_IMAGES, DRAWN_IMAGES = (0, 15, 30), (0, 13, 26)

T = TypeVar("T")
Images = NDArray[np.uint8]
Table = Mapping[str, Corruption]


@dataclass(frozen=True)
class Run:
    """What the generator went through after one seeding.

    Attributes:
        seed: of NumPy's legacy stream, set before the first image.
        images: (N, S, S, 3), in the generator's order.
        rows: those whose outputs are kept, ascending.
        gold: (rows, S, S, 3), the outputs.
    """

    seed: int
    images: Images
    rows: Sequence[int]
    gold: Images

    @property
    def kept(self) -> Images:
        """The images whose outputs are kept."""
        return self.images[list(self.rows)]

    def kept_of(self, draws: Iterable[T]) -> list[T]:
        """Return, of one draw an image, those of the kept rows."""
        return [draw for row, draw in enumerate(islice(draws, self.rows[-1] + 1)) if row in self.rows]


def runs(gold: Path, name: str, severity: int, side: int, table: Table) -> Iterator[Run]:
    """Yield the generator's runs of one cell: one over all images at 32 px, one an image at 224 px."""
    if side == 32:
        folder = gold / "cifar10c_50"
        seed = json.loads((folder / "seeds.json").read_text())["seeds"].get(f"{name}/{severity}", 0)
        outputs = np.load(folder / f"{name}.npy", mmap_mode="r").reshape(5, -1, 32, 32, 3)
        yield Run(seed, images_of(gold.parent, 32), rows_32(folder), outputs[severity - 1])
        return
    folder = gold / "imagenetc"
    position = json.loads((folder / "meta.json").read_text())["corruption_index"][name]
    for image in CERTAIN_IMAGES if table[name].draw is None else DRAWN_IMAGES:
        output = picture(folder / "outputs" / f"{name}_s{severity}_i{image:02d}.png")
        seed = 10_000 * position + 1_000 * severity + image
        yield Run(seed, images_of(gold.parent, 224)[image : image + 1], [0], output[None])


@cache
def images_of(data: Path, side: int) -> Images:
    """Return the (N, side, side, 3) images the generator's figures are over: 500 at 32 px, 40 at 224 px."""
    if side == 224:
        return np.stack([picture(path) for path in sorted((data / "gold" / "imagenetc" / "inputs").glob("*.png"))])
    with tarfile.open(data / "cifar10_test_jpeg.tar.xz") as archive:
        names = [name for name in sorted(archive.getnames()) if name.endswith(".jpg") and int(Path(name).stem) < 50]
        files = {name: archive.extractfile(name) for name in names}
        images = np.stack([picture(BytesIO(file.read())) for file in files.values() if file])
    folder = data / "gold" / "cifar10c_50"
    if not np.array_equal(images[rows_32(folder)], np.load(folder / "clean.npy")):
        raise ValueError("expected the JPEG files to decode to the generator's inputs: Pillow's decoder is another")
    return images


@cache
def rows_32(folder: Path) -> list[int]:
    """Return the rows of the 500 images whose outputs are kept; the generator took 50 of each class, in order."""
    with (folder / "indices.csv").open() as lines:
        return [50 * int(row["label"]) + int(Path(row["jpeg_path"]).stem) for row in csv.DictReader(lines)]


def picture(source: Path | BytesIO) -> Images:
    """Return the (H, W, 3) pixels of a picture."""
    with Image.open(source) as image:
        return np.asarray(image.convert("RGB"))


@cache
def recorded(gold: Path, side: int) -> dict[str, list[float]]:
    """Return, for each corruption, the generator's PSNR averaged over severities, one for each of its seeds."""
    file, column = {
        32: ("cifar10c_seed_stats.csv", "mse_vs_clean_mean"),
        224: ("imagenetc/stats_per_image.csv", "mse_vs_clean"),
    }[side]
    errors: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (gold / file).open() as lines:
        for row in csv.DictReader(lines):
            errors[row["corruption"], row["rep"]][row["severity"]].append(float(row[column]))
    found: dict[str, list[float]] = defaultdict(list)
    for (name, _), by_severity in errors.items():
        found[name].append(mean(psnr(mean(values)) for values in by_severity.values()))
    return found


def psnr(error: float) -> float:
    """Return the peak signal-to-noise ratio, in dB, of a mean squared ``error`` in grey levels."""
    return 10 * math.log10(255**2 / error)
