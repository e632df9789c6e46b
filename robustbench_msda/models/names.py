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
ALLCONVNET = "Springenberg et al., ICLR 2015"
DENSENET = "Huang et al., CVPR 2017"
RESNEXT = "Xie et al., CVPR 2017"
WIDE_RESNET = "Zagoruyko and Komodakis, BMVC 2016"
PREACT_RESNET = "He et al., ECCV 2016"
PYRAMIDNET = "Han et al., CVPR 2017"

MODELS: dict[str, Architecture] = {
    "small_cnn": Architecture("three 3x3 convolutions with 16, 32 and 64 channels; for demonstrations", "", 24_346),
    "resnet20": Architecture("CIFAR ResNet, 3 basic blocks a stage, zero-padded shortcuts", RESNET, 269_722),
    "resnet32": Architecture("CIFAR ResNet, 5 basic blocks a stage, zero-padded shortcuts", RESNET, 464_154),
    "resnet44": Architecture("CIFAR ResNet, 7 basic blocks a stage, zero-padded shortcuts", RESNET, 658_586),
    "resnet56": Architecture("CIFAR ResNet, 9 basic blocks a stage, zero-padded shortcuts", RESNET, 853_018),
    "resnet110": Architecture("CIFAR ResNet, 18 basic blocks a stage, zero-padded shortcuts", RESNET, 1_727_962),
    "resnet56_projection": Architecture("CIFAR ResNet, 9 basic blocks a stage, 1x1 projections", RESNET, 855_770),
    "resnet18_cifar": Architecture("ResNet-18 with a 3x3 stem, basic blocks 2-2-2-2", RESNET, 11_173_962),
    "wrn_16_2": Architecture("wide ResNet, depth 16, width 2", WIDE_RESNET, 691_674),
    "wrn_16_8": Architecture("wide ResNet, depth 16, width 8", WIDE_RESNET, 10_961_370),
    "wrn_28_2": Architecture("wide ResNet, depth 28, width 2", WIDE_RESNET, 1_467_610),
    "wrn_28_10": Architecture("wide ResNet, depth 28, width 10", WIDE_RESNET, 36_479_194),
    "wrn_40_2": Architecture("wide ResNet, depth 40, width 2", WIDE_RESNET, 2_243_546),
    "wrn_16_8_snu": Architecture("wrn_16_8 with biases, as PuzzleMix trains it", WIDE_RESNET, 10_965_866),
    "wrn_28_2_snu": Architecture("wrn_28_2 with biases, as PuzzleMix trains it", WIDE_RESNET, 1_469_642),
    "wrn_28_10_snu": Architecture("wrn_28_10 with biases, as PuzzleMix trains it", WIDE_RESNET, 36_489_290),
    "preact_resnet18": Architecture("pre-activation ResNet, basic blocks 2-2-2-2", PREACT_RESNET, 11_171_146),
    "preact_resnet34": Architecture("pre-activation ResNet, basic blocks 3-4-6-3", PREACT_RESNET, 21_279_306),
    "preact_resnet50": Architecture("pre-activation ResNet, bottlenecks 3-4-6-3", PREACT_RESNET, 23_509_066),
    "preact_resnet18_fmix": Architecture("preact_resnet18 as FMix trains it", PREACT_RESNET, 11_171_274),
    "resnext29_4x24d": Architecture("ResNeXt, 3 bottlenecks a stage, 4 groups of 24 channels", RESNEXT, 4_845_002),
    "resnext29_4x32d": Architecture("ResNeXt, 3 bottlenecks a stage, 4 groups of 32 channels", RESNEXT, 6_807_882),
    "densenet_40_12": Architecture("DenseNet, depth 40, growth 12", DENSENET, 1_059_298),
    "densenet_bc_100_12": Architecture("DenseNet-BC, depth 100, growth 12", DENSENET, 769_162),
    "densenet_bc_190_40": Architecture("DenseNet-BC, depth 190, growth 40", DENSENET, 25_624_430),
    "allconvnet": Architecture("all-convolutional network as AugMix trains it, dropout", ALLCONVNET, 1_409_674),
    "pyramidnet110_a64": Architecture("bottleneck PyramidNet, depth 110, widened by 64", PYRAMIDNET, 1_696_410),
    "pyramidnet200_a240": Architecture("bottleneck PyramidNet, depth 200, widened by 240", PYRAMIDNET, 26_752_702),
    "pyramidnet272_a200": Architecture("bottleneck PyramidNet, depth 272, widened by 200", PYRAMIDNET, 26_210_842),
}
