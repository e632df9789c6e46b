"""CIFAR DenseNets: Huang et al., "Densely connected convolutional networks", CVPR 2017, section 3.

https://arxiv.org/abs/1608.06993. Each layer adds k channels to what it is given; no dropout. AugMix and DynMix name
DenseNet-BC (L = 100, k = 12), while the code of AugMix builds the DenseNet with L = 40 and no BC:
google-research/augmix ee107ae, densenet.py, defaults of `densenet`.
"""

from __future__ import annotations

import torch
from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3x3 convolution to k channels; transitions keep all channels."""

    convolutions = 1
    compression = 1.0

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, growth, 3, 1, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) with the k new channels after the C."""
        added = self.conv1(functional.relu(self.bn1(images), inplace=True))
        return torch.cat([images, added], 1)


class BottleneckLayer(nn.Module):
    """A 1x1 convolution to 4k channels before the 3x3 one, as in DenseNet-BC; transitions keep half the channels."""

    convolutions = 2
    compression = 0.5

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) with the k new channels after the C."""
        hidden = self.conv1(functional.relu(self.bn1(images), inplace=True))
        added = self.conv2(functional.relu(self.bn2(hidden), inplace=True))
        return torch.cat([images, added], 1)


class Transition(nn.Module):
    """Batch norm, ReLU, 1x1 convolution, mean over 2x2 pixels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) in other channels and half the height and width."""
        return functional.avg_pool2d(self.conv1(functional.relu(self.bn1(images), inplace=True)), 2)


class DenseNet(nn.Module):
    """Stem of 2k channels, three dense blocks with transitions between, batch norm, ReLU, mean, linear layer."""

    def __init__(
        self, layer: type[DenseLayer | BottleneckLayer], depth: int, growth: int, num_classes: int, in_chans: int
    ) -> None:
        super().__init__()
        layers = (depth - 4) // (3 * layer.convolutions)
        first = 2 * growth
        second = int(layer.compression * (first + layers * growth))
        third = int(layer.compression * (second + layers * growth))
        last = third + layers * growth
        self.conv1 = nn.Conv2d(in_chans, first, 3, 1, 1, bias=False)
        self.block1 = _block(layer, first, growth, layers)
        self.trans1 = Transition(first + layers * growth, second)
        self.block2 = _block(layer, second, growth, layers)
        self.trans2 = Transition(second + layers * growth, third)
        self.block3 = _block(layer, third, growth, layers)
        self.bn1 = nn.BatchNorm2d(last)
        self.fc = nn.Linear(last, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = self.trans1(self.block1(self.conv1(images)))
        hidden = self.block3(self.trans2(self.block2(hidden)))
        active = functional.relu(self.bn1(hidden), inplace=True)
        logits: Tensor = self.fc(active.mean((2, 3)))
        return logits


def _block(layer: type[DenseLayer | BottleneckLayer], channels_in: int, growth: int, layers: int) -> nn.Sequential:
    return nn.Sequential(*(layer(channels_in + number * growth, growth) for number in range(layers)))


@register_model
def densenet_40_12(num_classes: int = 10, in_chans: int = 3, **given: object) -> DenseNet:
    """Return the network with random weights."""
    check_untrained("densenet_40_12", given)
    return DenseNet(DenseLayer, 40, 12, num_classes, in_chans)


@register_model
def densenet_bc_100_12(num_classes: int = 10, in_chans: int = 3, **given: object) -> DenseNet:
    """Return the network with random weights."""
    check_untrained("densenet_bc_100_12", given)
    return DenseNet(BottleneckLayer, 100, 12, num_classes, in_chans)


@register_model
def densenet_bc_190_40(num_classes: int = 10, in_chans: int = 3, **given: object) -> DenseNet:
    """Return the network with random weights."""
    check_untrained("densenet_bc_190_40", given)
    return DenseNet(BottleneckLayer, 190, 40, num_classes, in_chans)
