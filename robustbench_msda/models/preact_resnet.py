"""Pre-activation ResNets for 32x32 images: He et al., "Identity mappings in deep residual networks", ECCV 2016.

https://arxiv.org/abs/1603.05027. The form is the one that PuzzleMix and Co-Mixup train, and with them the papers on
K-image mixing, on the unified theory and on class dependency; weights keep torch's own initialisation, as there.
Differs from the paper: no batch norm and ReLU after the stem, nor after the last block.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.registration import check_untrained
from robustbench_msda.models.regularisers import regularised


class BasicBlock(nn.Module):
    """Twice batch norm, ReLU, 3x3 convolution; where the shape changes, a 1x1 convolution of the pre-activation."""

    expansion = 1

    def __init__(self, channels_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.drop: nn.Module = nn.Identity()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.shortcut = _projection(channels_in, planes, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        active = functional.relu(self.bn1(images), inplace=True)
        kept: Tensor = images if self.shortcut is None else self.shortcut(active)
        hidden = functional.relu(self.bn2(self.conv1(active)), inplace=True)
        answer: Tensor = self.drop(self.conv2(hidden)) + kept
        return answer


class Bottleneck(nn.Module):
    """Batch norm, ReLU and a convolution three times: 1x1, 3x3 with the stride, 1x1 to four times the planes."""

    expansion = 4

    def __init__(self, channels_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.drop: nn.Module = nn.Identity()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, planes, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.shortcut = _projection(channels_in, 4 * planes, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        active = functional.relu(self.bn1(images), inplace=True)
        kept: Tensor = images if self.shortcut is None else self.shortcut(active)
        hidden = self.conv2(functional.relu(self.bn2(self.conv1(active)), inplace=True))
        answer: Tensor = self.drop(self.conv3(functional.relu(self.bn3(hidden), inplace=True))) + kept
        return answer


class PreActResNet(nn.Module):
    """Stem of 64 channels, four stages of 64, 128, 256 and 512 planes, mean over positions, linear layer."""

    def __init__(
        self, block: type[BasicBlock | Bottleneck], blocks: tuple[int, int, int, int], num_classes: int, in_chans: int
    ) -> None:
        super().__init__()
        wide = block.expansion
        self.conv1 = nn.Conv2d(in_chans, 64, 3, 1, 1, bias=False)
        self.layer1 = _stage(block, 64, 64, 1, blocks[0])
        self.layer2 = _stage(block, 64 * wide, 128, 2, blocks[1])
        self.layer3 = _stage(block, 128 * wide, 256, 2, blocks[2])
        self.layer4 = _stage(block, 256 * wide, 512, 2, blocks[3])
        self.linear = nn.Linear(512 * wide, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(images)))))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def _projection(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    if channels_in == channels_out and stride == 1:
        return None
    # A Sequential of one, so that the weights of this architecture that others release keep their names.
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))


def _stage(
    block: type[BasicBlock | Bottleneck], channels_in: int, planes: int, stride: int, blocks: int
) -> nn.Sequential:
    rest = (block(planes * block.expansion, planes, 1) for _ in range(blocks - 1))
    return nn.Sequential(block(channels_in, planes, stride), *rest)


@register_model
def preact_resnet18(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> PreActResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("preact_resnet18", given)
    return regularised(PreActResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_chans), drop_path, drop_block)


@register_model
def preact_resnet34(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> PreActResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("preact_resnet34", given)
    return regularised(PreActResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_chans), drop_path, drop_block)


@register_model
def preact_resnet50(
    num_classes: int = 10, in_chans: int = 3, drop_path: float = 0.0, drop_block: float = 0.0, **given: object
) -> PreActResNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("preact_resnet50", given)
    return regularised(PreActResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_chans), drop_path, drop_block)
