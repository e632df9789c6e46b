"""Where the official archives are, and what is in them.

URLs and MD5 of CIFAR-C, ImageNet-C, Tiny ImageNet: torch-uncertainty 0d0df2b, ``src/torch_uncertainty/datasets``; of
ImageNet-P: kkirchheim/pytorch-ood b1015fc, ``oodtk/dataset/img/imagenet.py``; of CIFAR: torchvision 0.21,
``datasets/cifar.py``; of Fashion-MNIST: zalandoresearch/fashion-mnist 02cf067, ``README.md``, and torchvision 0.29,
``datasets/mnist.py``, which agree. ImageNet-3DCC: EPFL-VILAB/3DCommonCorruptions 4fc007b,
``tools/download_imagenet_3dcc.sh``.
Tiny-ImageNet-C is the authors' record (hendrycks/robustness 8190fe3, ``README.md``), whose MD5 none of these prints.
URLs and MD5 of ImageNet-A, -O and -R and of CIFAR-10H: torch-uncertainty fda740b,
``src/torch_uncertainty/datasets/classification``; the MD5 of CIFAR-10H was computed anew. ImageNetV2 is its authors'
record, whose archive differs from the one tensorflow/datasets 2cad51c prints a checksum of.
"""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_msda.conditions import BLUR, DIGITAL, EXTRA, FIFTEEN, NOISE, TWELVE, WEATHER
from robustbench_msda.data.known import DATASETS
from robustbench_msda.data.wnids_natural import IMAGENET_A, IMAGENET_O, IMAGENET_R

CIFAR10_C_MD5 = {
    "brightness.npy": "0a81ef75e0b523c3383219c330a85d48",
    "contrast.npy": "3c8262171c51307f916c30a3308235a8",
    "defocus_blur.npy": "7d1322666342a0702b1957e92f6254bc",
    "elastic_transform.npy": "9421657c6cd452429cf6ce96cc412b5f",
    "fog.npy": "7b397314b5670f825465fbcd1f6e9ccd",
    "frost.npy": "31f6ab3bce1d9934abfb0cc13656f141",
    "gaussian_blur.npy": "c33370155bc9b055fb4a89113d3c559d",
    "gaussian_noise.npy": "ecaf8b9a2399ffeda7680934c33405fd",
    "glass_blur.npy": "7361fb4019269e02dbf6925f083e8629",
    "impulse_noise.npy": "2090e01c83519ec51427e65116af6b1a",
    "jpeg_compression.npy": "2b9cc4c864e0193bb64db8d7728f8187",
    "labels.npy": "c439b113295ed5254878798ffe28fd54",
    "motion_blur.npy": "fffa5f852ff7ad299cfe8a7643f090f4",
    "pixelate.npy": "0f14f7e2db14288304e1de10df16832f",
    "saturate.npy": "1cfae0964219c5102abbb883e538cc56",
    "shot_noise.npy": "3a7239bb118894f013d9bf1984be7f11",
    "snow.npy": "bb238de8555123da9c282dea23bd6e55",
    "spatter.npy": "8a5a3903a7f8f65b59501a6093b4311e",
    "speckle_noise.npy": "ef00b87611792b00df09c0b0237a1e30",
    "zoom_blur.npy": "6ea8e63f1c5cdee1517533840641641b",
}
CIFAR100_C_MD5 = {
    "brightness.npy": "f22d7195aecd6abb541e27fca230c171",
    "contrast.npy": "322bb385f1d05154ee197ca16535f71e",
    "defocus_blur.npy": "d923e3d9c585a27f0956e2f2ad832564",
    "elastic_transform.npy": "a0792bd6581f6810878be71acedfc65a",
    "fog.npy": "4efc7ebd5e82b028bdbe13048e3ea564",
    "frost.npy": "3a39c6823bdfaa0bf8b12fe7004b8117",
    "gaussian_blur.npy": "5204ba0d557839772ef5a4196a052c3e",
    "gaussian_noise.npy": "ecc4d366eac432bdf25c024086f5e97d",
    "glass_blur.npy": "0bf384f38e5ccbf8dd479d9059b913e1",
    "impulse_noise.npy": "3b3c210ddfa0b5cb918ff4537a429fef",
    "jpeg_compression.npy": "c851b7f1324e1d2ffddeb76920576d11",
    "labels.npy": "bb4026e9ce52996b95f439544568cdb2",
    "motion_blur.npy": "732a7e2e54152ff97c742d4c388c5516",
    "pixelate.npy": "96c00c60f144539e14cffb02ddbd0640",
    "saturate.npy": "c0697e9fdd646916a61e9c312c77bf6b",
    "shot_noise.npy": "b0a1fa6e1e465a747c1b204b1914048a",
    "snow.npy": "0237be164583af146b7b144e73b43465",
    "spatter.npy": "12ccf41d62564d36e1f6a6ada5022728",
    "speckle_noise.npy": "e3f215b1a0f9fd9fd6f0d1cf94a7ce99",
    "zoom_blur.npy": "0204613400c034a81c4830d5df81cb82",
}


@dataclass(frozen=True)
class Archive:
    """A file to fetch.

    Attributes:
        url: where it is.
        md5: of the whole file; none where nobody prints it.
        holds: the files or folders it brings to the top of the benchmark's folder.
    """

    url: str
    md5: str | None = None
    holds: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Download:
    """What to fetch for a name, or, where it cannot be fetched, one line on what to do instead."""

    archives: tuple[Archive, ...] = ()
    instruction: str = ""


CIFAR10 = Archive("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a")
CIFAR100 = Archive("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85")
TINY_IMAGENET = Archive("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de")
# By name: images and labels, training and test.
FASHION_MNIST = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
CIFAR10_C, CIFAR100_C = "https://zenodo.org/record/2535967/files", "https://zenodo.org/record/3555552/files"
IMAGENET_C, IMAGENET_P = "https://zenodo.org/record/2235448/files", "https://zenodo.org/record/3565846/files"
IMAGENET_3DCC = "https://datasets.epfl.ch/3dcc/imagenet_3dcc"
HENDRYCKS = "https://people.eecs.berkeley.edu/~hendrycks"
IMAGENET_V2 = "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main"
# The number of each class.
IMAGENET_V2_FOLDERS = tuple(str(number) for number in range(1_000))
CIFAR10H = "https://github.com/jcpeterson/cifar-10h/raw/master/data"
README = "https://github.com/hendrycks/robustness"


def _drive(official: str, name: str) -> Download:
    return Download(
        instruction=f"{official} is given out by Google Drive only: follow the link in the README of {README} and put "
        f"its .npy files into the folder {name} of the data folder, then run: robustbench-msda data check {name}"
    )


DOWNLOADS: dict[str, Download] = {
    "cifar10": Download((CIFAR10,)),
    "cifar10_40k": Download((CIFAR10,)),
    "cifar100": Download((CIFAR100,)),
    "fashion_mnist": Download(tuple(Archive(f"{FASHION}/{name}", md5) for name, md5 in FASHION_MNIST.items())),
    "tiny_imagenet": Download((TINY_IMAGENET,)),
    "cifar10_c": Download(
        (Archive(f"{CIFAR10_C}/CIFAR-10-C.tar", "56bf5dcef84df0e2308c6dcbcbbd8499", tuple(CIFAR10_C_MD5)),)
    ),
    "cifar100_c": Download(
        (Archive(f"{CIFAR100_C}/CIFAR-100-C.tar", "11f0ed0f1191edbf9fa23466ae6021d3", tuple(CIFAR100_C_MD5)),)
    ),
    "tiny_imagenet_c": Download(
        (Archive("https://zenodo.org/record/2536630/files/Tiny-ImageNet-C.tar", holds=FIFTEEN),)
    ),
    "imagenet_c": Download(
        (
            Archive(f"{IMAGENET_C}/noise.tar", "e80562d7f6c3f8834afb1ecf27252745", NOISE),
            Archive(f"{IMAGENET_C}/blur.tar", "2d8e81fdd8e07fef67b9334fa635e45c", BLUR),
            Archive(f"{IMAGENET_C}/weather.tar", "33ffea4db4d93fe4a428c40a6ce0c25d", WEATHER),
            Archive(f"{IMAGENET_C}/digital.tar", "89157860d7b10d5797849337ca2e5c03", DIGITAL),
            Archive(f"{IMAGENET_C}/extra.tar", "d492dfba5fc162d8ec2c3cd8ee672984", EXTRA),
        )
    ),
    "imagenet_3dcc": Download(tuple(Archive(f"{IMAGENET_3DCC}/{name}.tar.gz", holds=(name,)) for name in TWELVE)),
    # Which condition is in which archive follows the groups of ImageNet-C; geometry is digital.
    "imagenet_p": Download(
        (
            Archive(f"{IMAGENET_P}/noise.tar", "619b37b5139ce764f77ce3bed3aee837", ("gaussian_noise", "shot_noise")),
            Archive(f"{IMAGENET_P}/blur.tar", "869b2d2fb1604d1baa4316b5ecc9fdea", ("motion_blur", "zoom_blur")),
            Archive(f"{IMAGENET_P}/weather.tar", "a597ff6db8c6fb0dbcd6eb12ed620002", ("snow", "brightness")),
            Archive(
                f"{IMAGENET_P}/digital.tar",
                "8c1f73e4912812788e2fdb637cd55372",
                ("translate", "rotate", "tilt", "scale"),
            ),
        )
    ),
    "imagenet_a": Download((Archive(f"{HENDRYCKS}/imagenet-a.tar", "c3e55429088dc681f30d81f4726b6595", IMAGENET_A),)),
    "imagenet_r": Download((Archive(f"{HENDRYCKS}/imagenet-r.tar", "a61312130a589d0ca1a8fca1f2bd3337", IMAGENET_R),)),
    "imagenet_v2": Download(
        (Archive(f"{IMAGENET_V2}/imagenetv2-matched-frequency.tar.gz", holds=IMAGENET_V2_FOLDERS),)
    ),
    "imagenet_o": Download((Archive(f"{HENDRYCKS}/imagenet-o.tar", "86bd7a50c1c4074fb18fc5f219d6d50b", IMAGENET_O),)),
    "cifar10h": Download(
        (
            Archive(f"{CIFAR10H}/cifar10h-probs.npy", "7b41f73eee90fdefc73bfc820ab29ba8", ("cifar10h-probs.npy",)),
            Archive(f"{CIFAR10H}/cifar10h-counts.npy", holds=("cifar10h-counts.npy",)),
        )
    ),
    "cifar10_p": _drive("CIFAR-10-P", "cifar10_p"),
    "cifar100_p": _drive("CIFAR-100-P", "cifar100_p"),
    **{name: Download(instruction=spec.get) for name, spec in DATASETS.items() if spec.view is not None},
}
