"""ResNets for 32x32 images with projections: He et al., "Deep residual learning for image recognition", CVPR 2016.

https://arxiv.org/abs/1512.03385, option B of section 3.3: where the shape changes, the shortcut is a 1x1 convolution
with batch norm. ``resnet18_cifar`` is ResNet-18 of table 1. Differs from the paper: its stem is one 3x3 convolution
with stride 1 and no pooling, as everybody has it on CIFAR. ``resnet56_projection`` is ResNet-56 as the code of CutMix
builds it, where the paper's has zero-padded shortcuts.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained


class ProjectionBlock(nn.Module):
    """Two 3x3 convolutions with batch norm; ReLU after the first and after the sum."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        same = channels_in == channels_out
        self.shortcut = None if same else projection(channels_in, channels_out, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        kept: Tensor = images if self.shortcut is None else self.shortcut(images)
        return functional.relu(self.bn2(self.conv2(hidden)) + kept, inplace=True)


class ProjectionResNet(nn.Module):
    """Stem of the first width, a stage for each of the widths, mean over positions, linear layer."""

    def __init__(self, widths: tuple[int, ...], blocks: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.stages = len(widths)
        self.conv1 = nn.Conv2d(in_chans, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[0], 1, blocks)
        for number, (narrow, wide) in enumerate(zip(widths[:-1], widths[1:], strict=True), 2):
            self.add_module(f"layer{number}", _stage(narrow, wide, 2, blocks))
        self.linear = nn.Linear(widths[-1], num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        for number in range(1, self.stages + 1):
            hidden = self.get_submodule(f"layer{number}")(hidden)
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def projection(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Return the shortcut of option B: a 1x1 convolution with batch norm."""
    convolution = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out))


def _stage(channels_in: int, channels_out: int, stride: int, blocks: int) -> nn.Sequential:
    first = ProjectionBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(ProjectionBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


@register_model
def resnet18_cifar(num_classes: int = 10, in_chans: int = 3, **given: object) -> ProjectionResNet:
    """Return the network with random weights."""
    check_untrained("resnet18_cifar", given)
    return ProjectionResNet((64, 128, 256, 512), 2, num_classes, in_chans)


@register_model
def resnet56_projection(num_classes: int = 10, in_chans: int = 3, **given: object) -> ProjectionResNet:
    """Return the network with random weights."""
    check_untrained("resnet56_projection", given)
    return ProjectionResNet((16, 32, 64), 9, num_classes, in_chans)
