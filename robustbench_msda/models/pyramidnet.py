"""PyramidNets for 32x32 images: Han et al., "Deep pyramidal residual networks", CVPR 2017, table 1.

https://arxiv.org/abs/1610.02915. Bottleneck blocks, whose width grows by the same amount from each to the next. Layers
have the names and the initial weights of clovaai/CutMix-PyTorch 5ee7b8d, pyramidnet.py.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained
from robustbench_msda.models.regularisers import regularised

STEM = 16
EXPANSION = 4


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 with the stride and 1x1, batch norm around each, ReLU before the last two.

    The shortcut has no parameters: means of 2x2 pixels where there is a stride, and zeros in the channels there are not
    yet.
    """

    def __init__(self, channels_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.widening = EXPANSION * planes - channels_in
        self.drop: nn.Module = nn.Identity()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, planes, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, EXPANSION * planes, 1, bias=False)
        self.bn4 = nn.BatchNorm2d(EXPANSION * planes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's answer to (B, C, H, W)."""
        hidden = functional.relu(self.bn2(self.conv1(self.bn1(images))), inplace=True)
        hidden = functional.relu(self.bn3(self.conv2(hidden)), inplace=True)
        branch: Tensor = self.drop(self.bn4(self.conv3(hidden)))
        return branch + self.shortcut(images)

    def shortcut(self, images: Tensor) -> Tensor:
        """Return the images, smaller where the branch is, with zeros behind their channels."""
        pooled = images if self.stride == 1 else functional.avg_pool2d(images, self.stride, ceil_mode=True)
        return functional.pad(pooled, (0, 0, 0, 0, 0, self.widening))


class PyramidNet(nn.Module):
    """Stem of 16 channels with batch norm, three stages, batch norm, ReLU, mean over positions, linear layer."""

    def __init__(self, depth: int, alpha: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 9
        # Equation 3 of the paper with the rounding of the released code; no width of ours ends in one half.
        planes = [round(STEM + alpha * number / (3 * blocks)) for number in range(1, 3 * blocks + 1)]
        widths = [STEM, *(EXPANSION * width for width in planes)]
        self.conv1 = nn.Conv2d(in_chans, STEM, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = _stage(widths[:blocks], planes[:blocks], 1)
        self.layer2 = _stage(widths[blocks : 2 * blocks], planes[blocks : 2 * blocks], 2)
        self.layer3 = _stage(widths[2 * blocks : -1], planes[2 * blocks :], 2)
        self.bn_final = nn.BatchNorm2d(widths[-1])
        initialise(self)
        # Behind the call above: the released code leaves the bias, too, as torch draws it.
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W)."""
        hidden = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(images)))))
        active = functional.relu(self.bn_final(hidden), inplace=True)
        logits: Tensor = self.fc(active.mean((2, 3)))
        return logits


def _stage(channels_in: list[int], planes: list[int], stride: int) -> nn.Sequential:
    strides = [stride] + [1] * (len(planes) - 1)
    return nn.Sequential(*map(Bottleneck, channels_in, planes, strides))


@register_model
def pyramidnet110_a64(
    num_classes: int = 10,
    in_chans: int = 3,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    shake_drop: float = 0.0,
    **given: object,
) -> PyramidNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("pyramidnet110_a64", given)
    return regularised(PyramidNet(110, 64, num_classes, in_chans), drop_path, drop_block, shake_drop)


@register_model
def pyramidnet200_a240(
    num_classes: int = 10,
    in_chans: int = 3,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    shake_drop: float = 0.0,
    **given: object,
) -> PyramidNet:
    """Return the network with random weights; for the rates see ``regularised``."""
    check_untrained("pyramidnet200_a240", given)
    return regularised(PyramidNet(200, 240, num_classes, in_chans), drop_path, drop_block, shake_drop)


@register_model
def pyramidnet272_a200(
    num_classes: int = 10,
    in_chans: int = 3,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    shake_drop: float = 0.0,
    **given: object,
) -> PyramidNet:
    """Return the network with random weights; papers train it with a ``shake_drop`` of 0.5."""
    check_untrained("pyramidnet272_a200", given)
    return regularised(PyramidNet(272, 200, num_classes, in_chans), drop_path, drop_block, shake_drop)
