"""Perturbation sequences of the test images, made on the fly. Hendrycks, Dietterich, ICLR 2019, sections 3 and 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustbench_msda.benchmarks.base import (
    Basis,
    Missing,
    OnTestImages,
    Setting,
    as_network_input,
    batches_at,
    official_is_here,
    part_cells,
    size_missing,
    test_count,
)
from robustbench_msda.benchmarks.official_perturbations import perturbations_of
from robustbench_msda.benchmarks.perturbation_scores import PerturbationSuite, perturbation_scores
from robustbench_msda.corruptions.perturbations import PERTURBATIONS, perturb
from robustbench_msda.records import VIDEO_PART_SIZE, Batch, Cell, Predictions, Score, limited
from robustbench_msda.streams import stream

# No normalising by AlexNet's flips on the official videos: here more black comes into view, and nothing is compressed.
SUITE = PerturbationSuite(made=True)


@dataclass(frozen=True)
class MadePerturbations(OnTestImages):
    """Every perturbation at difficulty 1, a video made from each clean test image of ``dataset``.

    A stimulus is a function of the benchmark, its version, the condition, the level and the image, and of nothing else.
    """

    dataset: str
    version: int = 1
    keeps_logits: bool = False

    @property
    def name(self) -> str:
        """``<dataset>_p_made``: never to be mistaken for the official files."""
        return f"{self.dataset}_p_made"

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where the perturbations are not defined for images of this size."""
        return size_missing("perturbations", (each.parameters for each in PERTURBATIONS.values()), setting)

    def unasked(self, setting: Setting) -> Missing | None:
        """Return that the official files are here, where they are."""
        return official_is_here(perturbations_of(self.dataset), setting)

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every perturbation, part by part."""
        for condition in PERTURBATIONS:
            yield from part_cells(Cell(fingerprint, self.name, condition), self, setting)

    def parts(self, cell: Cell, setting: Setting) -> int:  # noqa: ARG002
        """Return how many parts the videos fall into."""
        return max(1, -(-test_count(setting) // VIDEO_PART_SIZE))

    def images(self, cell: Cell, setting: Setting) -> int:
        """Return how many frames the videos of the part have."""
        videos = min(VIDEO_PART_SIZE, test_count(setting) - cell.part * VIDEO_PART_SIZE)
        return videos * PERTURBATIONS[cell.condition].frames(setting.dataset.side)

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the frames of whole videos, video by video, in batches of at least the setting's size but for the last.

        The index of a frame is the position of its test image.
        """
        for videos, labels, index in self.videos(cell, setting):
            count, frames = videos.shape[:2]
            yield Batch(
                as_network_input(videos.flatten(0, 1), setting.device),
                labels.repeat_interleave(frames),
                index.repeat_interleave(frames),
                frame=torch.arange(frames).repeat(count),
            )

    def videos(self, cell: Cell, setting: Setting) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield videos (B, F, 3, S, S) uint8 on the setting's device, labels (B,) and index (B,)."""
        perturbation = PERTURBATIONS[cell.condition]
        count = -(-setting.batch_size // perturbation.frames(setting.dataset.side))
        positions = limited(len(setting.dataset.labels("test")), setting.limit)
        own = positions[cell.part * VIDEO_PART_SIZE : (cell.part + 1) * VIDEO_PART_SIZE]
        for pixels, labels, index in batches_at(own, replace(setting, batch_size=count)):
            drawn = index if perturbation.draw is not None else ()
            rngs = [stream(self.name, self.version, cell.condition, cell.level, int(i)) for i in drawn]
            yield perturb(pixels.to(setting.device), cell.condition, rngs), labels, index

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],  # noqa: ARG002
        basis: Basis,
    ) -> Iterator[Score]:
        """Yield flip probability and top-5 distance of every perturbation, and their means over the ten."""
        yield from perturbation_scores(cells, basis, SUITE)
