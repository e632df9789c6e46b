"""Published errors of AlexNet, by which corruption and perturbation errors on ImageNet are normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Normaliser:
    """The errors of one network, as fractions.

    Attributes:
        name: what metrics normalised by it are called after.
        errors: corruption to its top-1 error at severities 1 … 5.
        clean_error: on the clean images.
        caution: what a reader should know of numbers normalised by it; may be empty.
    """

    name: str
    errors: Mapping[str, tuple[float, ...]]
    clean_error: float
    caution: str = ""


# torchvision's AlexNet on all 50,000 images. hendrycks/robustness, README table of commit 76d9393; the means of the
# fifteen are the constants in google-research/augmix 9b9824c, imagenet.py. Clean: torchvision's IMAGENET1K_V1.
ALEXNET = Normaliser(
    "alexnet",
    {
        "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
        "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
        "impulse_noise": (0.78374, 0.89808, 0.9487, 0.9872, 0.99548),
        "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
        "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
        "motion_blur": (0.5843, 0.70048, 0.82108, 0.8975, 0.92638),
        "zoom_blur": (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
        "snow": (0.71726, 0.88392, 0.86468, 0.9187, 0.94952),
        "frost": (0.6139, 0.79734, 0.8879, 0.89942, 0.9343),
        "fog": (0.67474, 0.7605, 0.84378, 0.8726, 0.945),
        "brightness": (0.4514, 0.48502, 0.54048, 0.62166, 0.7244),
        "contrast": (0.64548, 0.7615, 0.88874, 0.9776, 0.9927),
        "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
        "pixelate": (0.52218, 0.5462, 0.73728, 0.87092, 0.91262),
        "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
        "speckle_noise": (0.66192, 0.7444, 0.90246, 0.94548, 0.97268),
        "gaussian_blur": (0.54732, 0.70444, 0.82574, 0.89864, 0.9594),
        "spatter": (0.47196, 0.62194, 0.75052, 0.84132, 0.90182),
        "saturate": (0.59342, 0.65514, 0.51174, 0.70834, 0.8226),
    },
    clean_error=0.43478,
)

# The same network on RobustBench's fixed 5,000 images: up to 0.6 points away, so the two are never mixed.
# RobustBench/robustbench 78fcc9e, model_info/imagenet/corruptions/unaggregated_results.csv.
ROBUSTBENCH5K = Normaliser(
    "robustbench5k",
    {
        "gaussian_noise": (0.689, 0.8186, 0.9276, 0.9786, 0.9942),
        "shot_noise": (0.7056, 0.8402, 0.9274, 0.9804, 0.988),
        "impulse_noise": (0.7766, 0.8846, 0.9444, 0.986, 0.9946),
        "defocus_blur": (0.6596, 0.738, 0.8498, 0.915, 0.9478),
        "glass_blur": (0.6514, 0.7588, 0.8874, 0.92, 0.9364),
        "motion_blur": (0.5826, 0.705, 0.8206, 0.8978, 0.9302),
        "zoom_blur": (0.6972, 0.7692, 0.8064, 0.837, 0.8688),
        "snow": (0.7212, 0.886, 0.868, 0.915, 0.9498),
        "frost": (0.6212, 0.8024, 0.8948, 0.9006, 0.9384),
        "fog": (0.6846, 0.7676, 0.843, 0.8786, 0.9444),
        "brightness": (0.4496, 0.486, 0.536, 0.6114, 0.7094),
        "contrast": (0.6504, 0.7666, 0.8906, 0.9734, 0.9906),
        "elastic_transform": (0.529, 0.6978, 0.56, 0.6432, 0.8102),
        "pixelate": (0.5246, 0.5498, 0.733, 0.8712, 0.9142),
        "jpeg_compression": (0.5142, 0.5478, 0.5772, 0.6512, 0.7436),
    },
    clean_error=0.4376,
    caution="normalised by AlexNet on RobustBench's 5,000 images",
)
ROBUSTBENCH5K_3DCC = Normaliser(
    "robustbench5k",
    {
        "near_focus": (0.5384, 0.5808, 0.6178, 0.6446, 0.6718),
        "far_focus": (0.5278, 0.6098, 0.6686, 0.71, 0.7414),
        "fog_3d": (0.5626, 0.7192, 0.8148, 0.8672, 0.904),
        "flash": (0.7142, 0.752, 0.7918, 0.844, 0.9042),
        "color_quant": (0.449, 0.4612, 0.4982, 0.6694, 0.9032),
        "low_light": (0.7168, 0.7636, 0.8126, 0.8754, 0.944),
        "xy_motion_blur": (0.6972, 0.791, 0.847, 0.8844, 0.9046),
        "z_motion_blur": (0.7208, 0.7692, 0.807, 0.834, 0.8484),
        "iso_noise": (0.8692, 0.8948, 0.9342, 0.9714, 0.988),
        "bit_error": (0.5568, 0.6, 0.6728, 0.737, 0.8502),
        "h265_abr": (0.502, 0.5164, 0.5506, 0.6374, 0.6306),
        "h265_crf": (0.4972, 0.4988, 0.5114, 0.5504, 0.5682),
    },
    clean_error=0.4376,
    caution="normalised by AlexNet on RobustBench's 5,000 images",
)

# AlexNet's flip probabilities on ImageNet-P. In no repository: recalled to two decimals of a percent, and verified only
# together, in that they give a ResNeXt-101 32x48d its published mFR of 27.8 % (eminorhan/resnext-wsl 6200c93).
ALEXNET_FLIP_PROBABILITY: dict[str, float] = {
    "gaussian_noise": 0.2365,
    "shot_noise": 0.3006,
    "motion_blur": 0.093,
    "zoom_blur": 0.0594,
    "snow": 0.1193,
    "brightness": 0.0489,
    "translate": 0.1101,
    "rotate": 0.131,
    "tilt": 0.0705,
    "scale": 0.2353,
}
ALEXNET_FLIP_CAUTION = "AlexNet's flip probabilities are recalled, verified only in aggregate"
