"""Corrupted test images, made on the fly. Hendrycks, Dietterich: Benchmarking Neural Network Robustness, ICLR 2019."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor, nn

from robustbench_msda.benchmarks.base import (
    Basis,
    Missing,
    OnTestImages,
    Setting,
    as_network_input,
    official_is_here,
    part_cells,
    size_missing,
    test_batches,
)
from robustbench_msda.benchmarks.corruption_scores import (
    LEVELS,
    MADE_SUITE,
    MADE_THREE_D_SUITE,
    Suite,
    corruption_scores,
)
from robustbench_msda.benchmarks.official_corruptions import corruptions_of
from robustbench_msda.corruptions import CORRUPTIONS, Corruption, corrupt
from robustbench_msda.corruptions.frost import read_textures
from robustbench_msda.corruptions.table import with_frost
from robustbench_msda.corruptions.three_d import CORRUPTIONS_3DCC
from robustbench_msda.data.videos import INSTALL, can_read_videos
from robustbench_msda.errors import MissingData
from robustbench_msda.records import Batch, Cell, Predictions, Score
from robustbench_msda.streams import stream

TEXTURES = "frost"


@dataclass(frozen=True)
class MadeCorruptions(OnTestImages):
    """Every corruption at five severities, made from the clean test images of ``dataset``.

    A stimulus is a function of the benchmark, its version, the condition, the level and the image, and of nothing else.
    """

    dataset: str
    version: int = 2
    keeps_logits: bool = False

    @property
    def name(self) -> str:
        """``<dataset>_c_made``: never to be mistaken for the official files."""
        return f"{self.dataset}_c_made"

    @property
    def suite(self) -> Suite:
        """What aggregates are over."""
        return MADE_SUITE

    def table(self, setting: Setting) -> Mapping[str, Corruption]:
        """Return the corruptions that can be made here."""
        return table_for(setting.data_dir)

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing where no severity table fits the images."""
        return size_missing("severities", (each.severities for each in self.table(setting).values()), setting)

    def unasked(self, setting: Setting) -> Missing | None:
        """Return that the official files are here, where they are."""
        return official_is_here(corruptions_of(self.dataset)[0], setting)

    def lacks(self, setting: Setting) -> Sequence[str]:
        """Return frost where the textures it is made of are not here, so that its stand-in is made."""
        if "frost_procedural" not in self.table(setting):
            return ()
        return (f"frost (its textures are not in {setting.data_dir / TEXTURES}; frost_procedural stands in)",)

    def cells(self, fingerprint: str, setting: Setting) -> Iterator[Cell]:
        """Yield every corruption at every severity, part by part."""
        for condition in self.table(setting):
            for level in LEVELS:
                yield from part_cells(Cell(fingerprint, self.name, condition, level), self, setting)

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the corrupted test images."""
        for corrupted, labels, index in self.corrupted(cell, setting):
            yield Batch(as_network_input(corrupted, setting.device), labels, index)

    def corrupted(self, cell: Cell, setting: Setting) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the corrupted test images (B, 3, S, S) uint8 on the setting's device, labels (B,) and index (B,)."""
        table = self.table(setting)
        random = table[cell.condition].draw is not None
        for pixels, labels, index in test_batches(cell, setting):
            drawn = index if random else ()
            rngs = [stream(self.name, self.version, cell.condition, cell.level, int(i)) for i in drawn]
            yield corrupt(pixels.to(setting.device), cell.condition, int(cell.level), rngs, table), labels, index

    def score(self, cells: Mapping[Cell, Predictions], classes: Sequence[str], basis: Basis) -> Iterator[Score]:
        """Yield the scores of every condition, every corruption and over corruptions."""
        yield from corruption_scores(cells, classes, basis, self.suite)


@dataclass(frozen=True)
class MadeThreeD(MadeCorruptions):
    """The six corruptions of 3DCC that need no depth, made from the clean test images of ``dataset``.

    Kar et al.: 3D Common Corruptions and Data Augmentation, CVPR 2022. Three of them go through a video codec.
    """

    version: int = 1

    @property
    def name(self) -> str:
        """``<dataset>_3dcc_made``: never to be mistaken for the official files."""
        return f"{self.dataset}_3dcc_made"

    @property
    def suite(self) -> Suite:
        """What aggregates are over."""
        return MADE_THREE_D_SUITE

    def table(self, setting: Setting) -> Mapping[str, Corruption]:  # noqa: ARG002
        """Return the six."""
        return CORRUPTIONS_3DCC

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing: what codes videos, or severities that fit the images."""
        if missing := super().needs(setting):
            return missing
        return None if can_read_videos() else Missing("PyAV, which codes videos, is not installed", f"run: {INSTALL}")

    def unasked(self, setting: Setting) -> Missing | None:  # noqa: ARG002
        """Return that it takes long."""
        return Missing("its video codecs take up to two seconds an image", "name it in --benchmarks to run it")


@lru_cache(maxsize=4)
def table_for(data_dir: Path) -> Mapping[str, Corruption]:
    """Return the corruptions that can be made here.

    Frost needs textures, third-party pictures: those in ``frost`` of the data folder, else those of an installed
    ``imagecorruptions``; without either ``frost_procedural``, a condition of its own, stands in.

    Raises:
        DamagedData: the textures in the data folder are not those of the reference.
    """
    folder = data_dir / TEXTURES
    try:
        return with_frost(read_textures(folder if folder.is_dir() else None))
    except MissingData:
        if folder.is_dir():
            raise
        return CORRUPTIONS
