"""Wide ResNets: Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, table 1.

https://arxiv.org/abs/1605.07146. WRN-d-k has (d − 4) / 6 blocks a stage and 16k, 32k, 64k channels; no dropout.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained
from robustbench_msda.models.regularisers import regularised


class WideBlock(nn.Module):
    """Twice batch norm, ReLU, 3x3 convolution; where the width changes, a 1x1 convolution of the pre-activation."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.drop: nn.Module = nn.Identity()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        same = channels_in == channels_out
        self.shortcut = None if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        active = functional.relu(self.bn1(images), inplace=True)
        hidden = functional.relu(self.bn2(self.conv1(active)), inplace=True)
        kept: Tensor = images if self.shortcut is None else self.shortcut(active)
        answer: Tensor = self.drop(self.conv2(hidden)) + kept
        return answer


class WideResNet(nn.Module):
    """Stem of 16 channels, three stages, batch norm, ReLU, mean over positions, linear layer; one bias, the last."""

    def __init__(self, depth: int, width: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        self.block1 = _stage(16, 16 * width, 1, blocks)
        self.block2 = _stage(16 * width, 32 * width, 2, blocks)
        self.block3 = _stage(32 * width, 64 * width, 2, blocks)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = self.block3(self.block2(self.block1(self.conv1(images))))
        active = functional.relu(self.bn1(hidden), inplace=True)
        logits: Tensor = self.fc(active.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int, blocks: int) -> nn.Sequential:
    first = WideBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(WideBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


@register_model
def wrn_16_2(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> WideResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("wrn_16_2", given)
    return regularised(WideResNet(16, 2, num_classes, in_chans), drop_path, drop_block)


@register_model
def wrn_16_8(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> WideResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("wrn_16_8", given)
    return regularised(WideResNet(16, 8, num_classes, in_chans), drop_path, drop_block)


@register_model
def wrn_28_2(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> WideResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("wrn_28_2", given)
    return regularised(WideResNet(28, 2, num_classes, in_chans), drop_path, drop_block)


@register_model
def wrn_28_10(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> WideResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("wrn_28_10", given)
    return regularised(WideResNet(28, 10, num_classes, in_chans), drop_path, drop_block)


@register_model
def wrn_40_2(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> WideResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("wrn_40_2", given)
    return regularised(WideResNet(40, 2, num_classes, in_chans), drop_path, drop_block)
