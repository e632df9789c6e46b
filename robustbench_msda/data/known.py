"""The table of known data sets, and whether what was found is one of them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data import digits
from robustbench_msda.data.classes import CIFAR10, CIFAR100, FASHION_MNIST
from robustbench_msda.data.decoding import IMAGENET_VIEW, IMAGENET_VIEW_64, View
from robustbench_msda.data.stored import Colour
from robustbench_msda.data.wnids import IMAGENET, IMAGENET100, TINY_IMAGENET
from robustbench_msda.errors import DamagedData

CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
FASHION_PAGE = "https://github.com/zalandoresearch/fashion-mnist"


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a data set before any file is opened.

    Attributes:
        name: snake_case.
        classes: names in label order.
        side: height and width of its images.
        mean: of the training images, a channel, in [0, 1].
        std: likewise.
        train: how many training images it has.
        test: how many test images it has.
        get: one line on how to get it.
        balanced: every class has the same number of images, in each split.
        test_from_train: its test images are the last ones of another set's training images.
        view: how its pictures, which stay in the class folders they come in, become images; None where they are arrays.
        parent: the data set in whose folder its pictures lie, beside those of other classes; empty for its own folder.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    mean: Colour
    std: Colour
    train: int
    test: int
    get: str
    balanced: bool = False
    test_from_train: bool = False
    view: View | None = None
    parent: str = ""

    @property
    def folder(self) -> str:
        """The name of its folder in the data folder."""
        return self.parent or self.name

    @property
    def channels(self) -> int:
        """How many channels an image has."""
        return len(self.mean)

    @property
    def embedded(self) -> bool:
        """Whether it needs no files."""
        return self.name == "digits"

    def count(self, split: str) -> int:
        """Return how many images the split ``train`` or ``test`` has."""
        return {"train": self.train, "test": self.test}[split]


def _from_grey(*levels: float) -> Colour:
    return tuple(level / 255 for level in levels)


# Mean and deviation in grey levels as in the released code of CutMix, PuzzleMix and Co-Mixup (CIFAR-10) and of the last
# two (CIFAR-100); CIFAR-10's agree with its training pixels to every digit. FMix and DCutMix divide by (.2023, .1994,
# .2010): that is the mean of each image's own deviation. cifar10_40k has its parent's; those of digits are measured.
# Tiny ImageNet has ImageNet's, as FMix divides by them (ecs-vlc/FMix e5991dc). Fashion-MNIST's are those of its pixels
# as several repositories print them, not measured here; FMix takes MNIST's, .1307 and .3081.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_GET = (
    "get the images of ILSVRC 2012 from https://image-net.org after registration, a folder for each class, and move or "
    "link the validation images to imagenet/val in the data folder and, to train, the training images to "
    "imagenet/train; they are read there, nothing is prepared"
)

DATASETS: dict[str, DatasetSpec] = {
    "digits": DatasetSpec(
        name="digits",
        classes=tuple("0123456789"),
        side=digits.SIDE,
        mean=(0.3051, 0.3051, 0.3051),
        std=(0.3229, 0.3229, 0.3229),
        train=1_297,
        test=500,
        get="comes with scikit-learn, a dependency: nothing to do",
    ),
    "cifar10": DatasetSpec(
        name="cifar10",
        classes=CIFAR10,
        side=32,
        mean=_from_grey(125.3, 123.0, 113.9),
        std=_from_grey(63.0, 62.1, 66.7),
        train=50_000,
        test=10_000,
        get=f"run: robustbench-msda data fetch cifar10; or get cifar-10-python.tar.gz from {CIFAR_PAGE} and run: "
        "robustbench-msda data prepare cifar10 --from cifar-10-python.tar.gz",
        balanced=True,
    ),
    "cifar10_40k": DatasetSpec(
        name="cifar10_40k",
        classes=CIFAR10,
        side=32,
        mean=_from_grey(125.3, 123.0, 113.9),
        std=_from_grey(63.0, 62.1, 66.7),
        train=40_000,
        test=10_000,
        get=f"run: robustbench-msda data fetch cifar10_40k; or get cifar-10-python.tar.gz from {CIFAR_PAGE} and run: "
        "robustbench-msda data prepare cifar10_40k --from cifar-10-python.tar.gz",
        test_from_train=True,
    ),
    "cifar100": DatasetSpec(
        name="cifar100",
        classes=CIFAR100,
        side=32,
        mean=_from_grey(129.3, 124.1, 112.4),
        std=_from_grey(68.2, 65.4, 70.4),
        train=50_000,
        test=10_000,
        get=f"run: robustbench-msda data fetch cifar100; or get cifar-100-python.tar.gz from {CIFAR_PAGE} and run: "
        "robustbench-msda data prepare cifar100 --from cifar-100-python.tar.gz",
        balanced=True,
    ),
    "fashion_mnist": DatasetSpec(
        name="fashion_mnist",
        classes=FASHION_MNIST,
        side=28,
        mean=(0.2860,),
        std=(0.3530,),
        train=60_000,
        test=10_000,
        get="run: robustbench-msda data fetch fashion_mnist; or get the four .gz files that "
        f"{FASHION_PAGE} lists and run: robustbench-msda data prepare fashion_mnist --from FOLDER",
        balanced=True,
    ),
    "tiny_imagenet": DatasetSpec(
        name="tiny_imagenet",
        classes=TINY_IMAGENET,
        side=64,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=100_000,
        test=10_000,
        get="run: robustbench-msda data fetch tiny_imagenet; or get http://cs231n.stanford.edu/tiny-imagenet-200.zip "
        "and run: robustbench-msda data prepare tiny_imagenet --from tiny-imagenet-200.zip",
        balanced=True,
    ),
    "imagenet": DatasetSpec(
        name="imagenet",
        classes=IMAGENET,
        side=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=1_281_167,
        test=50_000,
        get=IMAGENET_GET,
        view=IMAGENET_VIEW,
    ),
    # The sum of the training pictures of these classes is the literature's; ImageNet's own lists give no counts.
    "imagenet100": DatasetSpec(
        name="imagenet100",
        classes=IMAGENET100,
        side=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=126_689,
        test=5_000,
        get=IMAGENET_GET,
        view=IMAGENET_VIEW,
        parent="imagenet",
    ),
}
# The sizes at which "A Unified Analysis of Mixed Sample Data Augmentation" (Park et al., NeurIPS 2022) trains.
DATASETS |= {
    f"{name}_64": replace(DATASETS[name], name=f"{name}_64", side=64, view=IMAGENET_VIEW_64, parent="imagenet")
    for name in ("imagenet", "imagenet100")
}


def folder_of(name: str) -> str:
    """Return the name of the folder of a data set, known or the user's own."""
    return DATASETS[name].folder if name in DATASETS else name


def others_beside(name: str) -> tuple[str, ...]:
    """Return the classes whose pictures lie in the folder of a known data set, but are none of it."""
    spec = DATASETS[name]
    own = set(spec.classes)
    return tuple(each for each in DATASETS[spec.folder].classes if each not in own)


def how_to_get(name: str) -> str:
    """Return one line on how to get a data set, known or the user's own."""
    if name in DATASETS:
        return DATASETS[name].get
    near = difflib.get_close_matches(name, list(DATASETS), n=1)
    hint = f"did you mean {near[0]}? Known are" if near else "known are"
    return f"{hint} {', '.join(DATASETS)}; your own: robustbench-msda data prepare {name} --from FOLDER_OR_ARCHIVE"


def check_classes_known(spec: DatasetSpec, classes: tuple[str, ...], where: str) -> None:
    """Raise ``DamagedData`` unless ``classes`` are those of ``spec``, in its order."""
    if classes == spec.classes:
        return
    pairs = zip(classes, spec.classes, strict=False)
    first = next((f"{found!r} where {want!r} belongs" for found, want in pairs if found != want), "too few or too many")
    raise DamagedData(
        f"{where}: expected the {len(spec.classes)} classes of {spec.name} in their order, found {len(classes)}: "
        f"{first}; correct them or prepare it under a name of your own"
    )


def check_count(spec: DatasetSpec, split: str, count: int, where: str) -> None:
    """Raise ``DamagedData`` unless the split has as many images as ``spec`` says."""
    if count != spec.count(split):
        raise DamagedData(
            f"{where}: expected {spec.count(split):,} {split} images of {spec.name}, found {count:,}; "
            "get the whole set or prepare it under a name of your own"
        )


def check_known(spec: DatasetSpec, split: str, shape: tuple[int, ...], labels: NDArray[np.int64], where: str) -> None:
    """Raise ``DamagedData`` unless an image's ``shape`` (side, side, C), count and balance are those of ``spec``."""
    side, _, channels = shape
    if side != spec.side:
        raise DamagedData(
            f"{where}: expected images of {spec.side}×{spec.side} in {spec.name}, found {side}×{side}; resize them"
        )
    if channels != spec.channels:
        raise DamagedData(
            f"{where}: expected images of {spec.channels} channels in {spec.name}, found {channels} (3: RGB, 1: grey); "
            "convert them or prepare them under a name of your own"
        )
    check_count(spec, split, len(labels), where)
    counts = np.bincount(labels, minlength=len(spec.classes))
    if spec.balanced and counts.min() != counts.max():
        raise DamagedData(
            f"{where} labels: expected {len(labels) // len(counts):,} of each class of {spec.name}, found "
            f"{counts.min():,} to {counts.max():,}; these are other labels"
        )
