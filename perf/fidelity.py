"""Compare the corruptions with the published generator's outputs and write ``docs/fidelity.md``.

The outputs, and the figures over seeds, lie in the folder that ``$ROBUSTBENCH_MSDA_REFERENCE`` names. What replays the
generator's draws is that of the tests, in ``tests/corruptions``, which is put on the path for it.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from numpy.typing import NDArray

from perf.gold import Images, Run, Table, images_of, psnr, recorded, runs
from robustbench_msda.corruptions import corrupt
from robustbench_msda.corruptions.frost import TextureDraw, read_textures
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.table import parameter_of, with_frost
from robustbench_msda.files import write_text
from robustbench_msda.streams import stream

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "corruptions"))
noises, blurs, weathers = map(import_module, ("reference_draws", "reference_draws_blur", "reference_draws_weather"))

OUT = ROOT / "docs" / "fidelity.md"
SEVERITIES = range(1, 6)
NOISES = ("gaussian_noise", "shot_noise", "impulse_noise")

TEXT = """\
# Fidelity of the corruptions

Written by `python -m perf.fidelity`, from a checkout, with `ROBUSTBENCH_MSDA_REFERENCE` naming the reference folder.
"The generator" is hendrycks/robustness 8190fe3, `make_cifar_c.py` (32 px) and `make_imagenet_c.py` (224 px): its
outputs as run with today's libraries (NumPy 2.4.6, SciPy 1.17.1, scikit-image 0.26.0, OpenCV 4.14.0, Pillow 13.0.0,
Wand 0.7.2 on ImageMagick 6.9.11), before the JPEG step of the official ImageNet-C.

## The same draws

Of all values (images × pixels × channels, five severities; 50 images at 32 px, 3 at 224 px), the share that equals the
generator's, the same for the image and severity where it is least (both rounded down), and the largest difference in
grey levels of 255. Where there is chance (*), the generator's draws are replayed from its seeds, and frost takes its
textures: this compares what is made of the draws.

| corruption | 32 px: equal | least | largest | 224 px: equal | least | largest |
|---|---:|---:|---:|---:|---:|---:|
{same}

{verdict}
The generator truncates, so a value within rounding error of a whole grey level may fall to either side. Areas that are
almost of one colour, such as a white background, are full of such values.

## Our own draws

How far images are changed where our own streams are drawn: the PSNR, in dB, of the squared error averaged over the
images, averaged over the five severities, over the same 500 images (32 px) and 40 images (224 px) as the generator's
figures. Those are the mean ± standard deviation over its seeds, five at 32 px and nine at 224 px; ours is one set of
draws. "Apart" is the distance between the two in standard deviations of that distance: 2 is usual for so few seeds.

| corruption | 32 px: ours | generator | apart | 224 px: ours | generator | apart |
|---|---:|---:|---:|---:|---:|---:|
{own}
"""


@dataclass(frozen=True)
class Agreement:
    """How many values were compared, the shares that are equal, and the largest difference in grey levels.

    Attributes:
        values: how many.
        equal: the share of all values.
        least: the share in the image and severity where it is least.
        largest: the largest difference.
    """

    values: int
    equal: float
    least: float
    largest: int


@dataclass(frozen=True)
class Spread:
    """The PSNR of our draws, and the mean and standard deviation of the generator's over ``seeds`` seeds, in dB."""

    ours: float
    mean: float
    sd: float
    seeds: int

    @property
    def apart(self) -> float:
        """The distance from the mean of the seeds in standard deviations of that distance."""
        return (self.ours - self.mean) / (self.sd * math.sqrt(1 + 1 / self.seeds))


def main() -> None:
    """Compare, and write the two tables."""
    folder = os.environ.get("ROBUSTBENCH_MSDA_REFERENCE", "")
    if not folder:
        sys.exit("ROBUSTBENCH_MSDA_REFERENCE is not set: name the folder that holds data/gold and data/frost")
    torch.set_num_threads(1)
    data = Path(folder) / "data"
    table = with_frost(read_textures(data / "frost"))
    agreements = {name: [agreement(data, name, side, table) for side in (32, 224)] for name in table}
    drawn = [name for name, corruption in table.items() if corruption.draw is not None]
    spreads = {name: [spread(data, name, side, table) for side in (32, 224)] for name in drawn}
    write_text(OUT, document(agreements, spreads))


def document(agreements: Mapping[str, list[Agreement]], spreads: Mapping[str, list[Spread]]) -> str:
    """Return the text of ``docs/fidelity.md``."""
    same = [_row(name + "*" * (name in spreads), map(_same, found)) for name, found in agreements.items()]
    own = [_row(name, map(_own, found)) for name, found in spreads.items()]
    return TEXT.format(same="\n".join(same), own="\n".join(own), verdict=verdict(agreements))


def _row(name: str, groups: Iterable[tuple[str, ...]]) -> str:
    return f"| {' | '.join((name, *(cell for group in groups for cell in group)))} |"


def _same(found: Agreement) -> tuple[str, ...]:
    return percent(found.equal), percent(found.least), str(found.largest)


def _own(found: Spread) -> tuple[str, ...]:
    return f"{found.ours:.3f}", f"{found.mean:.3f} ± {found.sd:.3f}", f"{found.apart:+.1f}"


def percent(share: float) -> str:
    """Return a share for a reader, rounded down: 100 % is all."""
    return "100 %" if share == 1 else f"{math.floor(share * 10**5) / 10**3:.3f} %"


def verdict(agreements: Mapping[str, list[Agreement]]) -> str:
    """Return the sentence that says what is furthest from the generator."""
    every = [each for found in agreements.values() for each in found]
    total, whole = sum(each.values for each in every), sum(each.equal == 1 for each in every)
    least, largest = min(each.equal for each in every), max(each.largest for each in every)
    return (
        f"Of {total:,} values, none differs by more than {largest}. Of the {len(every)} comparisons, {whole} are equal "
        f"throughout,\nand the least agrees in {percent(least)}."
    )


def agreement(data: Path, name: str, side: int, table: Table) -> Agreement:
    """Return how ours agrees with the generator's outputs over all severities, the draws being its own."""
    differences = [
        np.abs(replayed(run, name, severity, table).astype(np.int16) - run.gold)
        for severity in SEVERITIES
        for run in runs(data / "gold", name, severity, side, table)
    ]
    every = np.concatenate(differences)
    shares = (every == 0).mean((1, 2, 3))
    return Agreement(every.size, float(shares.mean()), float(shares.min()), int(every.max()))


def replayed(run: Run, name: str, severity: int, table: Table) -> Images:
    """Return the kept images corrupted by ours, with the generator's draws where there is chance."""
    side = run.images.shape[1]
    parameter = parameter_of(table[name], side, severity)
    changed: Images
    if table[name].draw is None:
        changed = noises.pixels(corrupt(noises.batch(run.kept), name, severity))
    elif name in NOISES:
        changed = noisy(run, name, parameter)
    elif name in blurs.DRAWS:
        draws = run.kept_of(blurs.drawn(name, severity, side, run.seed))
        changed = blurs.corrupted(run.kept, name, severity, draws)
    else:
        draws = run.kept_of(weather(run, name, table))
        changed = noises.pixels(weathers.apply(name, noises.batch(run.kept), parameter, draws))
    return changed


def noisy(run: Run, name: str, parameter: Parameter) -> Images:
    """Return the kept images under one of ``NOISES``."""
    changed: Images
    if name == "shot_noise":  # how much of the stream an image takes depends on the image
        state = np.random.RandomState(run.seed)  # noqa: NPY002
        changed = noises.shot_noise(run.images, *parameter, state)[list(run.rows)]
        return changed
    fields = noises.normal_fields if name == "gaussian_noise" else noises.impulse_fields
    changed = getattr(noises, name)(run.kept, *parameter, run.kept_of(fields(run.seed, run.images.shape[1:])))
    return changed


def weather(run: Run, name: str, table: Table) -> Iterator[NDArray[np.generic]]:
    """Yield the draws of one image after another."""
    side, state = run.images.shape[1], np.random.RandomState(run.seed)  # noqa: NPY002
    draw = table[name].draw
    textures = draw.sizes[side] if isinstance(draw, TextureDraw) else ()
    while True:
        yield weathers.draw(name, state, side, textures)


def spread(data: Path, name: str, side: int, table: Table) -> Spread:
    """Return the PSNR of our own draws beside the generator's over its seeds."""
    clean = noises.batch(images_of(data, side))
    ours = []
    for severity in SEVERITIES:
        rngs = [stream("fidelity", name, severity, index) for index in range(len(clean))]
        changed = corrupt(clean, name, severity, rngs, table)
        ours.append(psnr((changed.int() - clean).square_().double().mean().item()))
    theirs = recorded(data / "gold", side)[name]
    return Spread(mean(ours), mean(theirs), stdev(theirs), len(theirs))


if __name__ == "__main__":
    main()
