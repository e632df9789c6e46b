"""CIFAR ResNeXts: Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017, section 5.3.

https://arxiv.org/abs/1611.05431. ResNeXt-29, C x d has C groups of d channels in the first stage. The form, the grouped
convolution of the paper's figure 3(c), is the one that AugMix trains: google-research/augmix ee107ae, resnext.py.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.projection_resnet import projection
from robustbench_msda.models.registration import check_untrained

STEM = 64
BLOCKS = 3


class GroupedBottleneck(nn.Module):
    """1x1, grouped 3x3 with the stride, 1x1, each with batch norm; ReLU after the first two and after the sum."""

    def __init__(self, channels_in: int, channels_out: int, inner: int, groups: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.shortcut = None if channels_in == channels_out else projection(channels_in, channels_out, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        hidden = functional.relu(self.bn2(self.conv2(hidden)), inplace=True)
        kept: Tensor = images if self.shortcut is None else self.shortcut(images)
        return functional.relu(self.bn3(self.conv3(hidden)) + kept, inplace=True)


class CifarResNeXt(nn.Module):
    """Stem of 64 channels, three stages of 256, 512 and 1024, mean over positions, linear layer."""

    def __init__(self, groups: int, width: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, STEM, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.stage1 = _stage(STEM, 256, groups * width, groups, 1)
        self.stage2 = _stage(256, 512, 2 * groups * width, groups, 2)
        self.stage3 = _stage(512, 1024, 4 * groups * width, groups, 2)
        self.linear = nn.Linear(1024, num_classes)
        initialise(self)
        # The linear layer too starts from the draw of He et al. in the code of AugMix, there by fan-in.
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        hidden = self.stage3(self.stage2(self.stage1(hidden)))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, inner: int, groups: int, stride: int) -> nn.Sequential:
    first = GroupedBottleneck(channels_in, channels_out, inner, groups, stride)
    rest = (GroupedBottleneck(channels_out, channels_out, inner, groups, 1) for _ in range(BLOCKS - 1))
    return nn.Sequential(first, *rest)


@register_model
def resnext29_4x24d(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNeXt:
    """Return the network with random weights."""
    check_untrained("resnext29_4x24d", given)
    return CifarResNeXt(4, 24, num_classes, in_chans)


@register_model
def resnext29_4x32d(num_classes: int = 10, in_chans: int = 3, **given: object) -> CifarResNeXt:
    """Return the network with random weights."""
    check_untrained("resnext29_4x32d", given)
    return CifarResNeXt(4, 32, num_classes, in_chans)
