"""Benchmarks: ``benchmarks_of`` is the table; a name in it runs end to end."""

from __future__ import annotations

from robustbench_msda.benchmarks.adversarial import attacks_of
from robustbench_msda.benchmarks.base import Baseline, Basis, Benchmark, Missing, Setting
from robustbench_msda.benchmarks.clean import Clean
from robustbench_msda.benchmarks.detection import ImageNetO, StrangeImages
from robustbench_msda.benchmarks.human_labels import HumanLabels
from robustbench_msda.benchmarks.made_corruptions import MadeCorruptions, MadeThreeD
from robustbench_msda.benchmarks.made_perturbations import MadePerturbations
from robustbench_msda.benchmarks.natural import NaturalShift, OtherSets
from robustbench_msda.benchmarks.official_corruptions import corruptions_of
from robustbench_msda.benchmarks.official_perturbations import perturbations_of

__all__ = ["Baseline", "Basis", "Benchmark", "Missing", "Setting", "benchmarks_of"]

# The data sets whose networks answer with ImageNet's thousand classes, and with CIFAR-10's ten.
OF_IMAGENET = ("imagenet", "imagenet_64")
OF_CIFAR10 = ("cifar10", "cifar10_40k")


def benchmarks_of(dataset: str) -> dict[str, Benchmark]:
    """Return every benchmark of the networks that classify ``dataset``, by name, in the order they are run."""
    table: tuple[Benchmark, ...] = (
        Clean(),
        *corruptions_of(dataset),
        MadeCorruptions(dataset),
        MadeThreeD(dataset),
        *attacks_of(dataset),
        perturbations_of(dataset),
        MadePerturbations(dataset),
        *pictures_of(dataset),
        *((HumanLabels(),) if dataset in OF_CIFAR10 else ()),
        StrangeImages(),
        OtherSets("shift"),
    )
    return {benchmark.name: benchmark for benchmark in table}


def pictures_of(dataset: str) -> tuple[Benchmark, ...]:
    """Return the benchmarks of other pictures than the test set's, in the layouts of their authors."""
    if dataset not in OF_IMAGENET:
        return ()
    shifts = (NaturalShift("imagenet_a"), NaturalShift("imagenet_r"))
    # All thousand classes: there is nothing to mask.
    return (*shifts, NaturalShift("imagenet_v2", condition="matched_frequency"), ImageNetO("imagenet_o"))
