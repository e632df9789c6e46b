"""The 3D Common Corruptions of the ImageNet release, batched: uint8 tensors in, uint8 tensors out.

Kar, Yeo, Atanov, Zamir: 3D Common Corruptions and Data Augmentation, CVPR 2022. ``CORRUPTIONS_3DCC`` is the table
of those that an image is enough for; the others are functions of the image and a map of its depth or of its shading.
Reference: EPFL-VILAB/3DCommonCorruptions 6289408, folder ``create_3dcc``.
"""

from __future__ import annotations

from robustbench_msda.corruptions.three_d.camera import xy_motion_blur, z_motion_blur
from robustbench_msda.corruptions.three_d.focus import far_focus, near_focus
from robustbench_msda.corruptions.three_d.light import flash, fog_3d
from robustbench_msda.corruptions.three_d.table import CORRUPTIONS_3DCC

__all__ = [
    "CORRUPTIONS_3DCC",
    "far_focus",
    "flash",
    "fog_3d",
    "near_focus",
    "xy_motion_blur",
    "z_motion_blur",
]
