"""CIFAR-10H: how far a network is from what people answer.

Peterson et al.: Human uncertainty makes classification more robust, ICCV 2019; Harris et al.: FMix, 2020, Table 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robustbench_msda.benchmarks.base import Basis, Missing, Setting
from robustbench_msda.benchmarks.natural import OtherSets
from robustbench_msda.benchmarks.opened import as_score
from robustbench_msda.data.check_benchmarks import how_to_fetch
from robustbench_msda.data.check_layouts import LAYOUTS
from robustbench_msda.data.check_survey import benchmark_folder
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.human_labels import answers_file, read_answers
from robustbench_msda.data.related import prepared_like
from robustbench_msda.errors import DamagedData, MissingData
from robustbench_msda.metrics import human
from robustbench_msda.records import Batch, Cell, Predictions, Score, digest

# People's first answers are the labels of 99.2 % of the official test images; of images in any other order, of 10 %.
AGREEMENT = 0.9


@dataclass(frozen=True)
class HumanLabels(OtherSets):
    """The prepared sets whose test images are CIFAR-10's in official order, against what people answered."""

    name: str = "cifar10h"

    def file(self, setting: Setting) -> Path:
        """Return the file of people's answers.

        Raises:
            MissingData: there is none.
        """
        folder = benchmark_folder(setting.data_dir, self.name, LAYOUTS[self.name].official)
        found = answers_file(folder)
        if found is None:
            raise MissingData(f"its files are not there: looked in {folder}")
        return found

    def agreements(self, setting: Setting) -> dict[str, float]:
        """Return for every set of as many images the share of labels that are people's first answer."""
        answers = read_answers(self.file(setting))
        found = {}
        for name in prepared_like(setting.dataset, setting.data_dir):
            labels = open_dataset(name, setting.data_dir).labels("test")
            if answers.shape == (len(labels), len(setting.dataset.classes)):
                found[name] = float((answers.argmax(axis=1) == labels).mean())
        return found

    def names(self, setting: Setting) -> Sequence[str]:
        """Return the names of the sets in official order."""
        return [name for name, share in self.agreements(setting).items() if share >= AGREEMENT]

    def needs(self, setting: Setting) -> Missing | None:
        """Return what is missing: the answers, or images in their order."""
        try:
            path, agreements = self.file(setting), self.agreements(setting)
        except (MissingData, DamagedData) as error:
            return Missing(str(error), how_to_fetch(self.name))
        if any(share >= AGREEMENT for share in agreements.values()):
            return None
        told = ", ".join(f"{name} agrees in {100 * share:.0f} %" for name, share in agreements.items())
        return Missing(
            f"no prepared set has test images in the order of {path.name}: {told or 'none has as many'}",
            "get cifar10, whose test images are; or prepare copies of them in the official order, as arrays",
        )

    def unasked(self, setting: Setting) -> Missing | None:  # noqa: ARG002
        """Return None: the answers are there for use."""
        return None

    def data(self, setting: Setting) -> str:
        """Return the fingerprint of the answers: each set is known by its condition."""
        answers = read_answers(self.file(setting))
        return digest([answers.shape, hashlib.sha256(answers.astype("<f8").tobytes()).hexdigest()])

    def stimuli(self, cell: Cell, setting: Setting, model: nn.Module) -> Iterator[Batch]:
        """Yield the images, each with what people answered."""
        answers = torch.from_numpy(read_answers(self.file(setting)).astype(np.float32))
        for batch in super().stimuli(cell, setting, model):
            yield replace(batch, answers=answers[batch.index])

    def score(
        self,
        cells: Mapping[Cell, Predictions],
        classes: Sequence[str],  # noqa: ARG002
        basis: Basis,  # noqa: ARG002
    ) -> Iterator[Score]:
        """Yield mean divergences in nats; that from the network only where the counts of answers are known."""
        for cell, predictions in cells.items():
            if predictions.targets is None or predictions.logits is None:
                continue
            for metric, values in divergences(predictions.targets, predictions.logits).items():
                low, high = normal_interval(values)
                at = as_score(cell, len(values))
                yield replace(at, metric=metric, value=float(values.mean()), low=low, high=high)


def divergences(answers: NDArray[np.float32], logits: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return for every metric its value for each image."""
    found = {
        "kl_human_model": human.kl_human_model(answers, logits),
        "soft_cross_entropy": human.soft_cross_entropy(answers, logits),
    }
    # Shares sum to 1 in every row; so many people answered that counts never do.
    if (answers.sum(axis=1) > 1.5).all():
        found["kl_model_human_smoothed"] = human.kl_model_human_smoothed(answers, logits)
    return found


def normal_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of ``values`` over images, at least 0; NaN twice for one image."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = NormalDist().inv_cdf(0.975) * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    mean = float(values.mean())
    return max(0.0, mean - half), mean + half
