"""Videos in class folders, as ImageNet-P has them: read by PyAV, the optional extra ``video``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.data.class_folders import VIDEOS, list_classes
from robustbench_msda.data.decoding import MOST_READERS
from robustbench_msda.data.stimuli import AGAIN, Accept
from robustbench_msda.data.stored import one_line
from robustbench_msda.engines.local import cores
from robustbench_msda.errors import DamagedData

INSTALL = "pip install 'robustbench-msda[video]'"


@dataclass(frozen=True)
class VideoFiles:
    """Videos in a folder.

    Attributes:
        root: the folder.
        files: their paths below it.
        labels: (n,) their classes.
        frames: how many frames each has.
        side: height and width of a frame.
    """

    root: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    frames: int
    side: int

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return all frames of the videos at ``positions``, (m · frames, side, side, 3), decoded by a pool of threads.

        Raises:
            DamagedData: a file is no video, or one of another size or length.
        """
        shape = (self.frames, self.side, self.side, 3)
        found = np.empty((len(positions), *shape), np.uint8)

        def decode(row: int) -> None:
            found[row] = decode_video(self.root / self.files[positions[row]], shape)

        with ThreadPoolExecutor(min(MOST_READERS, cores())) as pool:
            for _ in pool.map(decode, range(len(positions))):
                pass
        return found.reshape(-1, *shape[1:])


def can_read_videos() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def open_video_folder(
    folder: Path, classes: Sequence[str], clean: NDArray[np.int64], shape: tuple[int, int], accept: Accept
) -> VideoFiles:
    """Return the videos of ``<perturbation>/<class>/``, listed by class, then name.

    Args:
        folder: of the perturbation.
        classes: names, in label order.
        clean: (n,) the labels of the clean test images.
        shape: how many frames each video has, and their height and width.
        accept: raises unless what is there will do.

    Raises:
        DamagedData: a folder is no class, a file no video, or ``accept`` refuses.
    """
    found = list_classes(folder, classes, VIDEOS)
    accept(folder, found, clean, classes)
    return VideoFiles(folder, found.files, found.labels, *shape)


def decode_video(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the frames of the video at ``path``, of ``shape`` (frames, side, side, 3), as RGB.

    Raises:
        DamagedData: the file is no video, or one of another size or length.
    """
    import av  # an optional extra

    try:
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.thread_count = 1  # the threads are one a video
            decoded = islice(container.decode(video=0), shape[0] + 1)
            frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    except (av.FFmpegError, IndexError, ValueError, MemoryError) as error:
        raise DamagedData(f"{path}: expected a video ({one_line(error)}); {AGAIN}") from None
    if len(frames) != shape[0]:
        more = " or more" if len(frames) > shape[0] else ""
        raise DamagedData(f"{path}: expected {shape[0]} frames, found {len(frames)}{more}; {AGAIN}")
    sizes = {frame.shape for frame in frames} - {shape[1:]}
    if sizes:
        height, width = min(sizes)[:2]
        raise DamagedData(f"{path}: expected frames of {shape[2]}×{shape[1]} pixels, found {width}×{height}; {AGAIN}")
    return np.stack(frames)
