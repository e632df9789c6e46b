"""Perturbation sequences: an image becomes a short video of small changes, uint8 tensors in, uint8 tensors out.

Hendrycks, Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019,
section 3 (ImageNet-P and CIFAR-10-P). ``PERTURBATIONS`` is the table; ``perturb`` applies one.
"""

from __future__ import annotations

from robustbench_msda.corruptions.perturbations.table import PERTURBATIONS, Perturbation, perturb

__all__ = ["PERTURBATIONS", "Perturbation", "perturb"]
