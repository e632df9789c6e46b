"""The stages of a network: the places between which hidden features can be mixed."""

from __future__ import annotations

import re

from torch import nn

# layer1 (ResNets), block1 (wide ResNets), stages.0 (ConvNeXt), layers.0 (Swin), features.denseblock1 (DenseNet) …
STAGE = re.compile(r"(?:\w+\.)?(?:\w*(?:layer|block|stage))s?\.?\d+")


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
