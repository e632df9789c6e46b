"""The stages of a network: the places between which hidden features can be mixed."""

from __future__ import annotations

import re
from collections import Counter

import torch
from torch import Tensor, nn

from robustbench_msda.models.evaluation_mode import evaluation_mode

# layer1 (ResNets), block1 (wide ResNets), stages.0 (ConvNeXt), layers.0 (Swin), features.denseblock1 (DenseNet); not
# layer0, which is a stem, nor downsample_layers.0, which are between stages.
STAGE = re.compile(r"(?!layer0$)(?:\w+\.)?(?:dense)?(?:layer|block|stage)s?\.?\d+")


def stages(network: nn.Module) -> list[nn.Module]:
    """Return the stages of ``network`` in the order of its modules; none where no module is named like one.

    A stage within a stage, such as a block of a ResNet's ``layer1``, is part of it. A network behind a normalisation
    is looked for inside it.
    """
    inner = network.get_submodule("network") if "network" in dict(network.named_children()) else network
    found: list[tuple[str, nn.Module]] = []
    for name, module in inner.named_modules():
        if STAGE.fullmatch(name) and not any(name.startswith(f"{outer}.") for outer, _ in found):
            found.append((name, module))
    return [module for _, module in found]


def answers_once(model: nn.Module, modules: list[nn.Module], images: Tensor) -> bool:
    """Return whether each of ``modules`` answers once, with one tensor, when ``model`` sees ``images`` (B, C, H, W)."""
    answers: Counter[nn.Module] = Counter()
    hooks = [
        module.register_forward_hook(lambda module, _, answer: answers.update([module] * isinstance(answer, Tensor)))
        for module in modules
    ]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return all(answers[module] == 1 for module in modules)
