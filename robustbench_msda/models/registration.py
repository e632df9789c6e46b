"""What our entry points do with the arguments that timm's ``create_model`` adds to every call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from timm.models import model_entrypoint

from robustbench_msda.errors import UserError

# timm 1.0: `create_model` passes these to every entry point.
OF_TIMM = frozenset({"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"})
# Parameters of our entry points that the data set or timm gives.
NO_OPTIONS = ("num_classes", "given")


def check_untrained(name: str, given: Mapping[str, object]) -> None:
    """Refuse what an entry point without pretrained weights cannot honour.

    Args:
        name: the architecture, for messages.
        given: the keyword arguments it has no parameter for.

    Raises:
        UserError: pretrained weights are asked for; random ones in their place would pass unseen.
        TypeError: an argument is neither the architecture's nor timm's.
    """
    if given.get("pretrained"):
        raise UserError(f"{name} has no pretrained weights: train it, or give a file of weights")
    if unexpected := sorted(set(given) - OF_TIMM):
        options = [key for key in inspect.signature(model_entrypoint(name)).parameters if key not in NO_OPTIONS]
        raise TypeError(f"{name} has no option {unexpected[0]!r}; it takes {', '.join(options)}")
