"""The table of the benchmarks whose official files are read, and how they lie on disk."""

from __future__ import annotations

from robustbench_msda.conditions import EXTRA, FIFTEEN, FOUR, TEN, TWELVE
from robustbench_msda.data.check_arrays import ArrayLayout
from robustbench_msda.data.check_folders import VIDEO, FolderLayout
from robustbench_msda.data.check_pictures import PictureLayout
from robustbench_msda.data.check_survey import Layout
from robustbench_msda.data.downloads import CIFAR10_C_MD5, CIFAR100_C_MD5, IMAGENET_V2_FOLDERS
from robustbench_msda.data.human_labels import HumanLayout
from robustbench_msda.data.wnids import IMAGENET
from robustbench_msda.data.wnids_natural import IMAGENET_A, IMAGENET_O, IMAGENET_R

SEVERITIES = ("1", "2", "3", "4", "5")
NO_LEVEL = ("",)
# The noises alone have folders of the harder difficulties.
NOISES = ("gaussian_noise", "shot_noise", "speckle_noise")
VALIDATION = (*FOUR, *(f"{name}_{difficulty}" for name in NOISES for difficulty in (2, 3)))
# The published script for CIFAR-P averages spatter where the paper lists snow: scores need what both name.
CIFAR_P = tuple(name for name in TEN if name != "snow")
CIFAR_P_EXTRA = ("snow", *VALIDATION)
# make_cifar_p.py: 31 frames but for these two.
CIFAR_P_FRAMES = {name: 31 for name in (*CIFAR_P, *CIFAR_P_EXTRA)} | {"motion_blur": 21, "translate": 16}

PICTURES: dict[str, PictureLayout] = {
    layout.name: layout
    for layout in (
        PictureLayout("imagenet_a", "imagenet-a", IMAGENET_A, 7_500),
        PictureLayout("imagenet_r", "imagenet-r", IMAGENET_R, 30_000),
        PictureLayout("imagenet_v2", "imagenetv2-matched-frequency-format-val", IMAGENET, 10_000, IMAGENET_V2_FOLDERS),
        PictureLayout("imagenet_o", "imagenet-o", IMAGENET_O, 2_000),
    )
}

_ALL: tuple[Layout, ...] = (
    ArrayLayout("cifar10_c", "CIFAR-10-C", FIFTEEN, EXTRA, SEVERITIES, "cifar10", 10, md5=CIFAR10_C_MD5),
    ArrayLayout("cifar100_c", "CIFAR-100-C", FIFTEEN, EXTRA, SEVERITIES, "cifar100", 100, md5=CIFAR100_C_MD5),
    FolderLayout("tiny_imagenet_c", "Tiny-ImageNet-C", FIFTEEN, EXTRA, SEVERITIES, 200, 10_000, side=64),
    FolderLayout("imagenet_c", "ImageNet-C", FIFTEEN, EXTRA, SEVERITIES, 1_000, 50_000),
    FolderLayout("imagenet_3dcc", "ImageNet-3DCC", TWELVE, (), SEVERITIES, 1_000, 50_000),
    ArrayLayout("cifar10_p", "CIFAR-10-P", CIFAR_P, CIFAR_P_EXTRA, NO_LEVEL, "cifar10", 10, CIFAR_P_FRAMES),
    ArrayLayout("cifar100_p", "CIFAR-100-P", CIFAR_P, CIFAR_P_EXTRA, NO_LEVEL, "cifar100", 100, CIFAR_P_FRAMES),
    FolderLayout("imagenet_p", "ImageNet-P", TEN, VALIDATION, NO_LEVEL, 1_000, 50_000, VIDEO),
    *PICTURES.values(),
    HumanLayout(),
)
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _ALL}


def benchmark_name(text: str) -> str:
    """Return the stored form of a benchmark's name, such as ``CIFAR-10-C``; of any other text with ``-`` as ``_``."""
    official = {layout.official.lower(): name for name, layout in LAYOUTS.items()}
    return official.get(text.lower(), text.replace("-", "_"))
