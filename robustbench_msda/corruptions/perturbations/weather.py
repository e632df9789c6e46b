"""Perturbations by weather: light that grows, snow whose wind turns, drops that run down the lens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.blur import smooth
from robustbench_msda.corruptions.color import hsv_to_rgb, rgb_to_hsv
from robustbench_msda.corruptions.noise import normals
from robustbench_msda.corruptions.perturbations.blur import turning
from robustbench_msda.corruptions.perturbations.parameters import values
from robustbench_msda.corruptions.pixels import to_uint8, to_unit
from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.snow import add_flakes, flakes, whitened
from robustbench_msda.corruptions.spatter import wet


def brightness(images: Tensor, parameter: Parameter) -> Tensor:
    """Return ``images`` with something added to the value channel of HSV that grows from frame to frame.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, what is added in the first, as a fraction of full brightness, step.
    """
    hue, saturation, value = rgb_to_hsv(to_unit(images))
    # The way back to RGB is a product with the value.
    shares = hsv_to_rgb(hue, saturation, torch.ones_like(value))
    brighter = [(value + offset).clamp_(0, 1).unsqueeze(1) for offset in values(parameter)]
    return torch.stack([to_uint8(shares * each) for each in brighter], 1)


def snow(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` whitened, with the same flakes in every frame, smeared along a line that turns.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames, what ``corruptions.snow.flakes`` takes, degrees of the first frame, step.
        draws: (B, S, S), see ``corruptions.noise.slices``: what the field is made of.
    """
    frames, *shape, first, step = parameter
    *falling, radius, sigma, share = shape
    # Smeared by one tap: not at all.
    still = flakes(normals(draws), (*falling, 0, 1, share), torch.zeros(len(images)))
    layers = turning(still, radius, sigma, values((frames, first, step)))
    white = whitened(images, share)
    return torch.stack([add_flakes(white, layer) for layer in layers.unbind(1)], 1)


def spatter(images: Tensor, parameter: Parameter, draws: Tensor) -> Tensor:
    """Return ``images`` seen through drops of water that run down and thin out from frame to frame.

    Args:
        images: (B, 3, S, S) uint8.
        parameter: number of frames; mean, standard deviation and blur of the field, the threshold above which there is
            a drop, how visible water is; then ``run``'s weights.
        draws: (B, S, S), see ``corruptions.noise.slices``: what the field is made of.
    """
    frames, mean, std, sigma, threshold, strength, *weights = parameter
    layer = smooth(normals(draws).mul_(std).add_(mean), sigma)
    layer.mul_(layer >= threshold)
    layers = [layer]
    while len(layers) < frames:
        layers.append(run(layers[-1], weights))
    together = images.unsqueeze(1).expand(-1, len(layers), -1, -1, -1).flatten(0, 1)
    watered = wet(together, torch.stack(layers, 1).flatten(0, 1), 0, strength)
    return watered.view(len(images), len(layers), *images.shape[1:])


def run(layer: Tensor, weights: Sequence[float]) -> Tensor:
    """Return every column convolved with ``weights``, zero outside: NumPy's ``convolve`` in mode ``same``.

    Args:
        layer: (B, S, S).
        weights: of two, a row's own and that of the row above; of four, those of the row below, the row itself and the
            two above.
    """
    last = len(weights) - 1
    above = len(weights) // 2
    padded = pad(layer, (0, 0, above, last - above))
    total = torch.zeros_like(layer)
    for step, weight in enumerate(weights):
        total.add_(padded.narrow(1, last - step, layer.shape[1]), alpha=weight)
    return total
