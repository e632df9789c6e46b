"""A network that learns 32x32 digits in seconds on one core: for demonstrations and tests, in no paper."""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn

from robustbench_msda.models.initialisation import initialise
from robustbench_msda.models.registration import check_untrained


class SmallCNN(nn.Module):
    """Three times 3x3 convolution, batch norm, ReLU, 2x2 max-pool; then the mean over positions and a linear layer."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stage(in_chans, 16), *_stage(16, 32), *_stage(32, 64))
        self.linear = nn.Linear(64, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of normalised ``images`` (B, C, H, W); sides of at least 8 pixels."""
        hidden: Tensor = self.features(images)
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True), nn.MaxPool2d(2)]


@register_model
def small_cnn(num_classes: int = 10, in_chans: int = 3, **given: object) -> SmallCNN:
    """Return the network with random weights."""
    check_untrained("small_cnn", given)
    return SmallCNN(num_classes, in_chans)
