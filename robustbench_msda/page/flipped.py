"""The very images whose answer a method turned: from stored predictions and the data set, joined on the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.errors import MissingData, UserError
from robustbench_msda.files import write_whole
from robustbench_msda.page.classes import Name
from robustbench_msda.page.summary import CLEAN, Summary, Who
from robustbench_msda.records import Predictions
from robustbench_msda.results.store import Results, read_predictions, read_sidecar

# Images a method and class.
MOST = 12
# Larger pictures are made smaller.
LARGEST = 96


@dataclass(frozen=True)
class Picture:
    """An image that flipped: its data set, its position there, and what the two sides say of it, in words."""

    dataset: str
    index: int
    before: str
    after: str

    @property
    def address(self) -> str:
        """Where it is, below the folder of the report."""
        return f"images/{self.dataset}-{self.index}.png"


@dataclass(frozen=True)
class Pictures:
    """The images of a class that a method turned, with the page of the method.

    Attributes:
        label: the method.
        href: of its page.
        lost: those that it gets wrong and the baseline right, by the most networks first.
        won: the other way round.
        counts: how many there are of both, shown or not.
    """

    label: str
    href: str
    lost: tuple[Picture, ...]
    won: tuple[Picture, ...]
    counts: tuple[int, int]


@dataclass(frozen=True)
class Flips:
    """All images that flipped, by class and method, and the data sets they are of."""

    found: Mapping[tuple[Name, Who], Pictures]
    datasets: Mapping[str, Dataset]

    def of_class(self, name: Name, hrefs: Mapping[Who, str]) -> list[Pictures]:
        """Return the images of the class ``name`` by method."""
        return [
            Pictures(who[2], href, self.found[name, who].lost, self.found[name, who].won, self.found[name, who].counts)
            for who, href in hrefs.items()
            if (name, who) in self.found
        ]

    def write(self, out: Path) -> list[Path]:
        """Write every image that is shown below ``out``, once, and return where they are."""
        chosen = {
            (picture.dataset, picture.index): picture
            for pictures in self.found.values()
            for picture in (*pictures.lost, *pictures.won)
        }
        written = []
        for key in sorted(chosen):
            images = self.datasets[key[0]].images("test")
            path = out / chosen[key].address
            write_image(np.asarray(images[key[1] : key[1] + 1])[0], path)
            written.append(path)
        return written


def write_image(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write (H, W, C) uint8 as PNG, no side above ``LARGEST``."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((LARGEST, LARGEST))
    write_whole(path, lambda temporary: image.save(temporary, format="png", optimize=True))


def find_flips(summary: Summary, worlds: Mapping[str, str], results: Results, data_dir: Path) -> Flips:
    """Return the clean test images that each method answers otherwise than its baseline.

    Args:
        summary: which methods and baselines there are.
        worlds: data set to the world of its scores on the clean test set.
        results: where the predictions are.
        data_dir: where the data sets are.

    Raises:
        MissingData: predictions or a data set are not there.
        UserError: the test images are not those that the predictions are of.
    """
    datasets = {name: open_dataset(name, data_dir) for name in worlds}
    votes: dict[Who, Votes] = {}
    for who, networks in summary.networks.items():
        if who[0] in worlds:
            votes[who] = votes_of(results, sorted(networks["fingerprint"]), worlds[who[0]], datasets[who[0]])
    found: dict[tuple[Name, Who], Pictures] = {}
    for who in votes:
        base = (who[0], who[1], summary.baselines[who])
        if base in votes:
            for name, pictures in turned(votes[base], votes[who], datasets[who[0]]):
                found[(who[0], name), who] = pictures
    return Flips(found, datasets)


@dataclass(frozen=True)
class Votes:
    """What the networks of a method answer: (n,) positions and labels, (networks, n) answers."""

    label: str
    index: NDArray[np.int32]
    truth: NDArray[np.int16]
    answers: NDArray[np.int16]

    @property
    def right(self) -> NDArray[np.float64]:
        """(n,) the share of the networks that are right."""
        return np.asarray((self.answers == self.truth).mean(axis=0))


def votes_of(results: Results, fingerprints: Sequence[str], world: str, dataset: Dataset) -> Votes:
    """Return what ``fingerprints`` answer on the clean test set."""
    columns = [clean_predictions(results, fingerprint, world, dataset) for fingerprint in fingerprints]
    first = columns[0]
    if any(not np.array_equal(each.index, first.index) for each in columns):
        raise UserError(f"predictions of {', '.join(fingerprints)} are on different images; evaluate them again")
    return Votes("", first.index, first.label, np.stack([each.top5[:, 0] for each in columns]))


def clean_predictions(results: Results, fingerprint: str, world: str, dataset: Dataset) -> Predictions:
    """Return the answers of one network to the clean test images, all parts."""
    paths: list[Path] = []
    for benchmark, found, cells in results.worlds(fingerprint):
        if benchmark == CLEAN and found == world:
            paths = [cells[cell] for cell in sorted(cells, key=lambda cell: cell.part)]
    if not paths:
        raise MissingData(
            f"--data-dir: no predictions of {fingerprint} on the clean test set in {results.predictions}; "
            "evaluate it again, or leave --data-dir out"
        )
    if read_sidecar(paths[0]).world["data"] != dataset.fingerprint("test"):
        raise UserError(
            f"--data-dir: the test images of {dataset.name} are not those that {fingerprint} was evaluated on; "
            "name the folder that was used then"
        )
    return Predictions.concatenate([read_predictions(path) for path in paths])


def turned(before: Votes, after: Votes, dataset: Dataset) -> Iterator[tuple[str, Pictures]]:
    """Yield for every class the images that more networks of one side are right on than of the other."""
    if not np.array_equal(before.index, after.index):
        raise UserError("--data-dir: two methods were evaluated on different test images; evaluate them alike")
    moved = after.right - before.right
    for number, name in enumerate(dataset.classes):
        here = before.truth == number
        sides = []
        for sign in (-1, 1):
            rows = np.flatnonzero(here & (sign * moved > 0.5))
            rows = rows[np.lexsort((before.index[rows], -sign * moved[rows]))]
            sides.append((tuple(picture(before, after, row, dataset) for row in rows[:MOST]), len(rows)))
        (lost, losses), (won, wins) = sides
        if losses or wins:
            yield name, Pictures(after.label, "", lost, won, (losses, wins))


def picture(before: Votes, after: Votes, row: np.intp, dataset: Dataset) -> Picture:
    """Return the image in ``row`` with both sides' answers."""
    told = [answers_text(side.answers[:, row], dataset.classes) for side in (before, after)]
    return Picture(dataset.name, int(before.index[row]), *told)


def answers_text(answers: NDArray[np.int16], classes: Sequence[str]) -> str:
    """Return what networks answer, the most frequent first: ``cat, dog ×3``."""
    numbers, counts = np.unique(answers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    texts = [f"{classes[numbers[k]]} ×{counts[k]}" if len(answers) > 1 else classes[numbers[k]] for k in order]
    return ", ".join(texts)
