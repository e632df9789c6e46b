"""Common corruptions of images, batched: uint8 tensors in, uint8 tensors out.

Hendrycks, Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019.
``CORRUPTIONS`` is the table; ``corrupt`` applies one.
"""

from __future__ import annotations

from robustbench_msda.corruptions.table import CORRUPTIONS, Corruption, corrupt

__all__ = ["CORRUPTIONS", "Corruption", "corrupt"]
