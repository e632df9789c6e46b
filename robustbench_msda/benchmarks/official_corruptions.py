"""CIFAR-C, ImageNet-C, Tiny-ImageNet-C and ImageNet-3DCC, and a user's own corrupted images laid out as these.

Hendrycks, Dietterich: Benchmarking Neural Network Robustness, ICLR 2019; Kar et al.: 3D Common Corruptions, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from robustbench_msda.benchmarks.base import Basis, Missing, Setting
from robustbench_msda.benchmarks.corruption_scores import (
    CIFAR_SUITE,
    IMAGENET_SUITE,
    LEVELS,
    THREE_D_SUITE,
    Suite,
    corruption_scores,
)
from robustbench_msda.benchmarks.official import OfficialFiles, accepts
from robustbench_msda.conditions import EXTRA, FIFTEEN, TWELVE
from robustbench_msda.data.decoding import View
from robustbench_msda.data.stimuli import Condition, open_folder, open_stills
from robustbench_msda.metrics.baselines import ALEXNET
from robustbench_msda.records import Cell, Predictions, Score


@dataclass(frozen=True)
class OfficialCorruptions(OfficialFiles):
    """Corrupted test images at five severities, arrays or class folders, whichever are there.

    Images have the side of the data set's; none is resized to it: the geometry belongs to the benchmark.

    Attributes:
        suite: what aggregates are over.
        short: what images are resized to before their centre is cut out; 0 for neither.
    """

    conditions: tuple[str, ...] = (*FIFTEEN, *EXTRA)
    levels: tuple[str, ...] = LEVELS
    suite: Suite = CIFAR_SUITE
    short: int = 0

    def frames(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return 0: these are stills."""
        return 0

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing: the files, or the labels of arrays."""
        labels = self.folder(setting) / "labels.npy"
        if any(self.array(each, setting).is_file() for each in self.conditions) and not labels.is_file():
            return Missing(f"{labels} is not there", self.remedy())
        return super().needs(setting)

    def unasked(self, setting: Setting) -> Missing | None:
        """Return that a variant is run only where it is asked for."""
        if not self.short:
            return super().unasked(setting)
        return Missing(f"it is a variant of {self.files}", "name it in --benchmarks to run it")

    def open(self, cell: Cell, setting: Setting) -> Condition:
        """Return the images of one condition and level."""
        clean, side = setting.dataset.labels("test"), setting.dataset.side
        if (array := self.array(cell.condition, setting)).is_file():
            return open_stills(array, len(self.levels), self.levels.index(cell.level), clean, side)
        view = View(side, stored=side, short=self.short)
        folder = self.pictures(cell.condition, cell.level, setting)
        return open_folder(folder, setting.dataset.classes, clean, view, accepts(setting))

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield the scores of every condition, every corruption and over corruptions."""
        yield from corruption_scores(cells, classes, basis, self.suite)


# The same files, seen as clean images are: google-research/augmix 9b9824c, imagenet.py, and PixMix's after it.
AUGMIX_VIEW = 256
AUGMIX_SUITE = Suite(normalisers=(ALEXNET,))

OFFICIAL_CORRUPTIONS: dict[str, tuple[OfficialCorruptions, ...]] = {
    "cifar10": (OfficialCorruptions("cifar10_c", "cifar10_c", "CIFAR-10-C"),),
    "cifar100": (OfficialCorruptions("cifar100_c", "cifar100_c", "CIFAR-100-C"),),
    "tiny_imagenet": (OfficialCorruptions("tiny_imagenet_c", "tiny_imagenet_c", "Tiny-ImageNet-C"),),
    "imagenet": (
        OfficialCorruptions("imagenet_c", "imagenet_c", "ImageNet-C", suite=IMAGENET_SUITE),
        OfficialCorruptions("imagenet_c_augmix", "imagenet_c", "ImageNet-C", suite=AUGMIX_SUITE, short=AUGMIX_VIEW),
        OfficialCorruptions("imagenet_3dcc", "imagenet_3dcc", "ImageNet-3DCC", TWELVE, suite=THREE_D_SUITE),
    ),
}


def corruptions_of(dataset: str) -> tuple[OfficialCorruptions, ...]:
    """Return the benchmarks of corrupted images of ``dataset``; one, ``<dataset>_c``, where it is the user's own."""
    own = OfficialCorruptions(f"{dataset}_c", f"{dataset}_c", "")
    return OFFICIAL_CORRUPTIONS.get(dataset, (own,))
