"""Wide ResNets as PuzzleMix and Co-Mixup train them: snu-mllab/PuzzleMix 06dc7f1, models/wide_resnet.py.

The networks are those of Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016,
https://arxiv.org/abs/1605.07146, and weights keep torch's own initialisation, as in that code. Differs from the paper:
every convolution has a bias, the stride is in the second one of a block, the projection is of the block's raw input,
and the running moments of the last batch norm take nine tenths of each batch.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.registration import check_untrained


class BiasedWideBlock(nn.Module):
    """Twice batch norm, ReLU, 3x3 convolution; where the width changes, a 1x1 convolution of the raw input."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, stride, 1)
        # A Sequential of one, so that the weights of this architecture that others release keep their names.
        same = channels_in == channels_out
        self.shortcut = None if same else nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride))

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        hidden = self.conv1(functional.relu(self.bn1(images), inplace=True))
        kept: Tensor = images if self.shortcut is None else self.shortcut(images)
        answer: Tensor = self.conv2(functional.relu(self.bn2(hidden), inplace=True)) + kept
        return answer


class BiasedWideResNet(nn.Module):
    """Stem of 16 channels, three stages, batch norm, ReLU, mean over positions, linear layer."""

    def __init__(self, depth: int, width: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1)
        self.layer1 = _stage(16, 16 * width, 1, blocks)
        self.layer2 = _stage(16 * width, 32 * width, 2, blocks)
        self.layer3 = _stage(32 * width, 64 * width, 2, blocks)
        self.bn1 = nn.BatchNorm2d(64 * width, momentum=0.9)
        self.linear = nn.Linear(64 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = self.layer3(self.layer2(self.layer1(self.conv1(images))))
        active = functional.relu(self.bn1(hidden), inplace=True)
        logits: Tensor = self.linear(active.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int, blocks: int) -> nn.Sequential:
    first = BiasedWideBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(BiasedWideBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


@register_model
def wrn_16_8_snu(num_classes: int = 10, in_chans: int = 3, **given: object) -> BiasedWideResNet:
    """Return the network with random weights."""
    check_untrained("wrn_16_8_snu", given)
    return BiasedWideResNet(16, 8, num_classes, in_chans)


@register_model
def wrn_28_2_snu(num_classes: int = 10, in_chans: int = 3, **given: object) -> BiasedWideResNet:
    """Return the network with random weights."""
    check_untrained("wrn_28_2_snu", given)
    return BiasedWideResNet(28, 2, num_classes, in_chans)


@register_model
def wrn_28_10_snu(num_classes: int = 10, in_chans: int = 3, **given: object) -> BiasedWideResNet:
    """Return the network with random weights."""
    check_untrained("wrn_28_10_snu", given)
    return BiasedWideResNet(28, 10, num_classes, in_chans)
