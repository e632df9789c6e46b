"""ImageNet-A, -R and ImageNetV2: other pictures of ImageNet's classes; and one's own other sets of the same ones.

Hendrycks et al.: Natural Adversarial Examples, CVPR 2021, and The Many Faces of Robustness, ICCV 2021; Recht et al.: Do
ImageNet Classifiers Generalize to ImageNet?, ICML 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.benchmarks.base import Basis, Missing, Setting, part_cells
from robustbench_msda.benchmarks.opened import OpenedImages, identified, unidentified
from robustbench_msda.benchmarks.rows import condition_scores, detail_scores
from robustbench_msda.data.check_benchmarks import any_of, how_to_fetch
from robustbench_msda.data.check_layouts import PICTURES
from robustbench_msda.data.check_pictures import PictureLayout, contents
from robustbench_msda.data.check_survey import benchmark_folder
from robustbench_msda.data.datasets import DATASETS, open_dataset
from robustbench_msda.data.decoding import PictureFiles
from robustbench_msda.data.related import prepared_like, view_of
from robustbench_msda.data.stimuli import Stills
from robustbench_msda.prediction import masked
from robustbench_msda.records import Cell, Predictions, Score, digest

MASKED, UNMASKED = "masked", "unmasked"


@dataclass(frozen=True)
class PictureFolders(OpenedImages):
    """Pictures in class folders of ``data_dir/<name>``, or of the folder as its authors named it; read in place.

    Attributes:
        condition: of its one cell.
    """

    condition: str = UNMASKED

    @property
    def layout(self) -> PictureLayout:
        """How they lie."""
        return PICTURES[self.name]

    def folder(self, setting: Setting) -> Path:
        """Return where they lie, or would."""
        return benchmark_folder(setting.data_dir, self.name, self.layout.official)

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where there is no class folder."""
        if any_of(self.layout, self.folder(setting)):
            return None
        looked = " and ".join(str(setting.data_dir / name) for name in (self.name, self.layout.official))
        return Missing(f"its files are not there: looked for {looked}", how_to_fetch(self.name))

    def data(self, setting: Setting) -> str:
        """Return the fingerprint of the paths and sizes of the pictures, and of how they become images."""
        view = view_of(setting.dataset)
        return digest([contents(self.folder(setting)), view.side, view.short])

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield the one condition, part by part."""
        yield from part_cells(Cell(fingerprint, self.name, self.condition), self, setting)

    def count(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return how many pictures there should be, or are where a part of them will do."""
        if not setting.allow_partial:
            return self.layout.images
        return min(self.layout.images, len(contents(self.folder(setting))))

    def open(self, cell: Cell, setting: Setting) -> Stills:  # noqa: ARG002
        """Return the pictures, each with its class."""
        folder = self.folder(setting)
        found = self.layout.read(folder)
        check = self.layout.check_some if setting.allow_partial else self.layout.check_whole
        check(folder, found)
        labels = self.columns(setting.dataset.classes)[found.labels]
        return Stills(PictureFiles(folder, found.files, view_of(setting.dataset)), labels)

    def columns(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """Return which of a network's ``classes`` there are pictures of, in the order of the layout."""
        place = {name: k for k, name in enumerate(classes)}
        return np.array([place[wnid] for wnid in self.layout.wnids])


@dataclass(frozen=True)
class NaturalShift(PictureFolders):
    """Other pictures of ImageNet's classes, in the layout of their authors."""

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],
        basis: Basis,  # noqa: ARG002
    ) -> Iterator[Score]:
        """Yield the scores of a clean test set; where there are not all classes, also of the logits of these alone."""
        for cell, predictions in cells.items():
            for condition, answers in self.answers(cell, predictions, classes):
                here = cell._replace(condition=condition)
                yield from condition_scores(here, answers, classes)
                yield from detail_scores(here, answers, classes)

    def answers(
        self, cell: Cell, predictions: Predictions, classes: Sequence[str]
    ) -> Iterator[tuple[str, Predictions]]:
        """Yield the conditions of scores, and the answers in each, all of one forward pass."""
        yield cell.condition, predictions
        if cell.condition == UNMASKED:
            yield MASKED, masked(predictions, self.columns(classes))


@dataclass(frozen=True)
class OtherSets(OpenedImages):
    """The test images of other prepared sets of the same classes and side: a condition each, such as re-coded copies.

    The condition of a set ends in the first digits of its fingerprint: prepared anew from other images, it is another.
    """

    def names(self, setting: Setting) -> Sequence[str]:
        """Return the names of the sets in ``data_dir`` whose test images are no known set's training images."""
        like = prepared_like(setting.dataset, setting.data_dir)
        return [name for name in like if name != setting.dataset.name and not from_training(name)]

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where there is no other set."""
        if self.names(setting):
            return None
        dataset = setting.dataset
        return Missing(
            f"no other set with the classes of {dataset.name} at {dataset.side} px is in {setting.data_dir}",
            "prepare one: robustbench-msda data prepare NAME --from FOLDER_OR_ARCHIVE",
        )

    def unasked(self, setting: Setting) -> Missing | None:
        """Return that other sets are shown only where they are asked for: they may be there for other networks."""
        return Missing(f"it would show {', '.join(self.names(setting))}", f"name {self.name} in --benchmarks to run it")

    def data(self, setting: Setting) -> str:  # noqa: ARG002
        """Return what is the same for all sets: each is known by its condition."""
        return digest(self.name)

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every set, part by part."""
        for name in self.names(setting):
            condition = identified(name, open_dataset(name, setting.data_dir).fingerprint("test"))
            yield from part_cells(Cell(fingerprint, self.name, condition), self, setting)

    def count(self, cell: Cell, setting: Setting) -> int:
        """Return how many test images a set has."""
        return len(self.open(cell, setting).labels)

    def open(self, cell: Cell, setting: Setting) -> Stills:
        """Return the test images of a set."""
        dataset = open_dataset(unidentified(cell.condition), setting.data_dir)
        return Stills(dataset.images("test"), dataset.labels("test"))

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],
        basis: Basis,  # noqa: ARG002
    ) -> Iterator[Score]:
        """Yield the scores of a clean test set."""
        for cell, predictions in cells.items():
            yield from condition_scores(cell, predictions, classes)
            yield from detail_scores(cell, predictions, classes)


def from_training(name: str) -> bool:
    """Return whether the test images of a set are among the training images of another, which networks have seen."""
    return name in DATASETS and DATASETS[name].test_from_train
