"""The frames of each perturbation at each image side, at difficulty 1.

Every row is the number of frames, then what the perturbation's function unpacks. Where something grows from frame to
frame, that is its value in frame 0 and its step. Source: hendrycks/robustness 8190fe3, ``ImageNet-P/create_p/``:
``make_cifar_p.py`` (32), ``make_tinyimagenet_p.py`` and ``make_imagenet_64_p.py`` (64, equal), ``make_imagenet_p.py``
(224), ``make_imagenet_p_inception.py`` (299).
"""

from __future__ import annotations

from collections.abc import Mapping

from robustbench_msda.corruptions.severities import Parameter

Frames = Mapping[int, Parameter]

# Standard deviations.
GAUSSIAN_NOISE: Frames = {32: (31, 0.02), 64: (31, 0.025), 224: (31, 0.03), 299: (31, 0.035)}
SPECKLE_NOISE: Frames = {32: (31, 0.05), 64: (31, 0.05), 224: (31, 0.05), 299: (31, 0.06)}
# Photons of a fully bright pixel.
SHOT_NOISE: Frames = {32: (31, 700), 64: (31, 500), 224: (31, 300), 299: (31, 250)}
# Radius, standard deviation; degrees.
MOTION_BLUR: Frames = {
    32: (21, 6, 1.8, -180, 9),
    64: (31, 14, 3, -150, 5),
    224: (31, 10, 3, -120, 4),
    299: (31, 13, 3, -120, 4),
}
# Standard deviation, truncation in standard deviations.
GAUSSIAN_BLUR: Frames = {
    32: (31, 7, 0.3, 0.015),
    64: (31, 7, 0.35, 0.014),
    224: (31, 6, 0.25, 0.035),
    299: (31, 6, 0.35, 0.035),
}
# What snow of a corruption takes: mean, standard deviation, zoom, threshold, radius, standard deviation of the smear,
# share of the image; then degrees.
SNOW: Frames = {
    32: (31, 0.05, 0.3, 2, 0.5, 10, 2, 0.85, -150, 4),
    64: (31, 0.05, 0.28, 2, 0.5, 10, 2.5, 0.85, -150, 4),
    224: (31, 0.05, 0.3, 3, 0.5, 14, 4, 0.85, -150, 4),
    299: (31, 0.05, 0.3, 3, 0.5, 14, 4, 0.85, -150, 4),
}
# Mean, standard deviation, blur, threshold and intensity of spatter; then what columns are convolved with as drops run.
SPATTER: Frames = {
    32: (31, 0.6, 0.265, 1.75, 0.7, 0.6, 0.2, 0.8),
    64: (31, 0.6, 0.25, 1.75, 0.7, 0.6, 0.2, 0.8),
    224: (31, 0.65, 0.27, 3.7, 0.69, 0.6, 0.05, 0.1, 0.15, 0.7),
    299: (31, 0.65, 0.3, 4, 0.69, 0.6, 0.05, 0.1, 0.15, 0.7),
}
# Added to the value of HSV.
BRIGHTNESS: Frames = {
    32: (31, -0.225, 0.015),
    64: (31, -0.3, 0.02),
    224: (31, -0.3, 0.02),
    299: (31, -0.3, 0.02),
}
# Pixels to the right.
TRANSLATE: Frames = {32: (16, -7, 1), 64: (31, -15, 1), 224: (41, -20, 1), 299: (41, -20, 1)}
# Degrees.
ROTATE: Frames = dict.fromkeys((32, 64, 224, 299), (31, -15, 1))
SHEAR: Frames = ROTATE
TILT: Frames = {32: (31, -11.25, 0.75), 64: (31, -15, 1), 224: (31, -15, 1), 299: (31, -15, 1)}
# Factors.
SCALE: Frames = {32: (31, 0.7, 0.02), 64: (31, 0.4, 0.025), 224: (31, 0.4, 0.025), 299: (31, 0.4, 0.025)}
ZOOM_BLUR: Frames = dict.fromkeys((32, 64, 224, 299), (31, 1, 0.004))


def values(parameter: Parameter) -> list[float]:
    """Return what every frame takes, of the number of frames, the first value and the step, to nine decimals."""
    frames, first, step = parameter
    return [round(first + step * frame, 9) for frame in range(int(frames))]
