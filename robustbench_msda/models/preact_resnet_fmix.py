"""The pre-activation ResNet-18 that FMix trains: ecs-vlc/FMix f0557b2, models/resnet.py.

After He et al., "Identity mappings in deep residual networks", ECCV 2016, https://arxiv.org/abs/1603.05027; weights
keep torch's own initialisation, as in that code. Differs from the paper: batch norm and ReLU come after the stem and
not after the last block, and every shortcut starts from the pre-activation, so that no path is an identity.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.registration import check_untrained


class ActivatedBlock(nn.Module):
    """Twice batch norm, ReLU, 3x3 convolution, plus the first activation or a 1x1 convolution of it."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        # A Sequential of one, so that the weights that the authors release keep their names.
        same = channels_in == channels_out
        self.shortcut = None if same else nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        active = functional.relu(self.bn1(images), inplace=True)
        hidden = functional.relu(self.bn2(self.conv1(active)), inplace=True)
        kept: Tensor = active if self.shortcut is None else self.shortcut(active)
        answer: Tensor = self.conv2(hidden) + kept
        return answer


class ActivatedResNet(nn.Module):
    """Stem of 64 channels, batch norm, ReLU, four stages of two blocks, mean over positions, linear layer."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, 512, 2)
        self.linear = nn.Linear(512, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ActivatedBlock(channels_in, channels_out, stride), ActivatedBlock(channels_out, channels_out, 1)
    )


@register_model
def preact_resnet18_fmix(num_classes: int = 10, in_chans: int = 3, **given: object) -> ActivatedResNet:
    """Return the network with random weights."""
    check_untrained("preact_resnet18_fmix", given)
    return ActivatedResNet(num_classes, in_chans)
