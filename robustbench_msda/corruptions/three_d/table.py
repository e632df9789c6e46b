"""The twelve corruptions of ImageNet-3DCC, and the table of those that an image is enough for."""

from __future__ import annotations

from robustbench_msda.corruptions.severities import Severities
from robustbench_msda.corruptions.table import Corruption
from robustbench_msda.corruptions.three_d import sensor, video

# The reference has one row of severities for images of any size; these are the sides that the other tables know.
SIDES = (32, 64, 224, 299)


def _at_all_sides(*values: float) -> Severities:
    return dict.fromkeys(SIDES, tuple((value,) for value in values))


SEVERITIES: dict[str, Severities] = {
    # The apertures: severity + 2 and severity + 0.5.
    "near_focus": _at_all_sides(3, 4, 5, 6, 7),
    "far_focus": _at_all_sides(1.5, 2.5, 3.5, 4.5, 5.5),
    "fog_3d": _at_all_sides(4, 8, 12, 16, 20),
    "flash": _at_all_sides(2.4, 1.4, 0.9, 0.6, 0.4),
    # The bits that are kept: 6 − severity.
    "color_quant": _at_all_sides(5, 4, 3, 2, 1),
    "low_light": _at_all_sides(0.6, 0.5, 0.4, 0.3, 0.2),
    "xy_motion_blur": _at_all_sides(20, 30, 40, 50, 60),
    "z_motion_blur": _at_all_sides(20, 25, 30, 35, 38),
    # 0.7 of ImageNet-C's Gaussian noise: 0.08, 0.12, 0.18, 0.26, 0.38.
    "iso_noise": _at_all_sides(0.056, 0.084, 0.126, 0.182, 0.266),
    "bit_error": _at_all_sides(100_000, 50_000, 30_000, 20_000, 10_000),
    "h265_abr": _at_all_sides(2, 4, 8, 16, 32),
    "h265_crf": _at_all_sides(24, 26, 32, 39, 41),
}
CORRUPTIONS_3DCC: dict[str, Corruption] = {
    "color_quant": Corruption(SEVERITIES["color_quant"], sensor.color_quant),
    "low_light": Corruption(SEVERITIES["low_light"], sensor.low_light, sensor.draw_two_fields),
    "iso_noise": Corruption(SEVERITIES["iso_noise"], sensor.iso_noise, sensor.draw_two_fields),
    "bit_error": Corruption(SEVERITIES["bit_error"], video.bit_error, video.draw_path),
    "h265_abr": Corruption(SEVERITIES["h265_abr"], video.h265_abr, video.draw_path),
    "h265_crf": Corruption(SEVERITIES["h265_crf"], video.h265_crf, video.draw_path),
}
