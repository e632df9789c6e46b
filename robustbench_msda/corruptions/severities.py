"""The five severities of each corruption at each image side.

Every row is (severity 1, …, severity 5), every severity the parameters its function unpacks. Source:
hendrycks/robustness 8190fe3, ``ImageNet-C/create_c/``: ``make_cifar_c.py`` (32), ``make_tinyimagenet_c.py`` and
``make_imagenet_64_c.py`` (64, equal), ``make_imagenet_c.py`` (224), ``make_imagenet_c_inception.py`` (299).
"""

from __future__ import annotations

from collections.abc import Mapping

Parameter = tuple[float, ...]
Severities = Mapping[int, tuple[Parameter, ...]]


def _single(*values: float) -> tuple[Parameter, ...]:
    return tuple((value,) for value in values)


GAUSSIAN_NOISE: Severities = {
    32: _single(0.04, 0.06, 0.08, 0.09, 0.10),
    64: _single(0.04, 0.08, 0.12, 0.15, 0.18),
    224: _single(0.08, 0.12, 0.18, 0.26, 0.38),
    299: _single(0.09, 0.13, 0.19, 0.27, 0.40),
}
SHOT_NOISE: Severities = {
    32: _single(500, 250, 100, 75, 50),
    64: _single(250, 100, 50, 30, 15),
    224: _single(60, 25, 12, 5, 3),
    299: _single(50, 20, 10, 5, 3),
}
IMPULSE_NOISE: Severities = {
    32: _single(0.01, 0.02, 0.03, 0.05, 0.07),
    64: _single(0.01, 0.02, 0.05, 0.08, 0.14),
    224: _single(0.03, 0.06, 0.09, 0.17, 0.27),
    299: _single(0.04, 0.07, 0.10, 0.18, 0.28),
}
DEFOCUS_BLUR: Severities = {
    32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    299: ((4, 0.1), (5, 0.5), (7, 0.5), (10, 0.5), (12, 0.5)),
}
GAUSSIAN_BLUR: Severities = {
    32: _single(0.4, 0.6, 0.7, 0.8, 1.0),
    64: _single(0.5, 0.75, 1.0, 1.25, 1.5),
    224: _single(1, 2, 3, 4, 6),
    299: _single(1.5, 2.5, 3.5, 4.5, 6.5),
}
BRIGHTNESS: Severities = {
    32: _single(0.05, 0.10, 0.15, 0.20, 0.30),
    64: _single(0.1, 0.2, 0.3, 0.4, 0.5),
    224: _single(0.1, 0.2, 0.3, 0.4, 0.5),
    299: _single(0.1, 0.2, 0.3, 0.4, 0.5),
}
CONTRAST: Severities = {
    32: _single(0.75, 0.50, 0.40, 0.30, 0.15),
    64: _single(0.4, 0.3, 0.2, 0.1, 0.05),
    224: _single(0.4, 0.3, 0.2, 0.1, 0.05),
    299: _single(0.4, 0.3, 0.2, 0.1, 0.05),
}
SATURATE: Severities = {
    32: ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    64: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    224: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    299: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
}
PIXELATE: Severities = {
    32: _single(0.95, 0.90, 0.85, 0.75, 0.65),
    64: _single(0.9, 0.8, 0.7, 0.6, 0.5),
    224: _single(0.6, 0.5, 0.4, 0.3, 0.25),
    299: _single(0.5, 0.4, 0.3, 0.25, 0.2),
}
JPEG_COMPRESSION: Severities = {
    32: _single(80, 65, 58, 50, 40),
    64: _single(65, 58, 50, 40, 25),
    224: _single(25, 18, 15, 10, 7),
    299: _single(23, 16, 13, 8, 5),
}
