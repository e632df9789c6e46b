"""Train and evaluate image classifiers under mixed-sample data augmentation.

The verbs of the command line are functions here: ``train``, ``evaluate``, ``score`` and ``compare``, with ``Place`` for
where data and results are and ``Foreign`` for what a stranger's weights file does not say of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustbench_msda.evaluation import Place
    from robustbench_msda.opening import Foreign
    from robustbench_msda.verbs import compare, evaluate, score, train

__version__ = "0.1.0"
__all__ = ["Foreign", "Place", "__version__", "compare", "evaluate", "score", "train"]


def __getattr__(name: str) -> object:
    # The verbs import torch, which takes seconds that `--help` must not.
    if name in __all__:
        from robustbench_msda import opening, verbs

        return getattr(opening if name == "Foreign" else verbs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
