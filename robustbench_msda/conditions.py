"""The names of the benchmarks' conditions, each said once: corruptions, files, scores, tables and charts share them."""

from __future__ import annotations

# Hendrycks, Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019. The
# fifteen corruptions that mCE averages, in the order of its table 1, and the four that are kept for validation.
NOISE = ("gaussian_noise", "shot_noise", "impulse_noise")
BLUR = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur")
WEATHER = ("snow", "frost", "fog", "brightness")
DIGITAL = ("contrast", "elastic_transform", "pixelate", "jpeg_compression")
FIFTEEN = (*NOISE, *BLUR, *WEATHER, *DIGITAL)
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")

# What is made where the real one cannot be: a condition of its own; an aggregate that holds it says so.
STAND_INS = {"frost": "frost_procedural"}

# Its ten perturbations (section 3), and the four for validation. The published scripts average spatter in place of snow
# (hendrycks/robustness 8190fe3, ImageNet-P/test.py and cifar-p-eval.py).
TEN = (
    *("gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow"),
    *("brightness", "translate", "rotate", "tilt", "scale"),
)
TEN_OF_SCRIPTS = tuple("spatter" if name == "snow" else name for name in TEN)
FOUR = ("speckle_noise", "gaussian_blur", "spatter", "shear")

# Kar et al.: 3D Common Corruptions and Data Augmentation, CVPR 2022: what ImageNet-3DCC was released with, in the order
# of its download script, and the authors' grouping (shift-happens, tasks/imagenet_3dcc).
TWELVE = (
    *("near_focus", "far_focus", "fog_3d", "flash", "color_quant", "low_light"),
    *("xy_motion_blur", "z_motion_blur", "iso_noise", "bit_error", "h265_abr", "h265_crf"),
)

# The order tables print corruptions in, by family; a stand-in beside what it stands in for.
CORRUPTION_FAMILIES = (
    ("noise", NOISE),
    ("blur", BLUR),
    ("weather", ("snow", "frost", "frost_procedural", "fog", "brightness")),
    ("digital", DIGITAL),
    ("validation", EXTRA),
    ("depth of field", ("near_focus", "far_focus")),
    ("camera motion", ("xy_motion_blur", "z_motion_blur")),
    ("lighting", ("flash",)),
    ("video", ("h265_crf", "h265_abr", "bit_error")),
    ("weather", ("fog_3d",)),
    ("noise", ("iso_noise", "color_quant", "low_light")),
)
