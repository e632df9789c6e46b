"""What the names and shapes of a file's tensors tell of its network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

# How networks call the layer that answers.
HEADS = frozenset({"fc", "linear", "classifier", "head", "logits", "last_linear", "output"})
# What batch normalisation counts: no parameters.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


# ImageNet-21k has 21,843: a file with more rows in its last layer is not believed, for a network of as many is made.
MOST_CLASSES = 100_000


def in_order(state: Mapping[str, Tensor], network: Iterable[str]) -> dict[str, Tensor]:
    """Return ``state`` in the order of a ``network``'s names, then what the network does not have."""
    own = {name: state[name] for name in network if name in state}
    return {**own, **state}


def numbered(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` by name, numbers in the names as numbers: a safetensors file keeps its tensors by the alphabet.

    So ``3.weight`` comes before ``10.weight``, as in the network.
    """
    return {name: state[name] for name in sorted(state, key=_number_parts)}


def parameters(state: Mapping[str, Tensor]) -> int:
    """Return how many parameters ``state`` holds, statistics of batch normalisation and integers not among them."""
    counted = (t for name, t in state.items() if not name.endswith(STATISTICS))
    return sum(t.numel() for t in counted if t.is_floating_point() or t.is_complex())


def first_layer(state: Mapping[str, Tensor]) -> str:
    """Return the name of the weights that take the image: the first that take three channels, or the first of all."""
    weights = [name for name, tensor in state.items() if tensor.ndim >= 2]
    colour = [name for name in weights if state[name].ndim == 4 and state[name].shape[1] == 3]
    return next(iter([*colour, *weights]), "")


def last_layer(state: Mapping[str, Tensor]) -> str:
    """Return the name of the weights that answer: the last of those called as such, or the last that are a matrix."""
    matrices = [name for name, tensor in state.items() if tensor.ndim == 2 and name.endswith("weight")]
    heads = [name for name in matrices if HEADS & set(name.split("."))]
    return next(iter([*reversed(heads), *reversed(matrices)]), "")


def classes_of(state: Mapping[str, Tensor]) -> int:
    """Return how many classes ``state`` seems to answer with; 0 where no layer looks so."""
    name = last_layer(state)
    rows = state[name].shape[0] if name else 0
    return rows if rows <= MOST_CLASSES else 0


def _number_parts(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name))
