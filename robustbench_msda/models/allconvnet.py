"""The all-convolutional network: Springenberg et al., "Striving for simplicity", ICLR 2015 workshop.

https://arxiv.org/abs/1412.6806. The form is the one that AugMix trains: google-research/augmix ee107ae,
models/cifar/allconv.py. Differs from the paper: max-pooling, batch norm, GELU and dropout, fewer channels at the end.
"""

from __future__ import annotations

import torch
from timm.models import register_model
from torch import Tensor, nn

from robustbench_msda.errors import UserError
from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained

# Two poolings, and then the convolution without padding, which is 3 pixels wide.
SMALLEST_SIDE = 12
# What the padding of the two 1x1 convolutions adds on either side, less what the unpadded convolution took.
BORDER = 2


class SigmoidGELU(nn.Module):
    """x · σ(1.702 x): Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the activation of each element."""
        return torch.sigmoid(1.702 * hidden) * hidden


class AllConvNet(nn.Module):
    """Three 3x3 convolutions of 96 channels, three of 192, one unpadded, two 1x1 with a padding of 1, a linear layer.

    The last mean is over the top left window that is a quarter of the image wide: of 32 pixels, 8 of the 10.
    """

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        wide, wider = 96, 192
        self.block1 = nn.Sequential(*_layer(in_chans, wide), *_layer(wide, wide), *_layer(wide, wide), *_pooling())
        self.block2 = nn.Sequential(*_layer(wide, wider), *_layer(wider, wider), *_layer(wider, wider), *_pooling())
        last = (_layer(wider, wider, 3, 0), _layer(wider, wider, 1, 1), _layer(wider, wider, 1, 1))
        self.block3 = nn.Sequential(*(module for layer in last for module in layer))
        self.linear = nn.Linear(wider, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W).

        Raises:
            UserError: a side is shorter than 12 pixels.
        """
        if min(images.shape[2:]) < SMALLEST_SIDE:
            found = " x ".join(map(str, images.shape[2:]))
            raise UserError(
                f"allconvnet needs images of {SMALLEST_SIDE} pixels a side, found {found}: take another model"
            )
        hidden = self.block3(self.block2(self.block1(images)))
        logits: Tensor = self.linear(hidden[:, :, :-BORDER, :-BORDER].mean((2, 3)))
        return logits


def _layer(channels_in: int, channels_out: int, kernel: int = 3, padding: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=padding)
    return [convolution, nn.BatchNorm2d(channels_out), SigmoidGELU()]


def _pooling() -> list[nn.Module]:
    return [nn.MaxPool2d(2), nn.Dropout(0.5)]


@register_model
def allconvnet(num_classes: int = 10, in_chans: int = 3, **given: object) -> AllConvNet:
    """Return the network with random weights."""
    check_untrained("allconvnet", given)
    return AllConvNet(num_classes, in_chans)
