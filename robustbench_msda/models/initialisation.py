"""Initial weights, drawn from torch's generator as the caller seeded it: constructors of modules take no other."""

from __future__ import annotations

from torch import nn


def initialise(network: nn.Module) -> None:
    """Draw convolutions from N(0, sqrt(2 / (k² · C_out))) and set the biases of linear layers to 0, in place.

    He et al., "Delving deep into rectifiers", ICCV 2015, eq. 14 (fan-out). Batch norm keeps γ = 1, β = 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
