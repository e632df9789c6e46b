"""Video coding through PyAV, on one thread, so that the same frames give the same bytes; PyAV is an extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

PIXEL_FORMAT = "yuv420p"
# The same frames gave other bytes each time: x264's macroblock tree reads memory nobody wrote. It is off, and with it
# the choice of B-frames, which makes up for the bytes.
X264 = "mbtree=0:b-adapt=0"
# No pool of threads, no frames at once, no line of text in the stream or on the terminal. x265's assembler writes
# beyond the memory of small pictures (a heap overrun at 48 pixels); its C code does not, and is as fast here.
X265 = "pools=none:frame-threads=1:log-level=none:info=0:asm=0"
# Where one block of 64 pixels covers the picture, x265 reads memory nobody wrote; blocks of 16 are safe.
SMALL_SIDE = 128
SMALL_BLOCKS = ":ctu=16"


@dataclass(frozen=True)
class Coded:
    """A coded video.

    Attributes:
        decoder: what decodes it.
        packets: its packets in coding order.
        header: what the decoder is told before the first packet.
    """

    decoder: str
    packets: tuple[bytes, ...]
    header: bytes

    @property
    def size(self) -> int:
        """The bytes of all packets."""
        return sum(len(packet) for packet in self.packets)


def to_frames(pixels: NDArray[np.uint8]) -> list[VideoFrame]:
    """Return (F, H, W, 3) ``pixels``, H and W multiples of 16, as frames of brightness and quartered colour."""
    reformatter = VideoReformatter()
    frames = (VideoFrame.from_ndarray(frame, format="rgb24") for frame in pixels)
    return [reformatter.reformat(frame, format=PIXEL_FORMAT) for frame in frames]


def to_pixels(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the (H, W, 3) pixels of ``frame``."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def h264(frames: list[VideoFrame], rate: Fraction) -> Coded:
    """Return ``frames`` coded by x264 as it comes (quality 23, medium preset), ``rate`` frames a second."""
    return _encode("libx264", "h264", frames, rate, {"x264-params": X264})


def h265(frames: list[VideoFrame], rate: Fraction, options: Mapping[str, str]) -> Coded:
    """Return ``frames`` coded by x265 with its medium preset and ``options`` such as ``{"crf": "24"}``."""
    blocks = SMALL_BLOCKS if frames[0].width < SMALL_SIDE else ""
    return _encode("libx265", "hevc", frames, rate, {**options, "x265-params": X265 + blocks})


def decode(video: Coded) -> list[VideoFrame]:
    """Return the frames a decoder makes of ``video``; it conceals what is damaged and leaves out what it cannot."""
    context = av.CodecContext.create(video.decoder, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.extradata = video.header
    packets = [av.Packet(packet) for packet in video.packets]
    return [frame for packet in (*packets, None) for frame in _decode(context, packet)]


def with_errors(video: Coded, spacing: int) -> Coded:
    """Return ``video`` with, on average, one of ``spacing`` bytes overwritten, by FFmpeg's filter ``noise``.

    The filter draws no numbers: it sums the bytes, each plus one, and where the sum is a multiple of ``spacing`` puts
    the sum's low byte.
    """
    noise = av.BitStreamFilterContext(f"noise=amount={spacing}")
    # A copy each, because PyAV lends the filter the very bytes, which it overwrites.
    damaged = (filtered for packet in video.packets for filtered in noise.filter(av.Packet(bytes(bytearray(packet)))))
    return replace(video, packets=tuple(bytes(packet) for packet in damaged))


def _decode(context: VideoCodecContext, packet: Packet[Stream] | None) -> list[VideoFrame]:
    try:
        return context.decode(packet)
    except FFmpegError:
        return []


def _encode(
    encoder: str, decoder: str, frames: Sequence[VideoFrame], rate: Fraction, options: Mapping[str, str]
) -> Coded:
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = frames[0].width, frames[0].height, PIXEL_FORMAT
    context.framerate, context.time_base = rate, 1 / rate
    context.options = dict(options)
    context.thread_count = 1
    context.flags |= Flags.global_header
    packets = []
    for position, frame in enumerate(frames):
        frame.pts, frame.time_base, frame.pict_type = position, 1 / rate, 0
        packets += context.encode(frame)
    packets += context.encode(None)
    return Coded(decoder, tuple(bytes(packet) for packet in packets), context.extradata or b"")
