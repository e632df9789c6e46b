"""CIFAR-P and ImageNet-P, and a user's own perturbed videos laid out as these.

Hendrycks, Dietterich: Benchmarking Neural Network Robustness, ICLR 2019, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from robustbench_msda.benchmarks.base import Basis, Missing, Setting, size_missing
from robustbench_msda.benchmarks.official import OfficialFiles, accepts
from robustbench_msda.benchmarks.perturbation_scores import PerturbationSuite, perturbation_scores
from robustbench_msda.conditions import FOUR, TEN
from robustbench_msda.corruptions.perturbations import PERTURBATIONS
from robustbench_msda.data.stimuli import Condition, open_videos
from robustbench_msda.data.videos import INSTALL, can_read_videos, open_video_folder
from robustbench_msda.records import VIDEO_PART_SIZE, Cell, Predictions, Score


@dataclass(frozen=True)
class OfficialPerturbations(OfficialFiles):
    """Videos of perturbed test images at difficulty 1, arrays or class folders of .mp4, whichever are there.

    Difficulties 2 and 3, files and folders ``<perturbation>_2`` and ``_3`` of the noises, are left aside: nobody
    reports them (hendrycks/robustness, issue 23).

    Attributes:
        suite: what aggregates are over.
    """

    conditions: tuple[str, ...] = (*TEN, *FOUR)
    levels: tuple[str, ...] = ("",)
    part_size: int = VIDEO_PART_SIZE
    suite: PerturbationSuite = PerturbationSuite()

    def frames(self, cell: Cell, setting: Setting) -> int:
        """Return how many frames a video has."""
        return PERTURBATIONS[cell.condition].frames(setting.dataset.side)

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing: the files, how many frames they should have, or what reads videos."""
        if missing := super().needs(setting):
            return missing
        if missing := size_missing("perturbations", (each.parameters for each in PERTURBATIONS.values()), setting):
            return missing
        if can_read_videos() or any(self.array(each, setting).is_file() for each in self.conditions):
            return None
        return Missing("PyAV, which reads videos, is not installed", f"run: {INSTALL}")

    def open(self, cell: Cell, setting: Setting) -> Condition:
        """Return the videos of one perturbation."""
        clean, shape = setting.dataset.labels("test"), (self.frames(cell, setting), setting.dataset.side)
        if (array := self.array(cell.condition, setting)).is_file():
            return open_videos(array, clean, *shape)
        folder = self.pictures(cell.condition, "", setting)
        return open_video_folder(folder, setting.dataset.classes, clean, shape, accepts(setting))

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],  # noqa: ARG002
        basis: Basis,
    ) -> Iterator[Score]:
        """Yield flip probability and top-5 distance of every perturbation, and their means over the ten."""
        yield from perturbation_scores(cells, basis, self.suite)


OFFICIAL_PERTURBATIONS: dict[str, OfficialPerturbations] = {
    "cifar10": OfficialPerturbations("cifar10_p", "cifar10_p", "CIFAR-10-P"),
    "cifar100": OfficialPerturbations("cifar100_p", "cifar100_p", "CIFAR-100-P"),
    "tiny_imagenet": OfficialPerturbations("tiny_imagenet_p", "tiny_imagenet_p", "Tiny-ImageNet-P"),
    "imagenet": OfficialPerturbations("imagenet_p", "imagenet_p", "ImageNet-P", suite=PerturbationSuite(alexnet=True)),
}


def perturbations_of(dataset: str) -> OfficialPerturbations:
    """Return the benchmark of perturbed videos of ``dataset``; ``<dataset>_p`` where it is the user's own."""
    own = OfficialPerturbations(f"{dataset}_p", f"{dataset}_p", "")
    return OFFICIAL_PERTURBATIONS.get(dataset, own)
