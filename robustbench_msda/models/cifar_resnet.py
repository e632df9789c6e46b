"""CIFAR ResNets: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.

https://arxiv.org/abs/1512.03385. Depth 6n + 2; the shortcuts have no parameters (the paper's option A).
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm; ReLU after the first and after the sum."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.widening = channels_out - channels_in
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        return functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(images), inplace=True)

    def shortcut(self, images: Tensor) -> Tensor:
        """Return every ``stride``-th pixel, with zeros in the channels there are not yet."""
        if not self.widening:
            return images
        before = self.widening // 2
        subsampled = images[:, :, :: self.stride, :: self.stride]
        return functional.pad(subsampled, (0, 0, 0, 0, before, self.widening - before))


class CifarResNet(nn.Module):
    """Stem of 16 channels, three stages of 16, 32 and 64, mean over positions, linear layer.

    The paper does not say where the zero channels of a shortcut go; here one half is before and one half after.
    """

    def __init__(self, blocks: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int, blocks: int) -> nn.Sequential:
    first = BasicBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


@register_model
def resnet20(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNet:
    """Return the network with random weights."""
    check_untrained("resnet20", given)
    return CifarResNet(3, num_classes, in_chans)


@register_model
def resnet32(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNet:
    """Return the network with random weights."""
    check_untrained("resnet32", given)
    return CifarResNet(5, num_classes, in_chans)


@register_model
def resnet44(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNet:
    """Return the network with random weights."""
    check_untrained("resnet44", given)
    return CifarResNet(7, num_classes, in_chans)


@register_model
def resnet56(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNet:
    """Return the network with random weights."""
    check_untrained("resnet56", given)
    return CifarResNet(9, num_classes, in_chans)


@register_model
def resnet110(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNet:
    """Return the network with random weights."""
    check_untrained("resnet110", given)
    return CifarResNet(18, num_classes, in_chans)
