"""Benchmarks: ``benchmarks_of`` is the table; a name in it runs end to end."""

from __future__ import annotations

from robustbench_msda.benchmarks.adversarial import WhiteBox
from robustbench_msda.benchmarks.base import Baseline, Basis, Benchmark, Missing, Setting
from robustbench_msda.benchmarks.clean import Clean
from robustbench_msda.benchmarks.made_corruptions import MadeCorruptions, MadeThreeD
from robustbench_msda.benchmarks.made_perturbations import MadePerturbations
from robustbench_msda.benchmarks.official_corruptions import corruptions_of
from robustbench_msda.benchmarks.official_perturbations import perturbations_of

__all__ = ["Baseline", "Basis", "Benchmark", "Missing", "Setting", "benchmarks_of"]


def benchmarks_of(dataset: str) -> dict[str, Benchmark]:
    """Return every benchmark of the networks that classify ``dataset``, by name, in the order they are run."""
    table: tuple[Benchmark, ...] = (
        Clean(),
        *corruptions_of(dataset),
        MadeCorruptions(dataset),
        MadeThreeD(dataset),
        WhiteBox("fgsm", "fgsm()"),
        # 10 steps of ε/4: 2/255 at ε = 8/255, the common short PGD.
        WhiteBox("pgd", "pgd(steps=10, rel_stepsize=0.25)"),
        perturbations_of(dataset),
        MadePerturbations(dataset),
    )
    return {benchmark.name: benchmark for benchmark in table}
