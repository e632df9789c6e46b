"""Telling strange images from known ones by the largest probability: ImageNet-O, and folders of any pictures.

Hendrycks, Gimpel: A Baseline for Detecting Misclassified and Out-of-Distribution Examples, ICLR 2017; Hendrycks et al.:
Natural Adversarial Examples, CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robustbench_msda.benchmarks.base import RGB, Basis, Missing, Setting, part_cells
from robustbench_msda.benchmarks.natural import MASKED, PictureFolders
from robustbench_msda.benchmarks.opened import OpenedImages, as_score, identified, unidentified
from robustbench_msda.data.decoding import PictureFiles
from robustbench_msda.data.members import hidden
from robustbench_msda.data.related import Grey, pictures_below, view_of
from robustbench_msda.data.stimuli import Stills
from robustbench_msda.metrics import detection
from robustbench_msda.prediction import masked
from robustbench_msda.records import Cell, Predictions, Score

NO_LABEL = -1
NO_CLEAN = "no detection scores: clean was not evaluated at the same limit"


@dataclass(frozen=True)
class ImageNetO(PictureFolders):
    """Pictures of things that are none of ImageNet's classes, told from its test images of 200 classes."""

    def open(self, cell: Cell, setting: Setting) -> Stills:
        """Return the pictures; their folders name classes that a network takes them for, none is right."""
        return replace(opened := super().open(cell, setting), labels=np.full_like(opened.labels, NO_LABEL))

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield how well the largest probability, of all classes and of the 200 alone, tells the two apart."""
        columns = self.columns(classes)
        for cell, strange in cells.items():
            known = None if basis.clean is None else basis.clean.rows(np.isin(basis.clean.label, columns))
            yield from detection_scores(cell, strange, known)
            among = None if known is None else masked(known, columns)
            yield from detection_scores(cell._replace(condition=MASKED), masked(strange, columns), among)


@dataclass(frozen=True)
class StrangeImages(OpenedImages):
    """Folders of any pictures, ``ood/<name>/``, told from the test images: a condition each.

    The condition of a folder ends in the first digits of a digest of its files: with other files it is another.
    """

    name: str = "ood"
    keeps_logits: bool = False

    def folders(self, setting: Setting) -> list[Path]:
        """Return the folders."""
        root = setting.data_dir / self.name
        found = sorted(root.iterdir()) if root.is_dir() else []
        return [path for path in found if path.is_dir() and path.name.isprintable() and not hidden(path.name)]

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where there is no folder of pictures."""
        if any(pictures_below(folder) for folder in self.folders(setting)):
            return None
        root = setting.data_dir / self.name
        return Missing(f"no folder of pictures in {root}", f"put pictures of no class of the data set in {root}/NAME/")

    def lacks(self, setting: Setting) -> Sequence[str]:
        """Return the folders without a picture."""
        return [folder.name for folder in self.folders(setting) if not pictures_below(folder)]

    def data(self, setting: Setting) -> str:
        """Return the fingerprint of the clean test images: a folder is known by its condition."""
        return setting.dataset.fingerprint("test")

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every folder that holds pictures, part by part."""
        for folder in self.folders(setting):
            if files := pictures_below(folder):
                condition = identified(folder.name, [(ascii(path), size) for path, size in files])
                yield from part_cells(Cell(fingerprint, self.name, condition), self, setting)

    def count(self, cell: Cell, setting: Setting) -> int:
        """Return how many pictures a folder holds."""
        return len(pictures_below(self._folder(cell, setting)))

    def open(self, cell: Cell, setting: Setting) -> Stills:
        """Return the pictures of a folder at the data set's side, grey where its images are."""
        folder = self._folder(cell, setting)
        files = tuple(path for path, _ in pictures_below(folder))
        pictures = PictureFiles(folder, files, view_of(setting.dataset))
        images = pictures if setting.dataset.channels == RGB else Grey(pictures)
        return Stills(images, np.full(len(files), NO_LABEL))

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],  # noqa: ARG002
        basis: Basis,
    ) -> Iterator[Score]:
        """Yield how well the largest probability tells each folder from the clean test images of the same limit."""
        for cell, strange in cells.items():
            yield from detection_scores(cell, strange, basis.clean)

    def _folder(self, cell: Cell, setting: Setting) -> Path:
        return setting.data_dir / self.name / unidentified(cell.condition)


def detection_scores(cell: Cell, strange: Predictions, known: Predictions | None) -> Iterator[Score]:
    """Yield how well the largest probability tells ``strange`` images, the positives, from ``known`` ones.

    ``n`` counts both, for the mean confidence on strange images these alone; of known ones that are not there, or none,
    it is all that is yielded, with a flag.
    """
    at = as_score(cell, len(strange))
    there = known is not None and len(known) > 0
    yield replace(at, metric="confidence", value=float(strange.confidence.mean()), flags="" if there else NO_CLEAN)
    if known is None or not there:
        return
    n = len(strange) + len(known)
    positive, negative = -strange.confidence, -known.confidence
    values = {
        "aupr": detection.aupr(positive, negative),
        "aupr_chance": len(strange) / n,
        "auroc": detection.auroc(positive, negative),
        "fpr95": detection.fpr_at_recall(positive, negative),
    }
    for metric, value in values.items():
        yield replace(at, metric=metric, value=value, n=n)
