"""The image as the last frame of a coded video: h265_crf, h265_abr and bit_error (Kar et al. 2022, section 3.2).

The reference makes a video of the still image: 60 frames of a camera that moves along or into the picture, by
chance, and the same way back, 25 a second, coded by x264. The video is coded again, or damaged, and its last frame
kept: the camera is back where it was.

Differs from the reference: the picture is flat, for want of its depth; ``FRAMES`` frames take the same way in the same
time, at a third of the cost; a side is continued by its edge pixel to a multiple of ``BLOCK``, not cut to an even one;
and the coders are told to be repeatable, see ``coding``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from robustbench_msda.corruptions.severities import Parameter
from robustbench_msda.corruptions.three_d.camera import Way, draw_xy_path, draw_z_path, view
from robustbench_msda.errors import UserError

if TYPE_CHECKING:
    from robustbench_msda.corruptions.three_d.coding import Coded

# There and back: 16 frames, and the first 15 of them again, backwards, where the reference has 60 and 59.
FRAMES = 31
REFERENCE_FRAMES = 119
FRAME_RATE = Fraction(25 * FRAMES, REFERENCE_FRAMES)
# x265 counts whole kilobits; on a clock this much faster a rate of a small picture is many of them.
CLOCK = 16
LOWEST = 1000
# The bytes of the reference's video of an image of 224 pixels: what ours of photographs have with 119 frames.
REFERENCE_SIZE = 75_000
# The coders' smallest blocks: what they do with a part of one is theirs.
BLOCK = 16
# What is shown where a decoder gives no frame at all.
GREY = 128

Recode = Callable[["Coded"], "Coded"]


def h265_crf(images: Tensor, parameter: Parameter, path: Tensor) -> Tensor:
    """Return ``images`` after x265 at a constant quality.

    Args:
        images: (B, 3, S, S) uint8, S from 32.
        parameter: x265's rate factor; 51 is the worst.
        path: (B, 3) of the camera, drawn by ``draw_path``.

    Raises:
        UserError: PyAV is not installed.
    """
    (quality,) = parameter
    return _recoded(images, path, lambda video: _h265(video, FRAME_RATE, {"crf": f"{quality:g}"}))


def h265_abr(images: Tensor, parameter: Parameter, path: Tensor) -> Tensor:
    """Return ``images`` after x265 at an average rate, a part of the rate of x264's video.

    The rate is the largest, too, over a buffer of one second. A video has headers that no rate
    removes: one of 32 or 64 pixels cannot shrink to what severities 4 and 5 ask, and is no worse for being asked.

    Args:
        images: (B, 3, S, S) uint8, S from 32.
        parameter: what the rate is divided by.
        path: (B, 3) of the camera, drawn by ``draw_path``.

    Raises:
        UserError: PyAV is not installed.
    """
    (divisor,) = parameter

    def recode(video: Coded) -> Coded:
        rate = int(8 * video.size * FRAME_RATE / FRAMES / int(divisor))
        limit, buffer = str(max(LOWEST, CLOCK * rate)), str(max(LOWEST, rate))
        return _h265(video, CLOCK * FRAME_RATE, {"b": limit, "maxrate": limit, "bufsize": buffer})

    return _recoded(images, path, recode)


def bit_error(images: Tensor, parameter: Parameter, path: Tensor) -> Tensor:
    """Return ``images`` after bytes of x264's video were overwritten.

    Differs from the reference: the spacing is that of its video of 224 pixels and shrinks with the video, so that a
    small or short one has as many errors; and an image without any decodable frame is grey.

    Args:
        images: (B, 3, S, S) uint8, S from 32.
        parameter: the mean number of bytes from one error to the next.
        path: (B, 3) of the camera, drawn by ``draw_path``.

    Raises:
        UserError: PyAV is not installed.
    """
    (spacing,) = parameter

    def damage(video: Coded) -> Coded:
        from robustbench_msda.corruptions.three_d import coding

        return coding.with_errors(video, max(1, round(spacing * video.size / REFERENCE_SIZE)))

    return _recoded(images, path, damage)


def draw_path(rng: np.random.Generator, side: int, parameter: Parameter) -> Way:
    """Return the (3,) way of one image's camera: along the picture or into it, with equal chance."""
    return (draw_xy_path if rng.integers(2) else draw_z_path)(rng, side, parameter)


def _recoded(images: Tensor, path: Tensor, recode: Recode) -> Tensor:
    """Return the last frames of ``images``' videos after ``recode``, on as many threads as torch may use."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UserError(
            "video corruptions need PyAV, which is not here: pip install 'robustbench-msda[video]'"
        ) from error
    if not len(images):
        return images
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        seen = list(pool.map(lambda image, way: _last_frame(image, way, recode), images.cpu(), path.cpu()))
    return torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).contiguous().to(images.device)


def _last_frame(image: Tensor, path: Tensor, recode: Recode) -> NDArray[np.uint8]:
    from robustbench_msda.corruptions.three_d import coding

    side = image.shape[-1]
    there = coding.to_frames(_way_there(image, path))
    frames = coding.decode(recode(coding.h264([*there, *there[-2::-1]], FRAME_RATE)))
    pixels = coding.to_pixels(frames[-1]) if frames else np.full((side, side, 3), GREY, dtype=np.uint8)
    return pixels[:side, :side]


def _way_there(image: Tensor, path: Tensor) -> NDArray[np.uint8]:
    """Return the frames, (FRAMES // 2 + 1, S, S, 3), of a camera that goes its ``path`` before a flat ``image``.

    S is the image's side, continued to a multiple of ``BLOCK``.
    """
    count = FRAMES // 2 + 1
    side = image.shape[-1]
    steps = torch.arange(count) / (count - 1)
    flat = torch.ones((count, side, side))
    there = view(image.expand(count, -1, -1, -1), flat, path.expand(count, -1), steps)
    there = pad(there, (0, -side % BLOCK) * 2, mode="replicate")
    return there.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _h265(video: Coded, rate: Fraction, options: dict[str, str]) -> Coded:
    from robustbench_msda.corruptions.three_d import coding

    return coding.h265(coding.decode(video), rate, options)
