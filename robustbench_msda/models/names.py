"""What ``list models`` prints: the architectures written here. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One architecture of ours.

    Attributes:
        description: one line.
        paper: authors, venue and year.
        parameters: trainable parameters with 10 classes and 3 channels.
    """

    description: str
    paper: str
    parameters: int


RESNET = "He et al., CVPR 2016"
WIDE_RESNET = "Zagoruyko and Komodakis, BMVC 2016"
PREACT_RESNET = "He et al., ECCV 2016"

MODELS: dict[str, Architecture] = {
    "small_cnn": Architecture("three 3x3 convolutions with 16, 32 and 64 channels; for demonstrations", "", 24_346),
    "resnet20": Architecture("CIFAR ResNet, 3 basic blocks a stage, zero-padded shortcuts", RESNET, 269_722),
    "resnet32": Architecture("CIFAR ResNet, 5 basic blocks a stage, zero-padded shortcuts", RESNET, 464_154),
    "resnet44": Architecture("CIFAR ResNet, 7 basic blocks a stage, zero-padded shortcuts", RESNET, 658_586),
    "resnet56": Architecture("CIFAR ResNet, 9 basic blocks a stage, zero-padded shortcuts", RESNET, 853_018),
    "wrn_16_8": Architecture("wide ResNet, depth 16, width 8", WIDE_RESNET, 10_961_370),
    "wrn_28_2": Architecture("wide ResNet, depth 28, width 2", WIDE_RESNET, 1_467_610),
    "wrn_28_10": Architecture("wide ResNet, depth 28, width 10", WIDE_RESNET, 36_479_194),
    "wrn_40_2": Architecture("wide ResNet, depth 40, width 2", WIDE_RESNET, 2_243_546),
    "preact_resnet18": Architecture("pre-activation ResNet, basic blocks 2-2-2-2", PREACT_RESNET, 11_171_146),
    "preact_resnet34": Architecture("pre-activation ResNet, basic blocks 3-4-6-3", PREACT_RESNET, 21_279_306),
    "preact_resnet50": Architecture("pre-activation ResNet, bottlenecks 3-4-6-3", PREACT_RESNET, 23_509_066),
}
